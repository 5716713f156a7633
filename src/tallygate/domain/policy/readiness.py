"""
Whether a service may leave its stage: each gate with what was measured and what was asked.

Exact   A limit is met exactly at it; shares are compared as whole numbers, and shown rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from typing_extensions import override

from tallygate.domain.kernel.instants import NS_PER_DAY
from tallygate.domain.policy.rollout import Gates, Plan, RolloutStage, StageName
from tallygate.domain.policy.traffic import Figures, Share

_SHOWN_FIELDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """One gate of a stage, and how the service stands to it."""

    name: str
    passes: bool
    measured: str
    """As people read it: `3.1 %`, `12.4`; `-` where nothing could be measured."""
    wanted: str
    short_by: Decimal | None = None
    """How much is wanting, in the gate's own unit; None when it passes or was not measured."""
    detail: str = ""

    @override
    def __str__(self) -> str:
        text = f"{self.name} {self.measured} of {self.wanted}"
        return f"{text}: {self.detail}" if self.detail else text


@dataclass(frozen=True, slots=True)
class ExceptionInForce:
    """An override that is in force, as far as readiness asks about it."""

    override: str
    approved_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a service on the day."""

    at_ns: int
    figures: Figures
    observed_since_ns: int | None
    """
    Since when it has been seen in its present modes, not before the stage began; None where that is
    not so of every environment that counts.
    """
    exceptions: tuple[ExceptionInForce, ...] = ()


def judge(plan: Plan, stage: RolloutStage, evidence: Evidence) -> tuple[GateResult, ...]:
    """Hold the evidence against every gate that the stage has."""
    gates, figures = stage.gates, evidence.figures
    found = [*_of_time(gates, stage, evidence, plan)]
    if figures.total.calls:
        found += [*_of_fields(gates, figures), *_of_shares(gates, figures)]
    if stage.name is StageName.ENFORCE:
        found.append(_exceptions(plan, evidence))
    return tuple(found)


def _of_time(
    gates: Gates, stage: RolloutStage, evidence: Evidence, plan: Plan
) -> Iterator[GateResult]:
    if gates.min_days is not None:
        since_ns = evidence.observed_since_ns
        observed_ns = 0 if since_ns is None else max(evidence.at_ns - since_ns, 0)
        yield _at_least("days", observed_ns, gates.min_days, NS_PER_DAY)
    calls = evidence.figures.total.calls
    if gates.min_calls is not None or not calls:  # of nothing there is no rate
        yield _at_least("calls", calls, gates.min_calls or 1)
    if gates.max_days_without_review is not None:
        yield _reviewed(gates.max_days_without_review, stage, plan, evidence.at_ns)


def _reviewed(limit: int, stage: RolloutStage, plan: Plan, at_ns: int) -> GateResult:
    """Count whole days, since a review names its day only."""
    review = plan.last_review(at_ns)
    held_ns = max(review.at_ns if review else 0, stage.starts_at_ns)
    days = max(at_ns - held_ns, 0) // NS_PER_DAY
    return GateResult(
        name="days_without_review",
        passes=days <= limit,
        measured=str(days),
        wanted=f"{limit} allowed",
        short_by=Decimal(days - limit) if days > limit else None,
        detail=f"the last one was on {review.date}" if review else "none was recorded",
    )


def _of_fields(gates: Gates, figures: Figures) -> Iterator[GateResult]:
    if gates.max_missing_field_rate is not None:
        detail = _by_field(figures)
        yield _share_at_most(
            "missing_field_rate", figures.missing_rate, gates.max_missing_field_rate, detail
        )
    for name, limit in gates.max_missing_by_field.items():
        share = figures.missing_rate_of(name)
        yield _share_at_most(f"missing_field_rate.{name}", share, limit)
    if gates.max_vocabulary_violation_rate is not None:
        counted = figures.vocabulary_by_field.most_common(_SHOWN_FIELDS)
        detail = ", ".join(
            f"{name} {Share(calls, figures.checked).text()}" for name, calls in counted
        )
        limit = gates.max_vocabulary_violation_rate
        yield _share_at_most("vocabulary_violation_rate", figures.vocabulary_rate, limit, detail)


def _of_shares(gates: Gates, figures: Figures) -> Iterator[GateResult]:
    if gates.max_environment_leakage is not None:
        leaked = f"{figures.leaked} calls" if figures.leaked else ""
        limit = gates.max_environment_leakage
        yield _share_at_most("environment_leakage", figures.leakage, limit, leaked)
    if gates.min_token_coverage is not None:
        yield _share_at_least("token_coverage", figures.token_coverage, gates.min_token_coverage)
    if gates.max_unattributed_share is not None:
        limit = gates.max_unattributed_share
        yield _share_at_most("unattributed_share.calls", figures.unattributed_calls, limit)
        if figures.total.cost or figures.total.unpriced:  # else nothing cost anything
            detail = _without_price(figures.total.unpriced)
            share = figures.unattributed_cost
            yield _share_at_most("unattributed_share.cost", share, limit, detail)


def _without_price(events: int) -> str:
    if not events:
        return ""
    return "1 event has no price" if events == 1 else f"{events:,} events have no price"


def _exceptions(plan: Plan, evidence: Evidence) -> GateResult:
    wrong = [one for one in evidence.exceptions if one.approved_by != plan.exceptions_approver]
    return GateResult(
        name="exceptions_approver",
        passes=not wrong,
        measured=f"{len(evidence.exceptions) - len(wrong)}",
        wanted=f"{len(evidence.exceptions)} overrides approved by {plan.exceptions_approver}",
        short_by=Decimal(len(wrong)) if wrong else None,
        detail=", ".join(f"{one.override} by {one.approved_by}" for one in wrong),
    )


def _by_field(figures: Figures) -> str:
    counted = figures.missing_by_field.most_common(_SHOWN_FIELDS)
    parts = [f"{name} {figures.missing_rate_of(name).text()}" for name, _ in counted]
    if figures.missing_waived:
        parts.append(f"excused {Share(figures.missing_waived, figures.checked).text()}")
    return ", ".join(parts)


def _share_at_most(name: str, share: Share, limit: Decimal, detail: str = "") -> GateResult:
    passes = share.is_known and share.at_most(limit)
    return _of_share(name, share, f"{limit} % allowed", limit, passes=passes, detail=detail)


def _share_at_least(name: str, share: Share, limit: Decimal) -> GateResult:
    passes = share.is_known and share.at_least(limit)
    return _of_share(name, share, f"{limit} % needed", limit, passes=passes)


def _of_share(
    name: str, share: Share, wanted: str, limit: Decimal, *, passes: bool, detail: str = ""
) -> GateResult:
    measured = share.percent()
    return GateResult(
        name=name,
        passes=passes,
        measured=share.text(limit),
        wanted=wanted,
        short_by=None if passes or measured is None else abs(measured - limit),
        detail=detail or ("" if share.is_known else "there is nothing to measure it by"),
    )


def _at_least(name: str, found: int, wanted: int, unit: int = 1) -> GateResult:
    passes = found >= wanted * unit
    have = Decimal(found) / unit
    shown = have.quantize(Decimal("0.1")) if unit != 1 else have
    if not passes and shown == wanted:  # 13.97 days are not 14
        shown = have.quantize(Decimal("0.0001"))
    return GateResult(
        name=name,
        passes=passes,
        measured=f"{shown}",
        wanted=f"{wanted} needed",
        short_by=None if passes else (wanted - have).quantize(Decimal("0.000001")),
    )
