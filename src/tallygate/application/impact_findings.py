"""
What comparing two revisions over recorded calls finds, and how findings are added up.

Shapes  `Findings` add up to what was found over all calls, whoever compared which of them; `Impact`
        is that in the order of a report.
Units   Dollars are what the calls cost when they were made. A call that was refused then cost
        nothing, which says nothing of what it would cost; such calls are counted apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from tallygate.domain.kernel.money import exact_arithmetic
from tallygate.domain.policy.change import REFUSING, Decided, Kind

SAMPLES: Final = 3
_ORDER: Final = {kind: place for place, kind in enumerate(Kind)}


@dataclass(slots=True)
class Tally:
    """Calls, and what they cost when they were made."""

    calls: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0
    """Events of these calls whose cost is not known; they are in no sum."""
    refused: int = 0
    """Calls that were refused when they were recorded, and so cost nothing then."""

    def add(self, other: Tally) -> None:
        self.calls += other.calls
        self.cost += other.cost
        self.unpriced += other.unpriced
        self.refused += other.refused


def add_to(tallies: dict[str | None, Tally], others: Mapping[str | None, Tally]) -> None:
    """Add tallies up by name."""
    for name, tally in others.items():
        tallies.setdefault(name, Tally()).add(tally)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Calls of one service that are decided differently in the same way."""

    kind: Kind
    service: str | None
    environment: str | None
    before: Decided
    after: Decided | None
    tally: Tally
    of_service: int
    """All replayed calls of the service."""
    samples: tuple[str, ...]
    """Decision ids."""

    @property
    def team(self) -> str | None:
        """Who pays under head."""
        return (self.after or self.before).team

    @property
    def reasons(self) -> tuple[tuple[str, str], ...]:
        """The violations that the change is about: those that are there, or that are no more."""
        if self.kind in (Kind.ADMITTED, Kind.NO_LONGER_WOULD_BE_REFUSED):
            return self.before.violations
        return self.after.violations if self.after else ()


class DateOrigin(StrEnum):
    """Which revision a date that lies ahead comes from."""

    NEW = "new"
    """Head only."""
    KEPT = "in_base"
    """The same change comes at the same instant without the pull request."""
    DROPPED = "dropped"
    """Base only: under head it does not come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DateAhead:
    """What begins at an instant to come, compared with the second before it."""

    at: str
    kind: Kind
    origin: DateOrigin
    tally: Tally
    services: Mapping[str | None, Tally]
    workflows: int
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which calls are replayed, and as of when they are decided."""

    since_ns: int
    until_ns: int
    now_ns: int
    """From when on dates lie ahead."""
    at_ns: int | None
    """None decides each call as of its own time."""


@dataclass(slots=True)
class Impact:
    """What was found."""

    changes: list[Change] = field(default_factory=list)
    dates: list[DateAhead] = field(default_factory=list)
    replayed: Tally = field(default_factory=Tally)
    inputs: int = 0
    """Distinct recorded inputs among the replayed calls."""
    by_service: dict[str | None, Tally] = field(default_factory=dict)
    """The replayed calls; a service may have costs of calls from before the window alone."""
    not_replayed: dict[str | None, Tally] = field(default_factory=dict)
    """Calls by service whose input was not recorded."""
    unlike_record: Tally = field(default_factory=Tally)
    """Replayed calls that the ledger has decided otherwise than base decides them as of then."""
    later: dict[str, Tally] = field(default_factory=dict)
    """Calls that go through as of now, and that head refuses from an instant on and base does not;
    each stands at the first such instant."""
    undecided: Tally = field(default_factory=Tally)
    """Replayed calls that base gives no answer for; nothing can be compared with that."""

    @property
    def refused(self) -> Tally:
        """Calls that would go to no provider any more."""
        return self.total(REFUSING)

    @property
    def refused_later(self) -> Tally:
        """Calls that would go to no provider from some date on, and do so far."""
        total = Tally()
        with exact_arithmetic():
            for tally in self.later.values():
                total.add(tally)
        return total

    def total(self, kinds: Iterable[Kind] = Kind) -> Tally:
        """Sum the changes of some kinds."""
        wanted, total = frozenset(kinds), Tally()
        with exact_arithmetic():
            for change in self.changes:
                if change.kind in wanted:
                    total.add(change.tally)
        return total


@dataclass(slots=True)
class Group:
    """Recorded calls that every revision decides alike, and the ledger has decided alike."""

    digest: str
    call_bucket: int | None
    span: int
    service: str | None
    environment: str | None
    recorded: tuple[str, str, str]
    """Action, would_action and mode."""
    tally: Tally = field(default_factory=Tally)
    samples: list[str] = field(default_factory=list)


Batch = tuple[tuple[Mapping[str, Any], tuple[Group, ...]], ...]
"""Recorded inputs, each with its calls."""


@dataclass(slots=True)
class Sum:
    """Calls of one change or date."""

    tally: Tally = field(default_factory=Tally)
    samples: list[str] = field(default_factory=list)
    services: dict[str | None, Tally] = field(default_factory=dict)
    workflows: set[str] = field(default_factory=set)

    def count(self, group: Group) -> None:
        self.tally.add(group.tally)
        self.services.setdefault(group.service, Tally()).add(group.tally)
        self.samples.extend(group.samples[: SAMPLES - len(self.samples)])

    def add(self, other: Sum) -> None:
        self.tally.add(other.tally)
        add_to(self.services, other.services)
        self.workflows |= other.workflows
        self.samples.extend(other.samples[: SAMPLES - len(self.samples)])


ChangeKey = tuple[Kind, str | None, str | None, Decided, Decided | None]
"""With the service and its environment."""
DateKey = tuple[str, Kind, DateOrigin]


@dataclass(slots=True)
class Findings:
    """What was found over some of the recorded inputs."""

    inputs: int = 0
    changes: dict[ChangeKey, Sum] = field(default_factory=dict)
    dates: dict[DateKey, Sum] = field(default_factory=dict)
    by_service: dict[str | None, Tally] = field(default_factory=dict)
    unlike_record: Tally = field(default_factory=Tally)
    undecided: Tally = field(default_factory=Tally)
    later: dict[str, Tally] = field(default_factory=dict)

    def add(self, other: Findings) -> None:
        self.inputs += other.inputs
        for change, total in other.changes.items():
            self.changes.setdefault(change, Sum()).add(total)
        for date, total in other.dates.items():
            self.dates.setdefault(date, Sum()).add(total)
        add_to(self.by_service, other.by_service)
        self.unlike_record.add(other.unlike_record)
        self.undecided.add(other.undecided)
        for at, tally in other.later.items():
            self.later.setdefault(at, Tally()).add(tally)

    def impact(self, not_replayed: dict[str | None, Tally]) -> Impact:
        """Put everything in the order of a report."""
        replayed = Tally()
        for tally in self.by_service.values():
            replayed.add(tally)
        return Impact(
            changes=self._sorted_changes(),
            dates=self._sorted_dates(),
            replayed=replayed,
            inputs=self.inputs,
            by_service=self.by_service,
            not_replayed=not_replayed,
            unlike_record=self.unlike_record,
            later=self.later,
            undecided=self.undecided,
        )

    def _sorted_changes(self) -> list[Change]:
        changes = [
            Change(
                kind=kind,
                service=service,
                environment=environment,
                before=before,
                after=after,
                tally=total.tally,
                of_service=self.by_service[service].calls,
                samples=tuple(total.samples),
            )
            for (kind, service, environment, before, after), total in self.changes.items()
        ]
        return sorted(changes, key=_rank_of)

    def _sorted_dates(self) -> list[DateAhead]:
        dates = [
            DateAhead(
                at=at,
                kind=kind,
                origin=origin,
                tally=total.tally,
                services=total.services,
                workflows=len(total.workflows),
                samples=tuple(total.samples),
            )
            for (at, kind, origin), total in self.dates.items()
        ]
        return sorted(dates, key=lambda date: (date.at, _ORDER[date.kind], date.origin))


def _rank_of(change: Change) -> tuple[object, ...]:
    return (
        _ORDER[change.kind],
        -change.tally.calls,
        -change.tally.cost,
        change.service or "",
        change.environment or "",
        change.reasons,
        change.samples,
    )
