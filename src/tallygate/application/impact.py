"""
What a change of the policies does to the calls that the ledger recorded.

    recorded calls -> by input -> decided under base -> compared -> by service, team, reason
                                  decided under head

Shapes  Every call is counted under one kind of change, the first that fits, so that calls and
        dollars of all changes add up.
Units   Dollars are what the calls cost when they were made. A call that was refused then cost
        nothing, which says nothing of what it would cost; such calls are counted apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from tallygate.application.replay import CallShares, PolicyAt, Replay, cuts_between
from tallygate.application.replay_ports import DecisionLines, RecordedCalls
from tallygate.domain.kernel.instants import ns_from_text, text_from_ns
from tallygate.domain.kernel.money import exact_arithmetic
from tallygate.domain.policy.change import REFUSING, Decided, Kind, kind_of
from tallygate.domain.policy.decision import Action, Decision

SAMPLES: Final = 3
_ORDER: Final = {kind: place for place, kind in enumerate(Kind)}
_TOLD_EVERY: Final = 64


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
    """The replayed calls."""
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
class _Sum:
    tally: Tally = field(default_factory=Tally)
    samples: list[str] = field(default_factory=list)
    services: dict[str | None, Tally] = field(default_factory=dict)
    workflows: set[str] = field(default_factory=set)

    def add(self, group: _Group) -> None:
        self.tally.add(group.tally)
        self.services.setdefault(group.service, Tally()).add(group.tally)
        self.samples.extend(group.samples[: SAMPLES - len(self.samples)])


@dataclass(slots=True)
class _Group:
    """Recorded calls that every revision decides alike."""

    digest: str
    call_bucket: int | None
    span: int
    service: str | None
    environment: str | None
    recorded: tuple[str, str, str]
    """Action, would_action and mode."""
    tally: Tally = field(default_factory=Tally)
    samples: list[str] = field(default_factory=list)


_ChangeKey = tuple[Kind, str | None, str | None, Decided, Decided | None]
_DateKey = tuple[str, Kind, DateOrigin]


def find_impact(
    lines: DecisionLines,
    base: PolicyAt,
    head: PolicyAt,
    window: Window,
    tell: Callable[[int, int | None], None] = lambda _done, _all: None,
) -> Impact:
    """Replay the window under both revisions; `tell` hears how many inputs of how many are done."""
    return _Comparison(lines, base, head, window, tell).run()


class _Comparison:
    def __init__(
        self,
        lines: DecisionLines,
        base: PolicyAt,
        head: PolicyAt,
        window: Window,
        tell: Callable[[int, int | None], None],
    ) -> None:
        self._lines = lines
        self._base = Replay(base)
        self._head = self._base if head.engine is base.engine else Replay(head)
        self._window = window
        self._tell = tell
        self._cuts = cuts_between((base, head), window.since_ns, window.until_ns)
        self._shares = CallShares.of((base, head))
        self._impact = Impact()
        self._changes: dict[_ChangeKey, _Sum] = {}
        self._dates: dict[_DateKey, _Sum] = {}

    def run(self) -> Impact:
        with exact_arithmetic():
            by_input = self._grouped()
            known = dict(self._lines.decision_inputs(by_input)) if by_input else {}
            for done, (digest, groups) in enumerate(by_input.items()):
                if done % _TOLD_EVERY == 0:
                    self._tell(done, len(by_input))
                recorded = known.get(digest)
                if recorded is None:
                    for group in groups:
                        self._leave_out(group.service, group.tally)
                else:
                    self._compare(recorded, groups)
            self._tell(len(by_input), len(by_input))
        self._impact.changes = self._sorted_changes()
        self._impact.dates = self._sorted_dates()
        return self._impact

    def _grouped(self) -> dict[str, list[_Group]]:
        groups: dict[tuple[object, ...], _Group] = {}
        found = self._lines.recorded_calls(
            self._window.since_ns,
            self._window.until_ns,
            by_call_bucket=bool(self._shares),
            cuts_ns=self._cuts,
        )
        for calls in found:
            self._tell(0, None)
            if calls.input_digest is None:
                self._leave_out(calls.service, _tally_of(calls))
                continue
            made = _Group(
                calls.input_digest,
                self._shares.like(calls.call_bucket),
                calls.span,
                calls.service,
                calls.environment,
                (calls.action, calls.would_action, calls.mode),
            )
            key = (made.digest, made.call_bucket, made.span, made.service, made.environment)
            group = groups.setdefault((*key, made.recorded), made)
            group.tally.add(_tally_of(calls))
            group.samples.extend(calls.samples[: SAMPLES - len(group.samples)])
        by_input: dict[str, list[_Group]] = {}
        for group in groups.values():
            by_input.setdefault(group.digest, []).append(group)
        return by_input

    def _leave_out(self, service: str | None, tally: Tally) -> None:
        self._impact.not_replayed.setdefault(service, Tally()).add(tally)

    def _compare(self, recorded: Mapping[str, Any], groups: Sequence[_Group]) -> None:
        self._impact.inputs += 1
        for group in groups:
            self._impact.replayed.add(group.tally)
            self._impact.by_service.setdefault(group.service, Tally()).add(group.tally)
            then_ns = self._cuts[group.span - 1] if group.span else self._window.since_ns
            self._compare_with_record(recorded, group, then_ns)
            at_ns = then_ns if self._window.at_ns is None else self._window.at_ns
            before = self._base.decide(recorded, group.call_bucket, at_ns)
            after = self._head.decide(recorded, group.call_bucket, at_ns)
            if before is None:
                self._impact.undecided.add(group.tally)
                continue
            was = Decided.of(before, recorded)
            becomes = Decided.of(after, recorded) if after else None
            if kind := kind_of(was, becomes):
                key = (kind, group.service, group.environment, was, becomes)
                self._changes.setdefault(key, _Sum()).add(group)
        for call_bucket in {group.call_bucket for group in groups}:
            alike = [group for group in groups if group.call_bucket == call_bucket]
            self._look_ahead(recorded, call_bucket, alike)

    def _compare_with_record(
        self, recorded: Mapping[str, Any], group: _Group, then_ns: int
    ) -> None:
        then = self._base.decide(recorded, group.call_bucket, then_ns)
        if then is None:
            return
        decided = Decided.of(then, recorded)
        if group.recorded != (decided.action, then.would_action, decided.mode):
            self._impact.unlike_record.add(group.tally)

    def _look_ahead(
        self, recorded: Mapping[str, Any], call_bucket: int | None, groups: Sequence[_Group]
    ) -> None:
        now_ns = self._window.now_ns
        head = _changes_in(recorded, self._head.later(recorded, call_bucket, now_ns))
        base = _changes_in(recorded, self._base.later(recorded, call_bucket, now_ns))
        found = {(at, kind, DateOrigin.KEPT) for at, kind in head & base}
        found |= {(at, kind, DateOrigin.NEW) for at, kind in head - base}
        found |= {(at, kind, DateOrigin.DROPPED) for at, kind in base - head}
        workflow = recorded.get("claims", {}).get("workflow_id")
        for key in found:
            total = self._dates.setdefault(key, _Sum())
            total.workflows.update({workflow} if workflow else ())
            for group in groups:
                total.add(group)
        dates = [now_ns, *sorted({ns_from_text(at) for at, _, _ in found})]
        refused = (at for at in dates if self._is_refused_by_head(recorded, call_bucket, at))
        first_ns = next(refused, now_ns)
        if first_ns != now_ns:
            later = self._impact.later.setdefault(text_from_ns(first_ns), Tally())
            for group in groups:
                later.add(group.tally)

    def _is_refused_by_head(
        self, recorded: Mapping[str, Any], call_bucket: int | None, at_ns: int
    ) -> bool:
        """Whether head refuses at an instant what base lets pass."""
        before = self._base.decide(recorded, call_bucket, at_ns)
        after = self._head.decide(recorded, call_bucket, at_ns)
        if before is None:
            return False
        becomes = Decided.of(after, recorded) if after else None
        return kind_of(Decided.of(before, recorded), becomes) in REFUSING

    def _sorted_changes(self) -> list[Change]:
        changes = [
            Change(
                kind=kind,
                service=service,
                environment=environment,
                before=before,
                after=after,
                tally=total.tally,
                of_service=self._impact.by_service[service].calls,
                samples=tuple(total.samples),
            )
            for (kind, service, environment, before, after), total in self._changes.items()
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
            for (at, kind, origin), total in self._dates.items()
        ]
        return sorted(dates, key=lambda date: (date.at, _ORDER[date.kind], date.origin))


def _changes_in(
    recorded: Mapping[str, Any], later: Iterable[tuple[str, Decision, Decision]]
) -> set[tuple[str, Kind]]:
    return {
        (at, kind)
        for at, before, after in later
        if (kind := kind_of(Decided.of(before, recorded), Decided.of(after, recorded)))
    }


def _tally_of(calls: RecordedCalls) -> Tally:
    refused = calls.calls if calls.action == Action.REJECT else 0
    return Tally(calls.calls, calls.cost, calls.unpriced, refused)


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
