"""
The routes of generativelanguage.googleapis.com and of aiplatform.googleapis.com (Vertex AI).

Gemini: `/v1beta/models/{model}:…`, any version; Vertex AI: `/v1/projects/…/models/{model}:…`, where
Anthropic's models answer `:rawPredict` in their own format.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tallygate.standin.answer_headers import with_headers
from tallygate.standin.answers import Asked
from tallygate.standin.anthropic_wire import Messages
from tallygate.standin.book import Ending
from tallygate.standin.gemini_embeddings_wire import BatchEmbedContents, EmbedContent, Predict
from tallygate.standin.gemini_wire import CountTokens, GenerateContent, Google
from tallygate.standin.generation import Generation, generation
from tallygate.standin.routing import Call, Provider, Request, Route, World

_GEMINI = ("/{version}/models/", "/models/")
_VERTEX = "/{version}/projects/{project}/locations/{location}/"
_USAGE = "usageMetadata"


class Content:
    """Generates content; the tier is told in a header, the query says how a stream is framed."""

    def __init__(self, provider: Provider, *, streams: bool) -> None:
        wire = GenerateContent(streams=streams)
        as_list = GenerateContent(streams=streams, as_list=True)
        self._provider = provider
        self._whole_or_events = Generation(wire=wire, usage_field=_USAGE)
        self._list = Generation(wire=as_list, usage_field=_USAGE, stream_type="application/json")
        self._wire = wire

    def read(self, request: Request) -> Asked:
        return self._wire.read({**request.json(), **request.params})

    async def answer(self, call: Call) -> Ending:
        tier = call.wishes.tier or self._wire.served_tier(call.asked.tier)
        told = with_headers(call, self._provider, [(b"x-gemini-service-tier", tier.encode())])
        events = not call.asked.stream or call.request.query.get("alt") == "sse"
        return await (self._whole_or_events if events else self._list).answer(told)


class RawPredict:
    """Anthropic's messages on Vertex AI."""

    def __init__(self) -> None:
        self._wire = Messages()
        self.answer = Generation(wire=self._wire).answer

    def read(self, request: Request) -> Asked:
        return self._wire.read({**request.json(), **request.params})


def table(world: World) -> Iterator[Route]:
    """List the routes of both hosts."""
    del world
    google = Google()
    publisher = f"{_VERTEX}publishers/google/models/"
    for prefix in (*_GEMINI, publisher, f"{_VERTEX}endpoints/"):
        for route in _of_a_model(google):
            yield replace(route, pattern=prefix + route.pattern)
    yield generation(f"{publisher}{{model}}:predict", Predict(), google, "embeddings")
    messages = RawPredict()
    for verb in ("rawPredict", "streamRawPredict"):
        yield Route(
            method="POST",
            pattern=f"{_VERTEX}publishers/anthropic/models/{{model}}:{verb}",
            provider=google,
            operation="chat",
            answer=messages.answer,
            read=messages.read,
        )


def _of_a_model(google: Google) -> Iterator[Route]:
    for verb, streams in (("generateContent", False), ("streamGenerateContent", True)):
        content = Content(google, streams=streams)
        yield Route(
            method="POST",
            pattern=f"{{model}}:{verb}",
            provider=google,
            operation="chat",
            answer=content.answer,
            read=content.read,
        )
    yield generation("{model}:countTokens", CountTokens(), google, "count_tokens", generates=False)
    for verb, wire in (
        ("embedContent", EmbedContent()),
        ("batchEmbedContents", BatchEmbedContents()),
    ):
        yield generation(f"{{model}}:{verb}", wire, google, "embeddings", usage_field=_USAGE)
