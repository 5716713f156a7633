"""
The routes of api.openai.com, and the same ones under Azure's paths.

Azure: `/openai/deployments/{model}/…`, `/openai/…` and `/openai/v1/…`, whatever `api-version` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tallygate.standin import audio_wire, images_wire, realtime_wire, vector_stores_wire
from tallygate.standin.assistants_wire import Assistants
from tallygate.standin.batches_wire import Batches
from tallygate.standin.book import Ending
from tallygate.standin.completions_wire import Completions
from tallygate.standin.files_wire import Files
from tallygate.standin.fine_tuning_wire import FineTuning
from tallygate.standin.generation import generation
from tallygate.standin.moderations_wire import Moderations
from tallygate.standin.openai_wire import ChatCompletions, Embeddings, OpenAI
from tallygate.standin.responses_kept import KeptResponses
from tallygate.standin.responses_wire import stream_error
from tallygate.standin.routing import Call, Route, World

_AZURE = ("/openai/deployments/{model}/", "/openai/v1/", "/openai/")


def table(world: World) -> Iterator[Route]:
    """List the routes; those that keep something share it under all their paths."""
    for route in _routes(world):
        yield route
        for prefix in _AZURE:
            yield replace(route, pattern=route.pattern.replace("/v1/", prefix, 1))


def _routes(world: World) -> Iterator[Route]:
    del world
    openai = OpenAI()
    yield generation("/v1/chat/completions", ChatCompletions(), openai, "chat")
    yield generation("/v1/completions", Completions(), openai, "text_completion")
    yield generation("/v1/embeddings", Embeddings(), openai, "embeddings")
    yield generation("/v1/moderations", Moderations(), openai, "moderation", generates=False)
    yield from images_wire.table(openai)
    yield from audio_wire.table(openai)
    yield from KeptResponses().table(OpenAI(stream_error))
    files = Files()
    yield from files.table(openai)
    yield from Batches(files).table(openai)
    yield from FineTuning(files).table(openai)
    yield from vector_stores_wire.table(openai, files)
    yield from Assistants().table(openai)
    yield from realtime_wire.table(openai)

    async def models(call: Call) -> Ending:
        return await call.json(openai.models(call.created_s))

    yield Route(
        method="GET",
        pattern="/v1/models",
        provider=openai,
        operation="models",
        answer=models,
        generates=False,
    )
