"""The routes of api.anthropic.com, and the same ones under /anthropic, as resellers have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tallygate.standin.anthropic_batches_wire import MessageBatches
from tallygate.standin.anthropic_wire import Anthropic, CountTokens, Messages
from tallygate.standin.book import Ending
from tallygate.standin.generation import generation
from tallygate.standin.routing import Call, Route, World

_VERSION = b"anthropic-version"


def table(world: World) -> Iterator[Route]:
    """List the routes under both paths."""
    del world
    for route in _routes():
        yield route
        yield replace(route, pattern=f"/anthropic{route.pattern}", only_with=b"")


def _routes() -> Iterator[Route]:
    anthropic = Anthropic()
    yield generation("/v1/messages", Messages(), anthropic, "chat", needs_header=_VERSION)
    yield generation(
        "/v1/messages/count_tokens",
        CountTokens(),
        anthropic,
        "count_tokens",
        generates=False,
        needs_header=_VERSION,
    )
    for route in MessageBatches().table(anthropic):
        yield replace(route, needs_header=_VERSION)

    async def models(call: Call) -> Ending:
        return await call.json(anthropic.models(call.created_s))

    yield Route(
        method="GET",
        pattern="/v1/models",
        provider=anthropic,
        operation="models",
        answer=models,
        generates=False,
        only_with=_VERSION,
    )
