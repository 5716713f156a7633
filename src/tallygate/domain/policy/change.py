"""
Two decisions on one call compared: what kind of change it is, and for whom.

Exact   A change has one kind, the first that fits: what is counted by kind adds up.
        Beside the policy the gate itself has two rules, which count here too: what is only
        observed is never refused, and a route that nobody knows is refused under enforce.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from tallygate.domain.policy.decision import Action, Decision, Mode
from tallygate.domain.policy.question import UNKNOWN_ROUTE
from tallygate.domain.policy.recorded_input import IS_OBSERVED

ROUTE_UNKNOWN: Final = ("route_unknown", "route")


class Kind(StrEnum):
    """What a change is for the caller, for the one who pays, or for the books; worst first."""

    UNANSWERED = "unanswered"
    """Head's policy gives no answer: the gate would be blind."""
    REFUSED = "newly_refused"
    QUARANTINED = "newly_quarantined"
    WOULD_BE_REFUSED = "would_newly_be_refused"
    """Under report-only: it passes, and enforce would now refuse it."""
    ADMITTED = "newly_admitted"
    NO_LONGER_WOULD_BE_REFUSED = "no_longer_would_be_refused"
    OTHER_PAYER = "paid_by_another_team"
    OTHER_COST_CENTER = "on_another_cost_center"
    OTHER_REASONS = "other_violations"
    """Other violations, or excused by another override."""
    MODE = "mode_only"


REFUSING: Final = frozenset({Kind.UNANSWERED, Kind.REFUSED})
"""Kinds under which a call goes to no provider any more."""
_BY_ACTION: Final = {
    Action.REJECT: Kind.REFUSED,
    Action.QUARANTINE: Kind.QUARANTINED,
    Action.ADMIT: Kind.ADMITTED,
}


@dataclass(frozen=True, slots=True)
class Decided:
    """As much of a decision as can make a difference to somebody."""

    action: Action
    would_action: Action
    mode: Mode
    team: str | None
    """Who pays; None is unattributed."""
    cost_center: str | None
    business_unit: str | None
    violations: tuple[tuple[str, str], ...]
    """Code and field."""
    waived: tuple[tuple[str, str, str], ...]
    """Code, field and override."""

    @classmethod
    def of(cls, decision: Decision, recorded: Mapping[str, Any]) -> Decided:
        """Add to the policy's answer on a recorded input what the gate does by itself."""
        action, would_action = decision.action, decision.would_action
        violations = {(found.code, found.field) for found in decision.violations}
        if recorded.get(IS_OBSERVED, False):
            action = would_action = Action.ADMIT
        elif recorded["call"]["route"] == UNKNOWN_ROUTE and decision.mode is Mode.ENFORCE:
            action = Action.REJECT
            violations.add(ROUTE_UNKNOWN)
        return cls(
            action=action,
            would_action=would_action,
            mode=decision.mode,
            team=decision.ownership.get("owner_team"),
            cost_center=decision.ownership.get("cost_center"),
            business_unit=decision.ownership.get("business_unit"),
            violations=tuple(sorted(violations)),
            waived=tuple(sorted((w.code, w.field, w.override) for w in decision.waived)),
        )


def kind_of(before: Decided, after: Decided | None) -> Kind | None:
    """Name the change; None where nobody sees a difference."""
    if after is None:
        return Kind.UNANSWERED
    if before == after:
        return None
    return _of_action(before, after) or _of_payer(before, after) or _of_reasons(before, after)


def _of_action(before: Decided, after: Decided) -> Kind | None:
    if before.action is not after.action:
        return _BY_ACTION[after.action]
    if before.would_action is not after.would_action:
        if after.would_action is Action.REJECT:
            return Kind.WOULD_BE_REFUSED
        if before.would_action is Action.REJECT:
            return Kind.NO_LONGER_WOULD_BE_REFUSED
    return None


def _of_payer(before: Decided, after: Decided) -> Kind | None:
    if before.team != after.team:
        return Kind.OTHER_PAYER
    if (before.cost_center, before.business_unit) != (after.cost_center, after.business_unit):
        return Kind.OTHER_COST_CENTER
    return None


def _of_reasons(before: Decided, after: Decided) -> Kind:
    reasons = (before.violations, before.waived, before.would_action)
    same = reasons == (after.violations, after.waived, after.would_action)
    return Kind.MODE if same else Kind.OTHER_REASONS
