"""Callbacks of others, as a proxy's config may list them beside the gate: copied beside it."""

from __future__ import annotations

import asyncio
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

SLOW_S = 2.5


class Slow(CustomLogger):
    """Takes its time over everything that LiteLLM logs."""

    async def async_logging_hook(
        self, kwargs: dict[str, Any], result: Any, call_type: str
    ) -> tuple[dict[str, Any], Any]:
        await asyncio.sleep(SLOW_S)
        return kwargs, result

    async def async_log_success_event(self, *_: Any) -> None:
        await asyncio.sleep(SLOW_S)

    async def async_log_failure_event(self, *_: Any) -> None:
        await asyncio.sleep(SLOW_S)


class Raising(CustomLogger):
    """Fails at everything that LiteLLM logs."""

    async def async_logging_hook(
        self, kwargs: dict[str, Any], result: Any, call_type: str
    ) -> tuple[dict[str, Any], Any]:
        raise RuntimeError(call_type)

    async def async_log_success_event(self, *_: Any) -> None:
        raise RuntimeError

    async def async_log_failure_event(self, *_: Any) -> None:
        raise RuntimeError

    def log_pre_api_call(self, *_: Any) -> None:
        raise RuntimeError

    async def async_post_call_failure_hook(self, *_: Any, **__: Any) -> None:
        raise RuntimeError


slow = Slow()
raising = Raising()
