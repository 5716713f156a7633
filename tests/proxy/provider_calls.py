"""
One client request, seen from the tap, around LiteLLM's own functions and a provider that is not.

pytest-httpx stands where the socket would be. Like the real transport it says when a first byte
leaves, so that attempts are opened, and statuses read, on the way that the proxy uses.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import litellm
import orjson
import pytest
from pytest_httpx import HTTPXMock, IteratorStream

from fakes.lines import HEADERS, a_line, events_in, stages_in
from tallygate.adapters.files.rule_books import RuleBookFolder
from tallygate.application.pricing import price_of
from tallygate.domain.ledger.events import Event, Outcome, Price, PriceStatus, Stage
from tallygate.proxy.calls import Calls
from tallygate.proxy.gate import _PROXY_Gate
from tallygate.proxy.journal import Journal
from tallygate.proxy.routes import rule_of
from tallygate.proxy.state import CallState, current_call

WIRE_FORMATS: Final = Path(__file__).with_name("wire_formats")
BOOKS: Final = RuleBookFolder(Path(__file__).parents[2] / "policies")
DEADLINE_S: Final = 10.0
MESSAGES: Final = [{"role": "user", "content": "Whose ticket is it?"}]
GPT: Final = "openai/gpt-5.4-mini"
CLAUDE: Final = "anthropic/claude-sonnet-5-5"
LEFT_OUT: Final = ...

# LiteLLM builds pydantic models of types that pydantic warns about, and reads old attributes.
LITELLM_WARNINGS: Final = [
    pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
]
REQUEST_ID: Final = "req_0f3c"
SECRET: Final = "the text of an error that quotes a prompt"


def wire_json(name: str, **changes: Any) -> dict[str, Any]:
    """Read what a provider sent; a keyword replaces a top-level key or leaves it out."""
    body: dict[str, Any] = orjson.loads((WIRE_FORMATS / name).read_bytes()) | changes
    return {key: value for key, value in body.items() if value is not LEFT_OUT}


def wire_events(name: str) -> list[bytes]:
    """Read a stream of server-sent events as the parts in which it came."""
    raw = (WIRE_FORMATS / name).read_bytes()
    return [event + b"\n\n" for event in raw.strip().split(b"\n\n")]


class Provider:
    """Answers in the provider's own words, one answer per request."""

    def __init__(self, mock: HTTPXMock) -> None:
        self._mock = mock

    def answers(
        self, body: object, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        content = {"content-type": "application/json"}
        self._add(
            lambda: httpx.Response(
                status, content=orjson.dumps(body), headers=_headers(content, headers)
            )
        )

    def streams(self, events: Iterable[bytes]) -> None:
        content = {"content-type": "text/event-stream; charset=utf-8"}
        self._add(
            lambda: httpx.Response(200, stream=IteratorStream(events), headers=_headers(content))
        )

    def says_nothing(self) -> None:
        """Take the request, and let it time out."""
        self._add(lambda: _raise(httpx.ReadTimeout(SECRET)))

    def _add(self, answer: Callable[[], httpx.Response]) -> None:
        async def send(request: httpx.Request) -> httpx.Response:
            await request.extensions["trace"]("http11.send_request_headers.started", {})
            return answer()

        self._mock.add_callback(send)


class GatedCall:
    """The gate over fakes, around one client request."""

    def __init__(self) -> None:
        self.line = a_line()
        self.journal = Journal(self.line, settle_grace_s=DEADLINE_S)
        self.calls = Calls(self.line, self.journal)
        self.gate = _PROXY_Gate(self.calls)
        self._state: CallState | None = None

    async def arrives(
        self, path: str, call_type: str, forward: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Do what the tap and the pre-call hook do, in a context of its own; then forward it."""
        state = self._state = self.calls.open_call({"headers": HEADERS}, rule_of(path, "POST"))

        async def within_the_tap() -> None:
            current_call.set(state)
            await self.calls.admit(state, {}, call_type)
            await forward()

        await asyncio.create_task(within_the_tap(), context=contextvars.Context())

    async def settled(self, events: int = 1) -> list[Event]:
        """End the response, as the tap does, and wait for what LiteLLM logs in its own time."""
        assert self._state is not None
        self.calls.before_response(self._state)
        self.calls.end_call(self._state)
        until = time.monotonic() + DEADLINE_S
        while stages_in(self.line).count(Stage.SETTLED) < events:
            assert time.monotonic() < until, stages_in(self.line)
            await asyncio.sleep(0.002)
        assert stages_in(self.line).count(Stage.SETTLED) == events, stages_in(self.line)
        assert stages_in(self.line).count(Stage.OPENED) == events, stages_in(self.line)
        return [event for event in events_in(self.line) if event.outcome is not None]

    async def outcome(self) -> tuple[Outcome, Price]:
        """Return how the only attempt ended, and its price by the books that we ship."""
        (event,) = await self.settled()
        assert event.outcome is not None
        assert SECRET not in repr(event)
        return event.outcome, price_of(event, BOOKS)


async def chat(call: GatedCall, model: str = GPT, **options: Any) -> None:
    async def forward() -> None:
        answer = await litellm.acompletion(
            model=model, messages=MESSAGES, api_key="sk-x", max_retries=0, **options
        )
        if options.get("stream"):
            async for _ in answer:
                pass

    await call.arrives("/v1/chat/completions", "acompletion", forward)


async def chat_stream(call: GatedCall, model: str = GPT, **options: Any) -> None:
    await chat(call, model, stream=True, stream_options={"include_usage": True}, **options)


async def messages(call: GatedCall, model: str = CLAUDE, **options: Any) -> None:
    """Anthropic's own route, which LiteLLM passes through without converting it."""

    async def forward() -> None:
        answer = await litellm.anthropic.messages.acreate(
            model=model, max_tokens=100, messages=MESSAGES, api_key="sk-x", **options
        )
        if options.get("stream"):
            async for _ in answer:
                pass

    await call.arrives("/v1/messages", "anthropic_messages", forward)


async def embed(call: GatedCall) -> None:
    async def forward() -> None:
        await litellm.aembedding(
            model="openai/text-embedding-3-small", input=["a ticket"], api_key="sk-x"
        )

    await call.arrives("/v1/embeddings", "aembedding", forward)


async def converted(call: GatedCall, **options: Any) -> None:
    """Anthropic behind the chat route: LiteLLM turns its numbers into OpenAI's."""
    await chat(call, CLAUDE, **options)


def is_priced(price: Price, cost: str, **meters: int) -> None:
    assert (price.status, price.cost) == (PriceStatus.PRICED, Decimal(cost))
    assert price.usage is not None
    assert {meter.value: quantity for meter, quantity in price.usage.meters.items()} == meters


def is_unpriced(price: Price, reason: str) -> None:
    assert (price.status, price.cost) == (PriceStatus.UNPRICED, None)
    assert price.unpriced_reason == reason


def _headers(*several: Mapping[str, str] | None) -> dict[str, str]:
    merged = {"x-request-id": REQUEST_ID, "request-id": REQUEST_ID}
    for each in several:
        merged |= each or {}
    return merged


def _raise(error: Exception) -> httpx.Response:
    raise error
