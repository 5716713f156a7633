"""
The outermost ASGI layer: opens a call's state, adds response headers, closes the call.

It decides nothing, because it runs before authentication. LiteLLM's middleware, auth, hooks and
response all run inside it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from functools import lru_cache
from typing import Any, Protocol

from litellm.proxy.auth.route_checks import RouteChecks
from litellm.proxy.pass_through_endpoints.pass_through_endpoints import (
    InitPassThroughEndpointHelpers,
)

from tallygate.proxy.route_table import WEBSOCKET
from tallygate.proxy.routes import CUSTOM_PASS_THROUGH, RouteRule, rule_of
from tallygate.proxy.state import CallState, current_call

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Calls(Protocol):
    """What the tap needs of the gate."""

    def open_call(self, scope: Scope, rule: RouteRule) -> CallState: ...
    def before_response(self, state: CallState) -> list[tuple[bytes, bytes]]: ...
    def headers_onward(self, state: CallState) -> list[tuple[bytes, bytes]]: ...
    def answer_begins(
        self, state: CallState, status: int, headers: Iterable[tuple[bytes, bytes]]
    ) -> None: ...
    def answer_part(self, state: CallState, data: bytes, *, more: bool) -> None: ...
    def is_hidden(self, state: CallState, data: bytes) -> bool: ...
    def frame(self, state: CallState, message: Message) -> None: ...
    def end_call(self, state: CallState) -> None: ...


@lru_cache(maxsize=4096)
def is_llm_path(path: str) -> bool:
    """Whether LiteLLM counts this path as one that can reach a provider (up to 2 ms a path)."""
    return bool(RouteChecks.is_llm_api_route(path))


class Tap:
    """Wraps LiteLLM's whole middleware stack."""

    def __init__(self, app: App, calls: Calls) -> None:
        self.app = app  # FastAPI's telemetry walks the stack by this name
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rule = rule_in(scope) if scope["type"] in {"http", "websocket"} else None
        if rule is None:
            await self.app(scope, receive, send)
            return
        calls, state = self._calls, self._calls.open_call(scope, rule)
        scope["headers"] = calls.headers_onward(state)

        is_answered = False

        async def receive_and_watch() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                state.client_gone |= not is_answered  # servers say so after each answer
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal is_answered
            if message["type"] in {"http.response.start", "websocket.accept"}:
                calls.answer_begins(state, message.get("status", 0), message.get("headers", ()))
                message["headers"] = [
                    *message.get("headers", ()),
                    *calls.before_response(state),
                ]
            elif message["type"] == "http.response.body":
                is_answered = not message.get("more_body", False)
                calls.answer_part(state, message.get("body", b""), more=not is_answered)
                if calls.is_hidden(state, message.get("body", b"")):
                    return
            elif message["type"].startswith("websocket."):
                calls.frame(state, message)
            await send(message)

        token = current_call.set(state)
        try:
            await self.app(scope, receive_and_watch, send_with_headers)
        finally:
            current_call.reset(token)
            calls.end_call(state)


def rule_in(scope: Scope) -> RouteRule | None:
    """Find the rule of a route that can reach a provider; None for all others."""
    method = scope.get("method", WEBSOCKET)
    for path in dict.fromkeys(_paths(scope)):
        rule = rule_of(path, method)
        if rule.known:
            return rule
        if InitPassThroughEndpointHelpers.is_registered_pass_through_route(path):
            return CUSTOM_PASS_THROUGH  # LiteLLM counts these as LLM routes too
        if is_llm_path(path):
            return rule
    return None


def _paths(scope: Scope) -> Iterator[str]:
    """
    Read the path in every way that a router behind the tap may.

    LiteLLM sets the root path of `SERVER_ROOT_PATHS` in a middleware of its own, later than this.
    """
    path = str(scope.get("path", ""))
    for whole in (path, path.rstrip("\n")):  # Starlette's patterns match before a last line feed
        yield whole
        for prefix in (str(scope.get("root_path", "")).rstrip("/"), *_root_paths()):
            if prefix and whole.startswith(f"{prefix}/"):
                yield whole.removeprefix(prefix)


@lru_cache(maxsize=1)
def _root_paths() -> tuple[str, ...]:
    listed = os.environ.get("SERVER_ROOT_PATHS", "").split(",")
    named = [name.strip().strip("/") for name in (os.environ.get("SERVER_ROOT_PATH", ""), *listed)]
    return tuple(f"/{name}" for name in named if name)
