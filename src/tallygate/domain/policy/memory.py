"""
Remembered answers: one question asked again gets the same answer without asking the policy.

Shapes  A question is the policy's input document. `now` is no part of its identity: an answer
        holds on [computed at, valid_until), both as the policy writes instants.
Exact   A clock that was set back, a boundary that was reached, another revision: all miss.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Generic, TypeGuard, TypeVar

from tallygate.domain.kernel.digests import canonical_json

_INSTANT_WIDTH: Final = len("2026-11-21T10:00:00Z")

Answer = TypeVar("Answer")


class RememberedDecisions(Generic[Answer]):
    """The answers of one revision, bounded, least recently used out first."""

    def __init__(self, capacity: int) -> None:
        assert capacity > 0, capacity
        self._capacity = capacity
        self._revision = ""
        self._answers: OrderedDict[bytes, tuple[str, str, str, Answer]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def recall(self, revision: str, question: Mapping[str, Any]) -> Answer | None:
        """Return the answer that still holds at the question's `now`, else None."""
        key = _key_of(question)
        entry = self._answers.get(key) if key is not None else None
        if key is None or entry is None or entry[0] != revision:
            return None
        now = question.get("now")
        if not _is_instant(now) or not entry[1] <= now < entry[2]:
            return None
        with suppress(KeyError):  # another thread pushed it out meanwhile; it holds all the same
            self._answers.move_to_end(key)
        return entry[3]

    def remember(
        self, revision: str, question: Mapping[str, Any], answer: Answer, valid_until: str
    ) -> None:
        """Keep an answer; one whose boundaries cannot be read is not kept."""
        key = _key_of(question)
        now = question.get("now")
        if key is None or not _is_instant(now) or not _is_instant(valid_until):
            return
        if revision != self._revision:
            self._answers.clear()
            self._revision = revision
        self._answers.pop(key, None)
        self._answers[key] = (revision, now, valid_until, answer)
        while len(self._answers) > self._capacity:
            self._answers.popitem(last=False)


def _key_of(question: Mapping[str, Any]) -> bytes | None:
    try:
        return canonical_json({name: part for name, part in question.items() if name != "now"})
    except TypeError:  # not JSON (a lone surrogate, say): asked each time, the engine refuses it
        return None


def _is_instant(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and len(text) == _INSTANT_WIDTH and text.endswith("Z")
