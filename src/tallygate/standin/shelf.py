"""What the stand-in keeps between calls: objects by id, in memory, and how far a job is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tallygate.standin.answers import RequestUnacceptable
from tallygate.standin.directives import Directives

Kept = TypeVar("Kept")
_MOST_LISTED = 100
_LISTED = 20


@dataclass(slots=True)
class Shelf(Generic[Kept]):
    """Objects of one kind, oldest first; beyond `keep` the oldest are forgotten."""

    kind: str
    keep: int = 10_000
    _kept: OrderedDict[str, Kept] = field(default_factory=OrderedDict)

    def put(self, kept_id: str, kept: Kept) -> None:
        self._kept[kept_id] = kept
        if len(self._kept) > self.keep:
            self._kept.popitem(last=False)

    def get(self, kept_id: object) -> Kept:
        """Give what has the id; without it the provider answers 404."""
        if isinstance(kept_id, str) and kept_id in self._kept:
            return self._kept[kept_id]
        raise RequestUnacceptable(f"No such {self.kind}.", "id", status=404)

    def remove(self, kept_id: str) -> None:
        self.get(kept_id)
        del self._kept[kept_id]

    def newest_first(self) -> list[Kept]:
        return list(reversed(self._kept.values()))


@dataclass(slots=True)
class Progress:
    """How far a job in the background is: it gets on by being looked at."""

    polls: int
    due_s: float | None
    seen: int = 0

    def look(self, now_s: float) -> bool:
        """Count a look, and say whether the job is over."""
        self.seen += 1
        return self.seen >= self.polls if self.due_s is None else now_s >= self.due_s


def progress_for(wishes: Directives, created_s: int, polls: int = 2) -> Progress:
    """Begin a job; `polls` is for those that wish for nothing."""
    due_s = None if wishes.takes is None else created_s + wishes.takes
    return Progress(polls=wishes.polls or polls, due_s=due_s)


def page_of(
    entries: list[Kept], query: Mapping[str, str], shown: Callable[[Kept], dict[str, Any]]
) -> dict[str, Any]:
    """Give OpenAI's list of objects, newest first; `order`, `after` and `limit` count."""
    objects = [shown(entry) for entry in entries]
    if query.get("order") == "asc":
        objects.reverse()
    ids = [entry["id"] for entry in objects]
    if query.get("after") in ids:
        objects = objects[ids.index(query["after"]) + 1 :]
    asked = query.get("limit", "")
    limit = min(int(asked), _MOST_LISTED) if asked.isdecimal() else _LISTED
    data = objects[:limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(objects) > limit,
    }
