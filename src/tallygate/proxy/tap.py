"""
The outermost ASGI layer: opens a call's state, adds response headers, closes the call.

It decides nothing, because it runs before authentication. LiteLLM's middleware, auth, hooks and
response all run inside it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any, Protocol

from litellm.proxy.auth.route_checks import RouteChecks
from litellm.proxy.pass_through_endpoints.pass_through_endpoints import (
    InitPassThroughEndpointHelpers,
)

from tallygate.proxy.routes import CUSTOM_PASS_THROUGH, WEBSOCKET, RouteRule, rule_of
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
        rule = _rule(scope) if scope["type"] in {"http", "websocket"} else None
        if rule is None:
            await self.app(scope, receive, send)
            return
        calls, state = self._calls, self._calls.open_call(scope, rule)

        is_answered = False

        async def receive_and_watch() -> Message:
            message = await receive()
            if message["type"] in {"http.disconnect", "websocket.disconnect"}:
                state.client_gone |= not is_answered  # servers say so after each answer
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal is_answered
            if message["type"] in {"http.response.start", "websocket.accept"}:
                message["headers"] = [
                    *message.get("headers", ()),
                    *calls.before_response(state),
                ]
            elif message["type"] == "http.response.body":
                is_answered = not message.get("more_body", False)
            await send(message)

        token = current_call.set(state)
        try:
            await self.app(scope, receive_and_watch, send_with_headers)
        finally:
            current_call.reset(token)
            calls.end_call(state)


def _rule(scope: Scope) -> RouteRule | None:
    """Find the rule of a route that can reach a provider; None for all others."""
    path = _path(scope)
    rule = rule_of(path, scope.get("method", WEBSOCKET))
    if rule.known or is_llm_path(path):
        return rule
    if InitPassThroughEndpointHelpers.is_registered_pass_through_route(path):
        return CUSTOM_PASS_THROUGH
    return None


def _path(scope: Scope) -> str:
    """Return the path as the router reads it: its patterns end before a last line feed (`%0A`)."""
    path, root = str(scope.get("path", "")), str(scope.get("root_path", ""))
    return path.removeprefix(root).removesuffix("\n")
