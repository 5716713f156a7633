"""
What would make a call pass: sets of changes that were tried, and after which enforce admits it.

    a violation ─► what the caller could send, what the registry could say, what an override excuses
                   └► put together, decided again, and made as small as it goes

Exact   Nothing is proposed that the engine did not admit. Of up to six changes the smallest set is
        found by trying them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any, Final

from tallygate.application.asked import Asked, asked_from
from tallygate.application.changes import Change, suppose
from tallygate.application.override_check import NEVER_WAIVED
from tallygate.application.policy_places import Places
from tallygate.application.remedies import (
    remedy_by_caller,
    remedy_by_override,
    remedy_by_registry,
    values_to_send,
)

Decide = Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]
"""Answers a question over a data document, which may be another one than that in force."""

_STRUCTURAL: Final = ("service", "environment", "owner_team")
"""The fields that others depend on."""
_TRIED_VALUES: Final = 4
_TRIED_SIZES: Final = 6


@dataclass(frozen=True, slots=True)
class Way:
    """Changes that together make enforce admit the call."""

    by: str
    """`caller`, `registry` or `override`: who has something to do beside the caller."""
    changes: tuple[Change, ...]
    then: Mapping[str, Any]
    """What is decided then."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A question, the data, and what answers over both."""

    question: Mapping[str, Any]
    data: Mapping[str, Any]
    places: Places
    asked: Asked
    decide: Decide

    def with_changes(self, changes: Sequence[Change]) -> tuple[Mapping[str, Any], Asked]:
        """Decide again; returns the decision, and the question as it then is."""
        question, data = suppose(
            self.question, self.data, changes, self.asked.contract, self.asked.registry
        )
        return self.decide(question, data), asked_from(question, self.places)


def ways_to_pass(
    question: Mapping[str, Any], data: Mapping[str, Any], places: Places, decide: Decide
) -> tuple[Way, ...]:
    """Find what would make enforce admit the call, by whom; none where it does, or nothing can."""
    asked = asked_from(question, places)
    trial = Trial(question, data, places, asked, decide)
    decision, _ = trial.with_changes(())
    if decision["would_action"] == "admit":
        return ()
    found = [_by_caller(trial), _by_registry(trial), _by_override(trial, decision)]
    return tuple(way for way in found if way is not None)


def _by_caller(trial: Trial, given: tuple[Change, ...] = ()) -> Way | None:
    """Let the caller send what is wrong, beside changes that are given."""
    decision, asked = trial.with_changes(given)
    wrong = {item["field"] for item in decision["violations"]}
    choices = [
        [
            remedy_by_caller(asked, field, value, trial.places)
            for value in values_to_send(asked, field, trial.places)[:_TRIED_VALUES]
        ]
        for field in _STRUCTURAL
        if field in wrong
    ]
    found = [_with_the_rest(trial, (*given, *chosen)) for chosen in product(*choices)]
    fewest = min((changes for changes in found if changes), key=len, default=None)
    return _smallest(trial, fewest, len(given)) if fewest else None


def _with_the_rest(trial: Trial, changes: tuple[Change, ...]) -> tuple[Change, ...] | None:
    """Add what the caller must send beside, until enforce admits it; None where it will not."""
    while True:
        decision, asked = trial.with_changes(changes)
        if decision["would_action"] == "admit":
            return changes
        sent = {change.about for change in changes if change.sends is not None}
        wrong = {item["field"] for item in decision["violations"]} - sent
        further = tuple(
            remedy_by_caller(asked, field, values[0], trial.places)
            for field in sorted(wrong - {*_STRUCTURAL})
            if (values := values_to_send(asked, field, trial.places))
        )
        if not further:
            return None
        changes = (*changes, *further)


def _by_registry(trial: Trial) -> Way | None:
    """Let the data list what the call claims, where it may; the rest is the caller's."""
    changes: dict[str, Change] = {}
    while True:
        decision, _ = trial.with_changes([*changes.values()])
        further = {
            item["field"]: change
            for item in decision["violations"]
            if item["field"] not in changes
            and (
                change := remedy_by_registry(trial.asked, item["code"], item["field"], trial.places)
            )
        }
        if not further:
            break
        changes |= further
    way = _by_caller(trial, tuple(changes.values())) if changes else None
    return replace(way, by="registry") if way is not None else None


def _by_override(trial: Trial, decision: Mapping[str, Any]) -> Way | None:
    """Excuse what may be excused; a conflict is the caller's to mend first."""
    conflicts = {v["field"] for v in decision["violations"] if v["code"] == NEVER_WAIVED}
    waivable = [v for v in decision["violations"] if v["code"] != NEVER_WAIVED]
    if not waivable or conflicts & {*_STRUCTURAL}:
        return None
    change = remedy_by_override(trial.asked, waivable, trial.places)
    if change is None:
        return None
    way = _by_caller(trial, (change,))
    return replace(way, by="override") if way is not None else None


def _smallest(trial: Trial, changes: Sequence[Change], given: int) -> Way:
    """Leave out what is not needed; of what was given, something must remain."""
    return next(
        Way("caller", tuple(kept), decision)
        for kept in _subsets(changes)
        if not given or any(change in changes[:given] for change in kept)
        for decision, _ in (trial.with_changes(kept),)
        if decision["would_action"] == "admit"
    )


def _subsets(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    """Yield the sets to try, the smallest first; of many changes only all of them together."""
    if len(changes) <= _TRIED_SIZES:
        for size in range(1, len(changes)):
            yield from combinations(changes, size)
    yield changes
