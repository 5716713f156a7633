"""
Every override and break-glass entry, how it stands, and what it has excused.

Shapes  The reviewed files as they are, and the ledger's use of them; an id that the ledger knows
        and the files do not is listed too. Nothing is judged here that policy check has judged.
Units   Instants in UTC nanoseconds; days are whole ones, cut off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from tallygate.application.activation_review import ActivationReview, activations_in
from tallygate.application.override_ports import ExcusedCalls, OverrideUse
from tallygate.application.policy_review import list_of, mapping_of
from tallygate.domain.kernel.instants import NS_PER_DAY, ns_from_text
from tallygate.domain.kernel.money import exact_arithmetic
from tallygate.domain.policy.decision import Mode
from tallygate.errors import Problem

FORECAST_DAYS: Final = 7
"""How much of the past a forecast looks at."""


class Kind(StrEnum):
    """Which file it is in."""

    OVERRIDE = "override"
    BREAK_GLASS = "break_glass"
    UNKNOWN = "unknown"
    """In none: the ledger has seen it, and somebody has removed it since."""


class OverrideState(StrEnum):
    """How an entry stands; of several that fit, the first."""

    REMOVED = "removed"
    INVALID = "invalid"
    """Policy check finds an error in it."""
    EXPIRED = "expired"
    """And still in the file."""
    NOT_STARTED = "not_started"
    ACTIVATED = "activated"
    """Of break-glass: somebody has taken it, and it has not ended."""
    ENDING = "ending"
    UNUSED = "unused"
    """An override that has excused nothing since it began."""
    ACTIVE = "active"
    READY = "ready"
    """Of break-glass: nobody has taken it."""


@dataclass(frozen=True, slots=True)
class Use:
    """What passed on one override."""

    calls: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0
    last_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What its end would refuse, told from the days before today."""

    calls: int
    """Calls under enforce that nothing else would have excused."""
    workflows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedOverride:
    """One entry with its use."""

    override_id: str
    kind: Kind
    services: tuple[str, ...]
    entry: Mapping[str, Any]
    """As it stands in the file; empty where it is in none."""
    state: OverrideState
    starts_ns: int | None
    expires_ns: int | None
    days_left: int | None
    unused_days: int | None
    """For how long it has held without excusing anything; None once it has."""
    used_since_ns: int
    """From when on its use was added up."""
    use: Use
    forecast: Forecast | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OverrideListing:
    """All of it, as of one instant."""

    now_ns: int
    since_ns: int
    ending_days: int
    overrides: tuple[ListedOverride, ...]
    activations: tuple[ActivationReview, ...]

    @property
    def attention(self) -> frozenset[str]:
        """What somebody should look at: states of entries, and `review` of activations."""
        found = {str(each.state) for each in self.overrides}
        return frozenset(found | {"review" for each in self.activations if each.is_due})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be listed."""

    data: Mapping[str, Any]
    problems: Sequence[Problem]
    now_ns: int
    since_ns: int
    ending_days: int


def list_overrides(asked: Asked, use: OverrideUse) -> OverrideListing:
    """Put the files and the ledger side by side."""
    activations = activations_in(use, asked.since_ns, asked.now_ns)
    figures = _Figures(asked, use)
    active = {each.override_id for each in activations if each.is_on(asked.now_ns)}
    listed = [
        *(_listed(asked, figures, found, active) for found in _in_files(asked.data)),
        *_removed(asked, figures),
    ]
    return OverrideListing(
        now_ns=asked.now_ns,
        since_ns=asked.since_ns,
        ending_days=asked.ending_days,
        overrides=tuple(sorted(listed, key=lambda each: (each.kind, each.override_id))),
        activations=tuple(activations),
    )


@dataclass(frozen=True, slots=True)
class _InFile:
    override_id: str
    kind: Kind
    services: tuple[str, ...]
    entry: Mapping[str, Any]

    @property
    def starts_ns(self) -> int | None:
        return _instant(self.entry.get("starts_at"))

    @property
    def expires_ns(self) -> int | None:
        return _instant(self.entry.get("expires_at"))


def _in_files(data: Mapping[str, Any]) -> Iterator[_InFile]:
    for service, entries in mapping_of(data.get("overrides")).items():
        for name, entry in mapping_of(entries).items():
            yield _InFile(name, Kind.OVERRIDE, (service,), mapping_of(entry))
    for name, entry in mapping_of(data.get("break_glass")).items():
        services = tuple(str(each) for each in list_of(mapping_of(entry).get("services")))
        yield _InFile(name, Kind.BREAK_GLASS, services, mapping_of(entry))


class _Figures:
    """The ledger's use, asked for each window once."""

    def __init__(self, asked: Asked, use: OverrideUse) -> None:
        # What an activation excuses ends within hours, however long its entry may be activated.
        self._expiries = {
            found.override_id: found.expires_ns or 0
            for found in _in_files(asked.data)
            if found.kind is Kind.OVERRIDE
        }
        starts = [found.starts_ns or asked.since_ns for found in _in_files(asked.data)]
        begin_ns = min([asked.since_ns, *starts])
        self._lately = use.excused(asked.now_ns - FORECAST_DAYS * NS_PER_DAY, asked.now_ns + 1)
        self._window = use.excused(asked.since_ns, asked.now_ns + 1)
        self._before = use.excused(begin_ns, asked.since_ns) if begin_ns < asked.since_ns else ()

    def use_of(self, override_id: str) -> Use:
        groups = [group for group in self._window if override_id in group.overrides]
        with exact_arithmetic():
            return Use(
                calls=sum(group.calls for group in groups),
                cost=sum((group.cost for group in groups), Decimal(0)),
                unpriced=sum(group.unpriced for group in groups),
                last_ns=max((group.last_ns for group in groups), default=None),
            )

    def last_used_ns(self, override_id: str) -> int | None:
        groups = (*self._window, *self._before)
        used = [group.last_ns for group in groups if override_id in group.overrides]
        return max(used, default=None)

    def ids(self) -> frozenset[str]:
        return frozenset(each for group in self._window for each in group.overrides)

    def forecast_of(self, override_id: str) -> Forecast:
        refused = [group for group in self._lately if self._would_be_refused(group, override_id)]
        return Forecast(
            calls=sum(group.calls for group in refused),
            workflows=len({group.workflow_id for group in refused} - {None}),
        )

    def _would_be_refused(self, group: ExcusedCalls, override_id: str) -> bool:
        """Whether something that this one excused is excused by none that lasts longer."""
        if group.mode != Mode.ENFORCE or override_id not in group.overrides:
            return False
        ends_ns = self._expiries.get(override_id, 0)
        excused_after = {
            (each.code, each.field)
            for each in group.waived
            if each.override != override_id and self._expiries.get(each.override, 0) > ends_ns
        }
        own = {(each.code, each.field) for each in group.waived if each.override == override_id}
        return bool(own - excused_after)


def _listed(asked: Asked, figures: _Figures, found: _InFile, active: set[str]) -> ListedOverride:
    last_ns = figures.last_used_ns(found.override_id)
    begun_ns = found.starts_ns
    unused_days = None
    if found.kind is Kind.OVERRIDE and last_ns is None and begun_ns is not None:
        unused_days = max(asked.now_ns - begun_ns, 0) // NS_PER_DAY
    expires_ns = found.expires_ns
    days_left = None if expires_ns is None else max(expires_ns - asked.now_ns, 0) // NS_PER_DAY
    problems = _problems_of(asked.problems, found)
    state = _state_of(asked, found, active, problems=problems, is_unused=unused_days is not None)
    return ListedOverride(
        override_id=found.override_id,
        kind=found.kind,
        services=found.services,
        entry=found.entry,
        state=state,
        starts_ns=begun_ns,
        expires_ns=expires_ns,
        days_left=days_left,
        unused_days=unused_days,
        used_since_ns=max(asked.since_ns, begun_ns or 0),
        use=figures.use_of(found.override_id),
        forecast=figures.forecast_of(found.override_id) if _ends_soon(asked, found) else None,
        problems=problems,
    )


def _state_of(
    asked: Asked,
    found: _InFile,
    active: set[str],
    *,
    problems: tuple[str, ...],
    is_unused: bool,
) -> OverrideState:
    is_override = found.kind is Kind.OVERRIDE
    states = (
        (bool(problems), OverrideState.INVALID),
        ((found.expires_ns or 0) <= asked.now_ns, OverrideState.EXPIRED),
        ((found.starts_ns or 0) > asked.now_ns, OverrideState.NOT_STARTED),
        (found.override_id in active, OverrideState.ACTIVATED),
        (_ends_soon(asked, found), OverrideState.ENDING),
        (is_unused, OverrideState.UNUSED),
        (is_override, OverrideState.ACTIVE),
    )
    return next((state for fits, state in states if fits), OverrideState.READY)


def _ends_soon(asked: Asked, found: _InFile) -> bool:
    expires_ns = found.expires_ns
    if expires_ns is None or (found.starts_ns or 0) > asked.now_ns:
        return False
    return asked.now_ns < expires_ns <= asked.now_ns + asked.ending_days * NS_PER_DAY


def _problems_of(problems: Sequence[Problem], found: _InFile) -> tuple[str, ...]:
    """Pick what policy check says of this entry; a warning does not make it invalid."""
    place = (
        f"{found.services[0]}.{found.override_id}"
        if found.kind is Kind.OVERRIDE
        else found.override_id
    )
    return tuple(
        str(problem)
        for problem in problems
        if problem.severity == "error" and f"{problem.where}.".startswith(f"{place}.")
    )


def _removed(asked: Asked, figures: _Figures) -> Iterator[ListedOverride]:
    known = {found.override_id for found in _in_files(asked.data)}
    for override_id in sorted(figures.ids() - known):
        yield ListedOverride(
            override_id=override_id,
            kind=Kind.UNKNOWN,
            services=(),
            entry={},
            state=OverrideState.REMOVED,
            starts_ns=None,
            expires_ns=None,
            days_left=None,
            unused_days=None,
            used_since_ns=asked.since_ns,
            use=figures.use_of(override_id),
        )


def _instant(text: object) -> int | None:
    try:
        return ns_from_text(str(text))
    except ValueError:
        return None
