"""
Whether a service may be promoted, and to which stage.

Errors  ValueError for a stage that there is no way to; why it is not ready yet is data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tallygate.application.rollout_status import ServiceStatus
from tallygate.domain.kernel.instants import ns_from_text, text_from_ns
from tallygate.domain.policy.rollout import Plan, StageName


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What was asked for."""

    service: str
    to: StageName
    environment: str | None = None
    """Only here; None is everywhere."""
    canary: int | None = None
    """Percent of calls; None is all of them."""
    begins_at: str | None = None
    """An instant as policies write it; None is as soon as it is merged and loaded."""

    def takes_effect_ns(self, now_ns: int) -> int:
        return now_ns if self.begins_at is None else ns_from_text(self.begins_at)


def stage_to_reach(line: ServiceStatus, wanted: StageName | None) -> StageName:
    """Take the stage that was asked for, else the one that follows."""
    current = line.stage.name if line.stage else None
    following = current.following if current else StageName.PILOT
    target = wanted or following
    if target is None:
        raise ValueError(f"{line.name} is on {current} already, and nothing comes after it")
    if current is not None and list(StageName).index(target) <= list(StageName).index(current):
        raise ValueError(f"{line.name} is on {current} already; there is no way back to {target}")
    return target


def hindrances(
    promotion: Promotion, line: ServiceStatus, plan: Plan, now_ns: int
) -> tuple[str, ...]:
    """Say everything that speaks against it; nothing means that the service is ready."""
    return tuple(_hindrances(promotion, line, plan, now_ns))


def _hindrances(
    promotion: Promotion, line: ServiceStatus, plan: Plan, now_ns: int
) -> Iterator[str]:
    if line.stage is None:
        yield "stage it is on no stage of the plan; put it under observe first"
    elif line.stage.name.following is not promotion.to:
        yield f"stage {promotion.to} does not follow {line.stage.name}"
    starts_ns = plan.stages[promotion.to].starts_at_ns
    if promotion.takes_effect_ns(now_ns) < starts_ns:
        starts = text_from_ns(starts_ns)
        yield f"stage {promotion.to} begins at {starts}; promote with --from {starts} or later"
    yield from (str(gate) for gate in line.failing)
