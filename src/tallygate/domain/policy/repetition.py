"""
Identical refusals, counted: the first few of a minute get an event each, the rest share one.

A client that retries a refused call in a loop must not be able to fill the ledger.

Units   Minutes of UTC; the count stands on the aggregate event as `call_count`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

EventT = TypeVar("EventT")
_MINUTE_NS: Final = 60 * 1_000_000_000
_LONGEST_HELD_NS: Final = 5 * 1_000_000_000
_MAX_KEYS: Final = 4096
"""Past this many distinct refusals in one minute each is written on its own again."""


@dataclass(slots=True)
class _Run(Generic[EventT]):
    sample: EventT
    written: int = 0
    held_back: int = 0


@dataclass(slots=True)
class Repetition(Generic[EventT]):
    """Counts refusals by key for one minute at a time."""

    first: int = 5
    """How many of a kind are written on their own each minute."""
    _minute: int = -1
    _handed_out_ns: int = 0
    _runs: dict[Hashable, _Run[EventT]] = field(default_factory=dict)

    def admit(self, key: Hashable, event: EventT, at_ns: int) -> bool:
        """Tell whether to write this one on its own; ask `due` first, with the same instant."""
        if at_ns // _MINUTE_NS != self._minute:
            self._minute, self._handed_out_ns = at_ns // _MINUTE_NS, at_ns
        run = self._runs.get(key)
        if run is None:
            if len(self._runs) >= _MAX_KEYS:
                return True
            run = self._runs[key] = _Run(event)
        if run.written < self.first:
            run.written += 1
            return True
        run.sample = event
        run.held_back += 1
        return False

    def due(self, at_ns: int) -> Iterator[tuple[EventT, int]]:
        """
        Hand out aggregates: the last event, and how many it stands for.

        Every few seconds, so that a process that is killed has not kept many to itself; what each
        kind may write on its own is counted by the minute.
        """
        if at_ns // _MINUTE_NS != self._minute:
            yield from self.flush()
        elif at_ns - self._handed_out_ns >= _LONGEST_HELD_NS:
            self._handed_out_ns = at_ns
            for run in self._runs.values():
                if run.held_back:
                    yield run.sample, run.held_back
                    run.held_back = 0

    def flush(self) -> Iterator[tuple[EventT, int]]:
        """Hand out all aggregates, at the end."""
        runs, self._runs = self._runs, {}
        for run in runs.values():
            if run.held_back:
                yield run.sample, run.held_back
