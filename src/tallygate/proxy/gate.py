"""
The gate: every LiteLLM hook that tallygate uses, and nothing but the way from there to the books.

LiteLLM looks for hooks in the class's own `__dict__`, so all of them stand here, on the leaf. The
class name holds `_PROXY_`, because LiteLLM then keeps calling it when a caller sends `no-log`.

Errors  Each hook is safe against its own failure: accounting that fails is logged by name and the
        call goes on; only a refusal leaves `async_pre_call_hook`.
"""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from litellm.integrations.custom_logger import CustomLogger

from tallygate.proxy.calls import UNKNOWN_CALL_TYPE, Calls
from tallygate.proxy.routes import UNKNOWN
from tallygate.proxy.state import current_call

log = logging.getLogger("tallygate.proxy")

P = ParamSpec("P")
R = TypeVar("R")


def report(hook: str, error: BaseException) -> None:
    """Log where our own code failed. The error's text stays out: it may quote a request."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"
    log.error("gate_hook_failed hook=%s error=%s place=%s", hook, type(error).__name__, place)


def accounting(hook: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R | None]]:
    """Keep a failure of ours out of the call that it was to account for."""

    @functools.wraps(hook)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return await hook(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the one place that may not fail the call
            report(hook.__name__, error)
            return None

    return guarded


class _PROXY_Gate(CustomLogger):  # type: ignore[misc]  # noqa: N801 - see the module's docstring
    """The callback that LiteLLM is given."""

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self._calls = calls

    async def async_pre_call_hook(
        self,
        user_api_key_dict: Any,
        cache: Any,
        data: dict[str, Any],
        call_type: str,
    ) -> dict[str, Any] | None:
        """Decide, and refuse or stamp. Raises RefusedByPolicy."""
        state = current_call.get()
        if state is None:
            state = self._calls.open_untapped(_scope_of(data), UNKNOWN)
        self._calls.know_principal(state, user_api_key_dict)
        await self._calls.admit(state, data, call_type)
        return data

    @accounting
    async def async_pre_call_deployment_hook(
        self,
        kwargs: dict[str, Any],
        call_type: Any,
    ) -> dict[str, Any] | None:
        return self._calls.begin_attempt(kwargs, _name(call_type))

    def log_pre_api_call(
        self,
        model: Any,
        messages: Any,
        kwargs: dict[str, Any],
    ) -> None:
        """Open the attempt; synchronous, and sometimes on a thread of LiteLLM's."""
        try:
            self._calls.on_wire(kwargs)
        except Exception as error:  # noqa: BLE001 - accounting must not fail the call
            report("log_pre_api_call", error)

    @accounting
    async def async_post_call_success_deployment_hook(
        self,
        request_data: dict[str, Any],
        response: Any,
        call_type: Any,
    ) -> None:
        self._calls.answered(response)

    @accounting
    async def async_post_call_failure_deployment_hook(
        self,
        request_data: Any,
        exception: Exception,
        call_type: Any,
        fallback_depth: int | None = None,
    ) -> None:
        self._calls.failed(exception)

    async def async_logging_hook(
        self,
        kwargs: dict[str, Any],
        result: Any,
        call_type: str,
    ) -> tuple[dict[str, Any], Any]:
        """Settle streams and cache hits; LiteLLM runs it before any callback that may be slow."""
        try:
            self._calls.logged(kwargs, result)
        except Exception as error:  # noqa: BLE001 - accounting must not fail the call
            report("async_logging_hook", error)
        return kwargs, result

    @accounting
    async def async_log_failure_event(
        self,
        kwargs: dict[str, Any],
        response_obj: Any,
        start_time: Any,
        end_time: Any,
    ) -> None:
        self._calls.log_failed(kwargs, response_obj)


def _scope_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Put the request's headers, as LiteLLM passes them on, into ASGI's shape."""
    request = data.get("proxy_server_request")
    headers = request.get("headers") if isinstance(request, Mapping) else None
    pairs = headers.items() if isinstance(headers, Mapping) else ()
    return {
        "headers": [
            (name.lower().encode("latin-1", "replace"), value.encode("utf-8", "replace"))
            for name, value in pairs
            if isinstance(name, str) and isinstance(value, str)
        ]
    }


def _name(call_type: object) -> str:
    return str(getattr(call_type, "value", call_type) or UNKNOWN_CALL_TYPE)
