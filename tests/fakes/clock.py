"""Time and ids that a test turns by hand."""

from __future__ import annotations

from itertools import count

from fakes.entries import NOON_NS, event_id


class FakeClock:
    """Stands still until it is told to go on."""

    def __init__(self, at_ns: int = NOON_NS) -> None:
        self.at_ns = at_ns

    def now_ns(self) -> int:
        return self.at_ns

    def go_on(self, *, seconds: float) -> None:
        self.at_ns += int(seconds * 1_000_000_000)


class FakeIds:
    """Mints ids in order, each a UUIDv7."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def __call__(self) -> str:
        return event_id(next(self._numbers))
