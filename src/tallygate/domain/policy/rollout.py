"""
The rollout plan: which service is on which stage, from when to when, and what it takes to go on.

Shapes  Read from `policies/rollout/plan.yaml`, which policy check has validated.
Units   Percentages are Decimals of 100; instants UTC nanoseconds, periods half open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from tallygate.domain.kernel.instants import NS_PER_DAY, ns_from_text


class StageName(StrEnum):
    """The three stages, in their order."""

    OBSERVE = "observe"
    """Report-only: who would be refused is found out and mended."""
    PILOT = "pilot"
    """Enforce on the pilots, report-only elsewhere."""
    ENFORCE = "enforce"
    """Enforce on every production service."""

    @property
    def following(self) -> StageName | None:
        """The stage after this one; None behind the last."""
        order = list(StageName)
        place = order.index(self) + 1
        return order[place] if place < len(order) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What a service must show before it leaves the stage; None is not asked."""

    min_days: int | None = None
    min_calls: int | None = None
    max_missing_field_rate: Decimal | None = None
    max_missing_by_field: Mapping[str, Decimal] = field(default_factory=dict)
    max_vocabulary_violation_rate: Decimal | None = None
    max_environment_leakage: Decimal | None = None
    min_token_coverage: Decimal | None = None
    max_unattributed_share: Decimal | None = None
    max_days_without_review: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStage:
    """One stage, the services on it and the gates out of it."""

    name: StageName
    starts_at_ns: int
    ends_at_ns: int
    services: tuple[str, ...]
    gates: Gates

    def days_in(self, at_ns: int) -> Decimal:
        """Days since the stage began, at most its length; 0 before it."""
        until_ns = min(max(at_ns, self.starts_at_ns), self.ends_at_ns)
        return Decimal(until_ns - self.starts_at_ns) / NS_PER_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldReview:
    """A weekly review that was held."""

    date: str
    """`YYYY-MM-DD`."""
    held_by: str
    """A role."""
    ticket: str = ""
    notes: str = ""

    @property
    def at_ns(self) -> int:
        return ns_from_text(f"{self.date}T00:00:00Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole plan."""

    stages: Mapping[StageName, RolloutStage]
    exceptions_approver: str
    """The role that approves overrides of services in `enforce`."""
    reviews: tuple[HeldReview, ...] = ()

    def stage_of(self, service: str) -> RolloutStage | None:
        """Find the stage that names the service."""
        return next((one for one in self.stages.values() if service in one.services), None)

    def last_review(self, at_ns: int) -> HeldReview | None:
        """Find the newest review that was held by then."""
        held = [review for review in self.reviews if review.at_ns <= at_ns]
        return max(held, key=lambda review: review.date, default=None)


def plan_from_data(data: Mapping[str, Any]) -> Plan:
    """Read the plan's document."""
    return Plan(
        stages={name: _stage(name, data["stages"][name.value]) for name in StageName},
        exceptions_approver=data["exceptions_approver"],
        reviews=tuple(HeldReview(**review) for review in data.get("reviews") or ()),
    )


def _stage(name: StageName, data: Mapping[str, Any]) -> RolloutStage:
    gates = data["gates"]
    missing = gates.get("max_missing_field_rate", {})
    return RolloutStage(
        name=name,
        starts_at_ns=ns_from_text(data["starts_at"]),
        ends_at_ns=ns_from_text(data["ends_at"]),
        services=tuple(data["services"]),
        gates=Gates(
            min_days=gates.get("min_days"),
            min_calls=gates.get("min_calls"),
            max_missing_field_rate=_percent(missing.get("overall")),
            max_missing_by_field={
                field: Decimal(limit) for field, limit in missing.get("fields", {}).items()
            },
            max_vocabulary_violation_rate=_percent(gates.get("max_vocabulary_violation_rate")),
            max_environment_leakage=_percent(gates.get("max_environment_leakage")),
            min_token_coverage=_percent(gates.get("min_token_coverage")),
            max_unattributed_share=_percent(gates.get("max_unattributed_share")),
            max_days_without_review=gates.get("max_days_without_review"),
        ),
    )


def _percent(limit: str | int | None) -> Decimal | None:
    return None if limit is None else Decimal(limit)
