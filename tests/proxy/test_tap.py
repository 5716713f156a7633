"""The tap around a plain ASGI application, with the real calls, journal and line behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import Any, Final

import httpx
import pytest

from fakes.engines import ADMIT
from fakes.entries import NOON_NS
from fakes.lines import REJECT, a_line
from tallygate.domain.attribution.contract import Principal
from tallygate.proxy.calls import Calls
from tallygate.proxy.journal import Journal
from tallygate.proxy.refused import RefusedByPolicy
from tallygate.proxy.routes import RouteRule, rule_of
from tallygate.proxy.state import CallState, current_call
from tallygate.proxy.tap import (
    Message,
    Receive,
    Scope,
    Send,
    Tap,
    _root_paths,
    is_llm_path,
    rule_in,
)

CHAT: Final = "/v1/chat/completions"
OURS: Final = "x-tallygate-"


class WatchedCalls(Calls):
    """The real one, which also remembers the states that it opened and ended."""

    def __init__(self, answer: Mapping[str, Any] = ADMIT) -> None:
        line = a_line(lambda _: answer)
        super().__init__(line, Journal(line, 30.0))
        self.opened: list[CallState] = []
        self.ended: list[CallState] = []

    def open_call(self, scope: Mapping[str, Any], rule: RouteRule) -> CallState:
        state = super().open_call(scope, rule)
        self.opened.append(state)
        return state

    def end_call(self, state: CallState) -> None:
        super().end_call(state)
        self.ended.append(state)


Inside = Callable[[WatchedCalls, CallState | None], Awaitable[None]]


class PlainApp:
    """An application that decides in the middle, as LiteLLM does, and answers in two parts."""

    def __init__(self, calls: WatchedCalls, inside: Inside) -> None:
        self._calls = calls
        self._inside = inside
        self.seen: list[CallState | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(current_call.get())
        await receive()
        await self._inside(self._calls, current_call.get())
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"x/y")]}
        )
        await send({"type": "http.response.body", "body": b"one,", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})


async def decides(calls: WatchedCalls, state: CallState | None) -> None:
    assert state is not None
    state.principal = Principal(team="llm-support")
    await calls.admit(state, {"model": "gpt-5.4"}, "acompletion")


async def passes_by(_calls: WatchedCalls, _state: CallState | None) -> None:
    """Do what a route without a decision does: nothing."""


async def fails(calls: WatchedCalls, state: CallState | None) -> None:
    await decides(calls, state)
    raise RuntimeError("the application fails")


async def asked(
    inside: Inside,
    path: str = CHAT,
    *,
    answer: Mapping[str, Any] = ADMIT,
    root_path: str = "",
    headers: Mapping[str, str] | None = None,
) -> tuple[httpx.Response, WatchedCalls, PlainApp]:
    calls = WatchedCalls(answer)
    app = PlainApp(calls, inside)
    transport = httpx.ASGITransport(app=Tap(app, calls), root_path=root_path)  # type: ignore[arg-type]  # messages are any mapping here
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as client:
        response = await client.post(path, json={}, headers=dict(headers or {}))
    return response, calls, app


def our_headers(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith(OURS)}


async def test_once_it_is_decided_the_response_says_how() -> None:
    response, calls, _ = await asked(decides, headers={"x-trace-id": "tr_9f4c"})

    (state,) = calls.ended
    assert state.admission is not None
    assert our_headers(response) == {
        "x-tallygate-call-id": state.call_id,
        "x-tallygate-decision-id": state.admission.decision.decision_id,
        "x-tallygate-trace-id": "tr_9f4c",
        "x-tallygate-mode": "enforce",
        "x-tallygate-action": "admit",
    }
    assert response.headers["content-type"] == "x/y"
    assert response.text == "one,two"


async def test_violations_are_told_as_codes_and_fields() -> None:
    answer = {**REJECT, "action": "admit", "mode": "report_only"}

    response, _, _ = await asked(decides, answer=answer)

    assert response.headers["x-tallygate-violations"] == "ownership_missing:feature"


async def test_before_it_is_decided_nothing_is_disclosed() -> None:
    response, calls, _ = await asked(passes_by)

    assert our_headers(response) == {}
    assert len(calls.ended) == 1


async def test_hooks_inside_find_the_call_and_nobody_outside_does() -> None:
    _, calls, app = await asked(decides)

    assert app.seen == calls.opened == calls.ended
    assert current_call.get() is None


async def test_the_call_is_known_by_its_headers_before_anything_runs() -> None:
    sent = {"x-trace-id": "tr_1", "x-stainless-retry-count": "2"}

    _, calls, _ = await asked(passes_by, headers=sent)

    (state,) = calls.opened
    assert state.trace.trace_id == "tr_1"
    assert state.client_retry_count == 2
    assert state.started_at_ns == NOON_NS
    assert (b"x-trace-id", b"tr_1") in list(state.headers)


@pytest.mark.parametrize("count", ["", "-1", "x", "10000", "1.5", "\u00b2"])
async def test_a_retry_count_that_cannot_be_read_is_none(count: str) -> None:
    calls = WatchedCalls()
    headers = [(b"x-stainless-retry-count", count.encode("latin-1"))]
    sent: list[Message] = []
    await Tap(PlainApp(calls, passes_by), calls)(a_scope(headers=headers), a_body, into(sent))

    assert calls.opened[0].client_retry_count is None


@pytest.mark.parametrize(
    ("inside", "error"),
    [
        pytest.param(fails, RuntimeError, id="the application fails"),
        pytest.param(decides, RefusedByPolicy, id="the call is refused"),
    ],
)
async def test_a_call_ends_also_where_an_exception_ends_it(
    inside: Inside, error: type[Exception]
) -> None:
    calls = WatchedCalls(REJECT if error is RefusedByPolicy else ADMIT)
    tap = Tap(PlainApp(calls, inside), calls)

    with pytest.raises(error):
        await tap(a_scope(), a_body, into([]))

    assert calls.ended == calls.opened
    assert current_call.get() is None


@pytest.mark.parametrize(
    ("path", "is_ours"),
    [
        pytest.param("/v1/chat/completions", True, id="chat"),
        pytest.param("/v1/messages", True, id="messages"),
        pytest.param("/v1/embeddings", True, id="embeddings"),
        pytest.param("/health/liveliness", False, id="health"),
        pytest.param("/key/generate", False, id="a key's administration"),
        pytest.param("/", False, id="the root"),
        pytest.param("/nothing/here", False, id="nothing"),
    ],
)
async def test_only_what_can_reach_a_provider_is_touched(path: str, is_ours: bool) -> None:
    response, calls, app = await asked(decides if is_ours else passes_by, path)

    assert len(calls.opened) == is_ours
    assert bool(our_headers(response)) is is_ours
    assert (app.seen == [None]) is not is_ours
    assert is_llm_path(path) is is_ours


@pytest.mark.parametrize(
    ("path", "is_ours"),
    [
        pytest.param("/proxy/v1/chat/completions", True, id="below the root path"),
        pytest.param("/v1/chat/completions", True, id="a server that cut the root path off"),
        pytest.param("/proxy/health/liveliness", False, id="health below the root path"),
    ],
)
async def test_a_root_path_is_not_part_of_a_route(path: str, is_ours: bool) -> None:
    _, calls, _ = await asked(passes_by, path, root_path="/proxy")

    assert len(calls.opened) == is_ours


async def test_a_line_feed_after_a_route_is_no_way_past_the_gate() -> None:
    """The router takes such a path for the route: its patterns end in `$`."""
    response, calls, _ = await asked(decides, f"{CHAT}%0A")

    assert [state.rule.pattern for state in calls.opened] == [CHAT]
    assert our_headers(response)


async def test_what_is_no_request_passes_untouched() -> None:
    calls = WatchedCalls()
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)

    lifespan: Scope = {"type": "lifespan"}
    await Tap(app, calls)(lifespan, a_body, into([]))

    assert scopes == [lifespan]
    assert calls.opened == []


@pytest.mark.parametrize(
    ("kind", "message", "is_gone"),
    [
        pytest.param("http", "http.disconnect", True, id="http"),
        # A session has no answer that could be cut short: its client ends it.
        pytest.param("websocket", "websocket.disconnect", False, id="websocket"),
        pytest.param("http", "http.request", False, id="a body"),
    ],
)
async def test_a_client_that_goes_away_is_noticed(kind: str, message: str, is_gone: bool) -> None:
    calls = WatchedCalls()
    path = "/v1/realtime" if kind == "websocket" else CHAT

    async def receive() -> Message:
        return {"type": message}

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        assert (await receive())["type"] == message

    await Tap(app, calls)(a_scope(type=kind, path=path), receive, into([]))

    assert calls.ended[0].client_gone is is_gone


async def test_a_client_that_has_its_whole_answer_is_not_one_that_went_away() -> None:
    """Method: the message that servers send once the last byte is out, as pass-through reads it."""
    calls = WatchedCalls()
    parts = [True, True, False]

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        for more_body in parts:
            await send({"type": "http.response.body", "body": b"x", "more_body": more_body})
        await receive()

    await Tap(app, calls)(a_scope(), receive, into([]))
    parts.pop()
    await Tap(app, calls)(a_scope(), receive, into([]))

    assert [state.client_gone for state in calls.ended] == [False, True]


async def test_a_websocket_gets_the_headers_as_it_is_accepted() -> None:
    calls = WatchedCalls()
    sent: list[Message] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await decides(calls, current_call.get())
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})

    scope = a_scope(type="websocket", path="/v1/realtime")
    del scope["method"]
    await Tap(app, calls)(scope, a_body, into(sent))

    accepted, said = sent
    assert b"x-tallygate-action" in dict(accepted["headers"])
    assert "headers" not in said


async def test_two_calls_at_once_keep_their_own_states() -> None:
    calls = WatchedCalls()
    app = PlainApp(calls, decides)
    transport = httpx.ASGITransport(app=Tap(app, calls))  # type: ignore[arg-type]  # messages are any mapping here
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as client:
        answers = await asyncio.gather(
            *(client.post(CHAT, headers={"x-trace-id": trace}) for trace in ("tr_1", "tr_2"))
        )

    assert [a.headers["x-tallygate-trace-id"] for a in answers] == ["tr_1", "tr_2"]
    assert len({a.headers["x-tallygate-decision-id"] for a in answers}) == 2


def a_scope(**changes: Any) -> Scope:
    scope: Scope = {"type": "http", "path": CHAT, "root_path": "", "method": "POST", "headers": []}
    return {**scope, **changes}


async def a_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def into(sent: list[Message]) -> Send:
    async def send(message: Message) -> None:
        sent.append(message)

    return send


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        pytest.param("SERVER_ROOT_PATH", "/", CHAT, id="a root path that is only a slash"),
        pytest.param("SERVER_ROOT_PATH", "/llm", f"/llm{CHAT}", id="one root path"),
        pytest.param("SERVER_ROOT_PATHS", "/a, /b/", f"/b{CHAT}", id="one of several"),
    ],
)
def test_no_root_path_hides_a_route(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, path: str
) -> None:
    monkeypatch.setenv(name, value)
    _root_paths.cache_clear()

    rule = rule_in(a_scope(path=path))

    _root_paths.cache_clear()
    assert rule is not None
    assert rule.governed
    assert rule.known


async def test_a_line_that_fails_itself_refuses_what_is_enforced_and_passes_the_rest() -> None:
    """Method: headers that no server hands over, so that reading the claims fails."""
    for team, is_refused in (("llm-support", True), (None, False)):
        line = a_line()
        calls = Calls(line, Journal(line, 5))
        state = calls.open_call(a_scope(), rule_of(CHAT, "POST"))
        state.principal = Principal(team=team)
        state.headers = None  # type: ignore[assignment]  # what no server sends

        with pytest.raises(RefusedByPolicy) if is_refused else nullcontext():
            await calls.admit(state, {}, "acompletion")

        assert state.admission is not None
        assert state.admission.decision.status == "unavailable"
