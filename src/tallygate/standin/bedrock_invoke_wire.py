"""
Amazon Bedrock's InvokeModel: a model's own format in Bedrock's envelope, and the routes of both.

Spoken here: Anthropic's messages, whole and streamed, and Titan's text embeddings.
Units: the counts in headers and in `amazon-bedrock-invocationMetrics` leave out the cache, as the
    message's own `usage` does.
Source: what boto3 and LiteLLM read (tests/standin).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import orjson

from tallygate.standin.answer_headers import with_headers
from tallygate.standin.answers import (
    Answer,
    Asked,
    Frame,
    RequestUnacceptable,
    answer_for,
    whole_number,
)
from tallygate.standin.anthropic_wire import Messages
from tallygate.standin.asgi import Headers
from tallygate.standin.bedrock_wire import (
    METADATA_HEADER,
    Bedrock,
    Converse,
    input_tokens,
    metadata_of_header,
    model_of,
)
from tallygate.standin.book import Ending
from tallygate.standin.directives import without_directives
from tallygate.standin.event_stream import CONTENT_TYPE, event
from tallygate.standin.generation import generation
from tallygate.standin.routing import Call, Request, Route, World

_IN_HEADERS: Mapping[str, str] = {
    "inputTokenCount": "x-amzn-bedrock-input-token-count",
    "outputTokenCount": "x-amzn-bedrock-output-token-count",
    "cacheReadInputTokenCount": "x-amzn-bedrock-cache-read-input-token-count",
    "cacheWriteInputTokenCount": "x-amzn-bedrock-cache-write-input-token-count",
}
_NOT_IN_THE_STREAM = b"event: ping\n"


class InvokedMessages:
    """Anthropic's messages under /invoke: the model stands in the path, usage is said twice."""

    def __init__(self, *, streams: bool) -> None:
        self._messages = Messages()
        self._streams = streams
        self.new_response_id = self._messages.new_response_id
        self.served_tier = self._messages.served_tier
        self.whole = self._messages.whole

    def read(self, body: Mapping[str, Any]) -> Asked:
        if not isinstance(body.get("anthropic_version"), str):
            raise RequestUnacceptable(
                "Malformed input request: the stand-in's /invoke speaks Anthropic's messages "
                "(anthropic_version) and Titan's embeddings (inputText)."
            )
        return replace(self._messages.read(body), model=model_of(body), stream=self._streams)

    def frames(self, answer: Answer) -> Iterator[Frame]:
        for frame in self._messages.frames(answer):
            if frame.data.startswith(_NOT_IN_THE_STREAM):
                continue
            body = orjson.loads(frame.data.partition(b"\ndata: ")[2])
            if body["type"] == "message_stop" and answer.reports_usage:
                body["amazon-bedrock-invocationMetrics"] = {
                    **_metrics(answer),
                    "invocationLatency": 1,
                    "firstByteLatency": 1,
                }
            chunk = {"bytes": base64.b64encode(orjson.dumps(body)).decode()}
            yield replace(frame, data=event("chunk", chunk))


class TitanEmbeddings:
    """Amazon Titan's text embeddings under /invoke."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        text = str(body["inputText"])
        return Asked(
            model=model_of(body),
            input_tokens=len(without_directives(text).split()),
            directive_text=text,
            extra={"dimensions": whole_number(body.get("dimensions")) or 1024},
        )

    def new_response_id(self) -> str:
        return ""

    def served_tier(self, asked: str) -> str:
        del asked
        return "default"

    def whole(self, answer: Answer) -> dict[str, Any]:
        dimensions: int = answer.asked.extra["dimensions"]
        vector = [dimensions**-0.5] * min(dimensions, 4096)
        body: dict[str, Any] = {"embedding": vector, "embeddingsByType": {"float": vector}}
        if answer.reports_usage:
            body["inputTextTokenCount"] = answer.counts.input
        return body

    def frames(self, answer: Answer) -> Iterator[Frame]:
        del answer  # never streamed
        return iter(())


class Invocation:
    """Answers /invoke and /invoke-with-response-stream, whichever the model's format."""

    def __init__(self, provider: Bedrock, *, streams: bool) -> None:
        self._provider = provider
        self._messages = InvokedMessages(streams=streams)
        self._embeddings = TitanEmbeddings()

    def read(self, request: Request) -> Asked:
        body = {**request.params, **request.json()}
        wire = self._embeddings if "inputText" in body else self._messages
        attached = metadata_of_header(request.headers.get(METADATA_HEADER))
        return replace(wire.read(body), request_metadata=attached)

    async def answer(self, call: Call) -> Ending:
        wire = self._embeddings if "dimensions" in call.asked.extra else self._messages
        answer = answer_for(call.asked, call.wishes, wire, call.created_s)
        record = call.record
        record.response_id = answer.response_id
        record.response_model = answer.model
        record.service_tier = answer.tier
        record.billed = asdict(answer.counts)
        if answer.asked.stream:
            kind = (b"x-amzn-bedrock-content-type", b"application/json")
            told = with_headers(call, self._provider, [kind])
            return await told.stream(wire.frames(answer), CONTENT_TYPE)
        body = wire.whole(answer)
        told = with_headers(call, self._provider, _count_headers(answer))
        if wire is self._embeddings:
            counted = {"inputTextTokenCount": answer.counts.input}
            return await told.json(body, counted if answer.reports_usage else None)
        return await told.json(body, body.get("usage"))


def table(world: World) -> Iterator[Route]:
    """List the routes of bedrock-runtime; a model's name may be an ARN, slashes and all."""
    del world
    bedrock = Bedrock()
    for path, streams in (("converse", False), ("converse-stream", True)):
        wire = Converse(streams=streams)
        pattern = f"/model/{{model:path}}/{path}"
        yield generation(pattern, wire, bedrock, "chat", stream_type=CONTENT_TYPE)
    for path, streams in (("invoke", False), ("invoke-with-response-stream", True)):
        handler = Invocation(bedrock, streams=streams)
        yield Route(
            method="POST",
            pattern=f"/model/{{model:path}}/{path}",
            provider=bedrock,
            operation="invoke_model",
            answer=handler.answer,
            read=handler.read,
        )

    async def count(call: Call) -> Ending:
        return await call.json({"inputTokens": call.asked.input_tokens})

    yield Route(
        method="POST",
        pattern="/model/{model:path}/count-tokens",
        provider=bedrock,
        operation="count_tokens",
        answer=count,
        read=_read_count,
        generates=False,
    )


def _read_count(request: Request) -> Asked:
    given = request.json().get("input")
    body = given.get("converse") if isinstance(given, dict) else None
    if not isinstance(body, dict):
        raise RequestUnacceptable("The stand-in counts the tokens of input.converse.")
    return Asked(
        model=model_of(request.params),
        input_tokens=input_tokens(body),
        directive_text=request.raw.decode("utf-8", "replace"),
        extra={},
    )


def _metrics(answer: Answer) -> dict[str, int]:
    counts = answer.counts
    written = counts.cache_write_5m + counts.cache_write_1h
    metrics = {
        "inputTokenCount": counts.input - counts.cached - written,
        "outputTokenCount": counts.output,
    }
    if counts.cached or written:
        metrics["cacheReadInputTokenCount"] = counts.cached
        metrics["cacheWriteInputTokenCount"] = written
    return metrics


def _count_headers(answer: Answer) -> Headers:
    told: Headers = [(b"x-amzn-bedrock-invocation-latency", b"1")]
    if answer.reports_usage:
        told += [
            (_IN_HEADERS[name].encode(), str(tokens).encode())
            for name, tokens in _metrics(answer).items()
        ]
    return told
