"""
`tallygate rollout status`: every service's traffic held against the gates of its stage.

Shapes  Registered services in the registry's order; then those that are no longer registered, and
        the calls that name no known service, each with a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from tallygate.application.rollout_ports import (
    ModeInForce,
    ModesInForce,
    RolloutTraffic,
    SeenAs,
    TrafficFilter,
)
from tallygate.domain.attribution.contract import Principal, Registry
from tallygate.domain.kernel.instants import NS_PER_DAY, ns_from_text
from tallygate.domain.policy.readiness import Evidence, ExceptionInForce, GateResult, judge
from tallygate.domain.policy.rollout import HeldReview, Plan, RolloutStage, StageName
from tallygate.domain.policy.traffic import Figures, Group, summed

ENDING_SOON_DAYS: Final = 14
_UNREGISTERED_SHOWN: Final = 20


class Kind(StrEnum):
    """What a line of the status stands for."""

    REGISTERED = "registered"
    UNREGISTERED = "unregistered"
    """It was registered when it called."""
    UNNAMED = "unnamed"
    """Calls that name no registered service; the ledger keeps no name that was not accepted."""


class Readiness(StrEnum):
    """Whether a service may leave its stage."""

    READY = "ready"
    NOT_READY = "not_ready"
    UNPLANNED = "unplanned"
    """It is on no stage of the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideInForce:
    """An override that excuses something today."""

    override: str
    expires_at: str
    days_left: Decimal
    approved_by: str
    fields: tuple[str, ...]

    @property
    def ends_soon(self) -> bool:
        return self.days_left <= ENDING_SOON_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One line."""

    name: str
    kind: Kind
    owner: str | None
    figures: Figures
    modes: Mapping[str, ModeInForce] = field(default_factory=dict)
    """By environment that it had calls from."""
    stage: RolloutStage | None = None
    stage_days: Decimal | None = None
    observed_since_ns: int | None = None
    """
    Since when all its environments with calls have been seen in their present modes, not before its
    stage began; on the stages after observe, the environments that are enforced today.
    """
    observed_days: Decimal | None = None
    overrides: tuple[OverrideInForce, ...] = ()
    gates: tuple[GateResult, ...] = ()

    @property
    def readiness(self) -> Readiness | None:
        """None where no plan can apply: to what is not registered."""
        if self.kind is not Kind.REGISTERED:
            return None
        if self.stage is None:
            return Readiness.UNPLANNED
        failed = any(not gate.passes for gate in self.gates)
        return Readiness.NOT_READY if failed else Readiness.READY

    @property
    def failing(self) -> tuple[GateResult, ...]:
        return tuple(gate for gate in self.gates if not gate.passes)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStatus:
    """The whole answer."""

    wanted: TrafficFilter
    services: tuple[ServiceStatus, ...]
    by_owner: Mapping[str, Figures]
    """Registered services, by the team that owns them."""
    total: Figures
    last_review: HeldReview | None
    has_plan: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutFacts:
    """What is reviewed: everything that the status holds traffic against."""

    registry: Registry
    quarantine_owner: str | None
    overrides: Mapping[str, Any]
    plan: Plan | None


def rollout_status(
    facts: RolloutFacts,
    traffic: RolloutTraffic,
    modes: ModesInForce,
    wanted: TrafficFilter,
    service: str | None = None,
) -> RolloutStatus:
    """Say of every service, or of the one named, how it stands at the end of the window."""
    figures, environments = _figures(facts, traffic.groups(wanted))
    seen = traffic.first_seen(_since_the_plan(facts.plan, wanted))
    lines = []
    for name in facts.registry.services:
        if service in (None, name):
            in_force = {
                environment: modes.mode_of(name, environment, wanted.until_ns)
                for environment in sorted(environments.get(name, ()))
            }
            found = figures.get(name, Figures())
            lines.append(_registered(facts, name, found, in_force, seen, wanted.until_ns))
    lines.extend(_strangers(figures, facts.registry.services, service))
    return RolloutStatus(
        wanted=wanted,
        services=tuple(lines),
        by_owner=_by_owner(lines),
        total=summed({line.name: line.figures for line in lines}),
        last_review=facts.plan.last_review(wanted.until_ns) if facts.plan else None,
        has_plan=facts.plan is not None,
    )


def _figures(
    facts: RolloutFacts, groups: Iterable[Group]
) -> tuple[dict[str, Figures], dict[str, set[str]]]:
    figures: dict[str, Figures] = {}
    environments: dict[str, set[str]] = {}
    for group in groups:
        name = group.service or ""
        unattributed = group.owner_team in (None, facts.quarantine_owner)
        figures.setdefault(name, Figures()).add_group(
            group, leaked=has_leaked(group, facts.registry), unattributed=unattributed
        )
        environment = group.environment
        if not group.amount.calls or environment is None:
            continue  # late lines of older calls are no traffic
        if environment in facts.registry.values["environment"]:
            environments.setdefault(name, set()).add(environment)
    return figures, environments


def has_leaked(group: Group, registry: Registry) -> bool:
    """
    Whether calls of one environment are charged to another.

    Either the policy says so (two values, or one outside the binding), or the principal may speak
    for one environment only and the calls are booked on another.
    """
    if ("ownership_conflict", "environment") in group.violations:
        return True
    principal = Principal(team=group.principal_team, key_hash=group.principal_key)
    binding = registry.binding_of(principal)
    if binding is None or len(binding.environments) != 1 or group.environment is None:
        return False
    return group.environment != binding.environments[0]


def _since_the_plan(plan: Plan | None, wanted: TrafficFilter) -> TrafficFilter:
    since_ns = min((stage.starts_at_ns for stage in plan.stages.values()), default=0) if plan else 0
    return TrafficFilter(
        since_ns=min(since_ns, wanted.until_ns) if plan else wanted.since_ns,
        until_ns=wanted.until_ns,
        environment=wanted.environment,
    )


def _registered(
    facts: RolloutFacts,
    name: str,
    figures: Figures,
    modes: Mapping[str, ModeInForce],
    seen: Mapping[SeenAs, int],
    at_ns: int,
) -> ServiceStatus:
    stage = facts.plan.stage_of(name) if facts.plan else None
    overrides = tuple(_in_force(facts.overrides.get(name) or {}, at_ns))
    since_ns = _observed_since(name, stage, modes, seen)
    gates: tuple[GateResult, ...] = ()
    if facts.plan and stage:
        evidence = Evidence(
            at_ns=at_ns,
            figures=figures,
            observed_since_ns=since_ns,
            exceptions=tuple(ExceptionInForce(one.override, one.approved_by) for one in overrides),
        )
        gates = judge(facts.plan, stage, evidence)
    return ServiceStatus(
        name=name,
        kind=Kind.REGISTERED,
        owner=facts.registry.services[name].get("owner_team"),
        figures=figures,
        modes=modes,
        stage=stage,
        stage_days=stage.days_in(at_ns) if stage else None,
        observed_since_ns=since_ns,
        observed_days=_days(at_ns - since_ns) if since_ns is not None else None,
        overrides=overrides,
        gates=gates,
    )


def _observed_since(
    name: str,
    stage: RolloutStage | None,
    modes: Mapping[str, ModeInForce],
    seen: Mapping[SeenAs, int],
) -> int | None:
    """
    Tell since when every environment that the stage is about has been seen in its present mode.

    Where enforce is to be observed, report-only elsewhere is no evidence for it.
    """
    is_enforcing = stage is not None and stage.name is not StageName.OBSERVE
    firsts = [
        seen.get((name, environment, mode.mode))
        for environment, mode in modes.items()
        if mode.mode == "enforce" or not is_enforcing
    ]
    known = [first for first in firsts if first is not None]
    if not firsts or len(known) < len(firsts):
        return None
    return max(*known, stage.starts_at_ns if stage else 0)


def _in_force(entries: Mapping[str, Mapping[str, Any]], at_ns: int) -> Iterator[OverrideInForce]:
    for name, entry in entries.items():
        starts_ns, expires_ns = ns_from_text(entry["starts_at"]), ns_from_text(entry["expires_at"])
        if starts_ns <= at_ns < expires_ns:
            yield OverrideInForce(
                override=name,
                expires_at=entry["expires_at"],
                days_left=_days(expires_ns - at_ns),
                approved_by=entry["approved_by"],
                fields=tuple(entry["fields"]),
            )


def _days(span_ns: int) -> Decimal:
    return (Decimal(max(span_ns, 0)) / NS_PER_DAY).quantize(Decimal("0.1"))


def _strangers(
    figures: Mapping[str, Figures], known: Mapping[str, Any], service: str | None
) -> Iterator[ServiceStatus]:
    """List who is not registered, the busiest first; many small ones together."""
    names = sorted(
        (name for name in figures if name and name not in known and service in (None, name)),
        key=lambda name: (-figures[name].total.calls, name),
    )
    for name in names[:_UNREGISTERED_SHOWN]:
        yield ServiceStatus(name=name, kind=Kind.UNREGISTERED, owner=None, figures=figures[name])
    rest = names[_UNREGISTERED_SHOWN:]
    if rest:
        yield ServiceStatus(
            name=f"{len(rest)} more",
            kind=Kind.UNREGISTERED,
            owner=None,
            figures=summed({name: figures[name] for name in rest}),
        )
    if service is None and "" in figures:
        yield ServiceStatus(name="", kind=Kind.UNNAMED, owner=None, figures=figures[""])


def _by_owner(lines: Iterable[ServiceStatus]) -> dict[str, Figures]:
    owners: dict[str, Figures] = {}
    for line in lines:
        if line.owner is not None:
            owners.setdefault(line.owner, Figures()).add(line.figures)
    return owners
