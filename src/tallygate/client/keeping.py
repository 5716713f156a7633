"""
Where the values are between a `with` and a call: OpenTelemetry's context, else a ContextVar.

Either way they follow asyncio tasks, `asyncio.to_thread` and `copy_context`. Of OpenTelemetry only
the API is used, so the service's own propagators carry the same values. What they bring in is never
taken for ours: a stranger's request may have sent it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from tallygate.client.tracing import Trace


@dataclass(frozen=True, slots=True)
class Held:
    """What a block has put here, and nobody else can."""

    fields: Mapping[str, str]
    """Said by a block or by `extract`, outer blocks included."""
    scope: Any
    """The innermost `Scope`; its class is in blocks.py, which imports this module."""
    trace: Trace | None
    """Received or minted; None where a span was active all along."""


class Keeping(Protocol):
    """A place for the values of the running task."""

    def held(self) -> Held | None: ...
    def traceparent(self) -> str | None:
        """Give the active span's header; None without one."""
        ...

    def put(self, held: Held, received: Trace | None) -> Any:  # noqa: ANN401 - only `restore` reads it
        """Replace the values; returns what to give to `restore`."""
        ...

    def restore(self, before: Any) -> None: ...  # noqa: ANN401 - what `put` returned


class PlainKeeping:
    """A ContextVar of our own."""

    def __init__(self) -> None:
        self._kept: ContextVar[Held | None] = ContextVar("tallygate_ownership", default=None)

    def held(self) -> Held | None:
        return self._kept.get()

    def traceparent(self) -> None:
        return None

    def put(self, held: Held, received: Trace | None) -> Any:  # noqa: ANN401, ARG002 - as the protocol has it; the trace is in `held`
        before = self._kept.get()
        self._kept.set(held)
        return before

    def restore(self, before: Any) -> None:  # noqa: ANN401 - as the protocol has it
        self._kept.set(before)
