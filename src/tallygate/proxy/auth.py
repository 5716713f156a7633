"""
The auth wrapper: LiteLLM's own dependency, and after it the call's principal.

It also decides on the routes where LiteLLM's pre-call hook never fires or sees nothing of the
request (threads, rag, token counts, pass-through).
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from tallygate.proxy.calls import UNKNOWN_CALL_TYPE, Calls
from tallygate.proxy.state import current_call
from tallygate.proxy.tap import rule_in


def wrap_authentication(
    authenticate: Callable[..., Awaitable[Any]], calls: Calls
) -> Callable[..., Awaitable[Any]]:
    """Build the override for FastAPI; it has the original's signature, which FastAPI reads."""

    @functools.wraps(authenticate)
    async def authenticated(*args: Any, **kwargs: Any) -> Any:
        key = await authenticate(*args, **kwargs)
        state = current_call.get()
        request = kwargs.get("request", args[0] if args else None)
        is_tapped = state is not None
        if state is None and request is not None and (rule := rule_in(request.scope)) is not None:
            state = calls.open_untapped(request.scope, rule)
        if state is not None:
            calls.know_principal(state, key)
            if request is not None and (state.rule.decided_in == "auth" or not is_tapped):
                await calls.admit(state, _request_data(request), UNKNOWN_CALL_TYPE)
        return key

    return authenticated


def _request_data(request: Any) -> dict[str, Any]:
    """Return the body as LiteLLM has parsed it while authenticating, in the hooks' shape."""
    parsed = request.scope.get("parsed_body")
    body = parsed[1] if isinstance(parsed, tuple) and len(parsed) == 2 else parsed
    body = body if isinstance(body, dict) else {}
    return {
        "model": body.get("model"),
        "stream": body.get("stream"),
        "proxy_server_request": {"body": body},
    }
