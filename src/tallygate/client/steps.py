"""Generators and awaitables whose every step runs in a context of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from contextvars import Context
from typing import Any, cast


def in_steps(inside: Context, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Wrap a generator, or what an awaitable iterates, so that its body runs in `inside`."""
    return cast("Generator[Any, Any, Any]", _Steps(inside, steps))


class Awaited:
    """An awaitable run in `inside`."""

    def __init__(self, inside: Context, awaitable: Awaitable[Any]) -> None:
        self._inside = inside
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        # What an awaitable iterates is a generator in all but its type.
        steps: Any = self._awaitable.__await__()
        return in_steps(self._inside, steps)


class _Steps:
    def __init__(self, inside: Context, steps: Generator[Any, Any, Any]) -> None:
        self._inside = inside
        self._steps = steps

    def __iter__(self) -> _Steps:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - whatever goes through
        return self._inside.run(self._steps.send, None)

    def send(self, value: Any) -> Any:  # noqa: ANN401 - whatever goes through
        return self._inside.run(self._steps.send, value)

    def throw(self, kind: Any, value: Any = None, _traceback: Any = None, /) -> Any:  # noqa: ANN401 - a class, an instance, or the old three
        return self._inside.run(self._steps.throw, kind if value is None else value)

    def close(self) -> None:
        self._inside.run(self._steps.close)
