"""
Activations of break-glass for the review afterwards: who, why, for how long, and what passed.

Shapes  A proxy on each of several machines writes an event of its own, so activations of one entry
        by one caller for one reason that overlap are one, on so many machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from tallygate.application.override_ports import OverrideUse
from tallygate.domain.kernel.instants import NS_PER_SECOND
from tallygate.domain.kernel.money import exact_arithmetic
from tallygate.domain.ledger.events import ActivationFacts

REVIEW_DAYS: Final = 30
"""For how long after its end an activation is listed for review."""
_REVIEW_NS: Final = REVIEW_DAYS * 86_400 * NS_PER_SECOND
_LONGEST_NS: Final = 168 * 3600 * NS_PER_SECOND
"""The schema allows no entry more hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationReview:
    """One activation, as it went."""

    override_id: str
    role: str
    activated_by: str
    reason: str
    ticket: str
    from_ns: int
    until_ns: int
    """When it ended, or will end."""
    machines: int = 1
    ended_by: str | None = None
    """Who ended it early."""
    calls: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0
    services: tuple[str, ...] = ()
    """Those whose calls passed."""
    is_due: bool = True
    """Whether it is still to be reviewed: while it is on, and for `REVIEW_DAYS` after."""

    def is_on(self, at_ns: int) -> bool:
        return self.from_ns <= at_ns < self.until_ns


def activations_in(use: OverrideUse, since_ns: int, now_ns: int) -> list[ActivationReview]:
    """Tell every activation since an instant, with the calls that passed on it."""
    # Whatever the window is, what is on or due for review is not left out.
    begin_ns = min(since_ns, now_ns - _REVIEW_NS - _LONGEST_NS)
    told = _merged(_paired(use.activations(begin_ns)))
    listed = (_with_calls(use, each, now_ns) for each in told)
    return [each for each in listed if each.is_due or each.from_ns >= since_ns]


def _paired(facts: Sequence[ActivationFacts]) -> list[ActivationReview]:
    """Put each early end to the activation that it ends."""
    found: list[ActivationReview] = []
    for each in facts:
        if not each.ended:
            found.append(
                ActivationReview(
                    override_id=each.override_id,
                    role=each.role,
                    activated_by=each.activated_by,
                    reason=each.reason,
                    ticket=each.ticket,
                    from_ns=each.from_ns,
                    until_ns=each.until_ns,
                )
            )
            continue
        for index, begun in enumerate(found):
            is_it = (begun.override_id, begun.from_ns) == (each.override_id, each.from_ns)
            if is_it and begun.ended_by is None:
                found[index] = replace(begun, until_ns=each.until_ns, ended_by=each.activated_by)
                break
    return found


def _merged(found: Sequence[ActivationReview]) -> list[ActivationReview]:
    merged: list[ActivationReview] = []
    for each in sorted(found, key=lambda one: one.from_ns):
        for index, other in enumerate(merged):
            if _is_same(other, each):
                merged[index] = replace(
                    other,
                    until_ns=max(other.until_ns, each.until_ns),
                    machines=other.machines + 1,
                    ended_by=other.ended_by and each.ended_by,
                )
                break
        else:
            merged.append(each)
    return merged


def _is_same(one: ActivationReview, other: ActivationReview) -> bool:
    alike = ("override_id", "activated_by", "reason", "ticket")
    return other.from_ns < one.until_ns and all(
        getattr(one, name) == getattr(other, name) for name in alike
    )


def _with_calls(use: OverrideUse, each: ActivationReview, now_ns: int) -> ActivationReview:
    groups = [
        group
        for group in use.excused(each.from_ns, each.until_ns)
        if each.override_id in group.overrides
    ]
    with exact_arithmetic():
        return replace(
            each,
            calls=sum(group.calls for group in groups),
            cost=sum((group.cost for group in groups), Decimal(0)),
            unpriced=sum(group.unpriced for group in groups),
            services=tuple(sorted({group.service for group in groups if group.service})),
            is_due=now_ns < each.until_ns + _REVIEW_NS,
        )
