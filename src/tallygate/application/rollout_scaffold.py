"""
A first plan from what the ledger has seen: who is watched first, and who is enforced already.

Shapes  Two services are watched first: the busiest of those with a clear owner, because their
        numbers settle soonest and somebody mends what they show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tallygate.application.rollout_ports import ModeInForce
from tallygate.application.rollout_status import Kind, RolloutStatus, ServiceStatus
from tallygate.domain.kernel.instants import NS_PER_DAY, ns_from_text, text_from_ns
from tallygate.domain.policy.rollout import StageName

WATCHED_FIRST: Final = 2
STAGE_DAYS: Final = 30
UNBOUND: Final = "unbound"
"""Mode source where no principal may speak for a service: its own modes say nothing there."""
_MOST_UNATTRIBUTED: Final = Decimal(10)
"""Percent of its calls; past that nobody can say who would mend them."""


@dataclass(frozen=True, slots=True)
class Scaffold:
    """What the plan is to say."""

    services: Mapping[StageName, tuple[str, ...]]
    starts_at: Mapping[StageName, str]
    ends_at: Mapping[StageName, str]
    waiting: tuple[ServiceStatus, ...]
    """Services on no stage yet, the busiest first."""


def scaffold_plan(
    status: RolloutStatus,
    teams: Mapping[str, Any],
    quarantine_owner: str | None,
    modes_of: Callable[[str], Mapping[str, ModeInForce]],
) -> Scaffold:
    """Place every registered service; stages begin with the day on which the window ends."""
    lines = [line for line in status.services if line.kind is Kind.REGISTERED]
    lines.sort(key=lambda line: -line.figures.total.calls)
    at_ns = status.wanted.until_ns
    placed: dict[StageName, list[str]] = {name: [] for name in StageName}
    watchable, others = [], []
    for line in lines:
        asked = modes_of(line.name).values()
        modes = [mode for mode in asked if mode.source != UNBOUND] or asked
        enforced = sum(mode.mode == "enforce" for mode in modes)
        if enforced and enforced == len(modes) and all(mode.is_whole for mode in modes):
            placed[StageName.ENFORCE].append(line.name)
        elif enforced:
            placed[StageName.PILOT].append(line.name)
        elif line.figures.total.calls and _has_clear_owner(line, teams, quarantine_owner, at_ns):
            watchable.append(line)
        else:
            others.append(line)
    placed[StageName.OBSERVE] = [line.name for line in watchable[:WATCHED_FIRST]]
    day_ns = at_ns - at_ns % NS_PER_DAY
    length_ns = STAGE_DAYS * NS_PER_DAY
    starts = {name: day_ns + place * length_ns for place, name in enumerate(StageName)}
    return Scaffold(
        services={name: tuple(found) for name, found in placed.items()},
        starts_at={name: text_from_ns(start) for name, start in starts.items()},
        ends_at={name: text_from_ns(start + length_ns) for name, start in starts.items()},
        waiting=(*watchable[WATCHED_FIRST:], *others),
    )


def _has_clear_owner(
    line: ServiceStatus, teams: Mapping[str, Any], quarantine_owner: str | None, at_ns: int
) -> bool:
    if line.owner is None or line.owner not in teams or line.owner == quarantine_owner:
        return False
    retired_at = teams[line.owner].get("retired_at")
    if retired_at is not None and ns_from_text(retired_at) <= at_ns:
        return False
    share = line.figures.unattributed_calls
    return share.is_known and share.at_most(_MOST_UNATTRIBUTED)
