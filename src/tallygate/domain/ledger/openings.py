"""
Opened records that are not read before somebody has to look into them.

Most openings are followed by their settlement within the same batch, and all that the drain then
needs of them is the id. Reading the rest would be half of the drain's reading.
"""

from __future__ import annotations

import re
from typing import Final

from typing_extensions import override

from tallygate.domain.ledger.codec import record_from_bytes
from tallygate.domain.ledger.events import Event, SpoolRecord, Stage

_BEGINNING: Final = re.compile(
    rb'\{"stage":"opened","event":\{"event_id":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",'
)


class UnreadOpening(SpoolRecord):
    """An opened record of which only the id was read; `event` reads and checks the rest."""

    __slots__ = ("_id", "_read", "content", "place")

    content: bytes
    place: tuple[int, int]
    """Segment and offset, to keep it aside where it turns out to be no event."""
    _id: str
    _read: Event | None

    def __init__(self, event_id: str, content: bytes, place: tuple[int, int]) -> None:
        keep = object.__setattr__  # the class above is frozen
        keep(self, "stage", Stage.OPENED)
        keep(self, "content", content)
        keep(self, "place", place)
        keep(self, "_id", event_id)
        keep(self, "_read", None)

    @classmethod
    def found_in(cls, content: bytes, place: tuple[int, int]) -> UnreadOpening | None:
        """Return the record if it begins as our writer begins an opened one."""
        found = _BEGINNING.match(content)
        return cls(found[1].decode(), content, place) if found else None

    @property
    @override
    def event_id(self) -> str:
        return self._id

    @property
    @override
    def event(self) -> Event:
        """Raise RecordInvalid where it was no event after all."""
        if self._read is None:
            object.__setattr__(self, "_read", record_from_bytes(self.content).event)
            assert self._read is not None
        return self._read

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SpoolRecord):
            return NotImplemented
        return (self.stage, self.event) == (other.stage, other.event)

    @override
    def __hash__(self) -> int:
        return hash(self._id)
