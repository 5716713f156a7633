"""
What a change of the policies does, in the words that every form of the report uses.

Shapes  `impact_document` is the JSON form; `version` grows when a name changes its meaning.
Exact   Money in JSON is exact decimal text. For people it is rounded half-even to cents, here and
        nowhere before. Calls that were refused when they were recorded have no cost to show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from tallygate.application.impact_findings import (
    Change,
    DateAhead,
    DateOrigin,
    Impact,
    Tally,
    Window,
)
from tallygate.application.replay import PolicyAt
from tallygate.domain.kernel.instants import NS_PER_DAY, text_from_ns
from tallygate.domain.kernel.money import text_from_amount
from tallygate.domain.policy.change import REFUSING, Decided, Kind
from tallygate.errors import Problem

VERSION: Final = 1
NOBODY: Final = "unattributed"
NO_SERVICE: Final = "no registered service"
_CENT: Final = Decimal("0.01")
_COMMIT_CHARS: Final = 12

TITLES: Final[Mapping[Kind, str]] = {
    Kind.UNANSWERED: "No answer from the policy: the gate would be blind",
    Kind.REFUSED: "Newly refused",
    Kind.QUARANTINED: "Newly quarantined",
    Kind.WOULD_BE_REFUSED: "Would newly be refused (report-only, they still pass)",
    Kind.ADMITTED: "Newly admitted",
    Kind.NO_LONGER_WOULD_BE_REFUSED: "Would no longer be refused (report-only)",
    Kind.OTHER_PAYER: "Paid by another team",
    Kind.OTHER_COST_CENTER: "On another cost center",
    Kind.OTHER_REASONS: "Other violations, or excused otherwise",
    Kind.MODE: "Mode only",
}
ORIGINS: Final[Mapping[DateOrigin, str]] = {
    DateOrigin.NEW: "with this change only",
    DateOrigin.KEPT: "in base already",
    DateOrigin.DROPPED: "in base only",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactReport:
    """Everything that one comparison has to say."""

    base: PolicyAt
    head: PolicyAt
    window: Window
    impact: Impact
    caveats: tuple[Problem, ...]
    commits_missing: int
    """Commits of base that head has not: what they change shows here reversed."""
    grain_ns: int = 0
    """How exactly the times of calls are known; 0 is exactly."""

    @property
    def nothing_replayed(self) -> bool:
        return not self.impact.replayed.calls

    @property
    def calls_not_replayed(self) -> int:
        return sum(tally.calls for tally in self.impact.not_replayed.values())


# Sentences


def headline(report: ImpactReport) -> str:
    """Say in one sentence, or two, what the reviewer must know."""
    impact = report.impact
    if report.nothing_replayed:
        return f"Could not tell: {_why_nothing(report)}."
    of = f"of {counted(impact.replayed.calls, 'replayed call')}"
    later = _later(impact)
    if refused := impact.refused.calls:
        services = {c.service for c in impact.changes if c.kind in REFUSING}
        return (
            f"{refused:,} {of} would newly be refused, in {counted(len(services), 'service')}:"
            f" {money_text(impact.refused)}.{later}"
        )
    if changed := impact.total().calls:
        return (
            f"No call would newly be refused; {changed:,} {of} would be decided differently.{later}"
        )
    return f"No call {of} would be decided differently.{later}"


def _later(impact: Impact) -> str:
    calls = impact.refused_later
    if not calls.calls:
        return ""
    first = min(at for at, tally in impact.later.items() if tally.calls)
    more = "more " if impact.refused.calls else ""
    return (
        f" From {first} on, {calls.calls:,} {more}will be refused by dates that this change"
        f" brings: {money_text(calls)}."
    )


def _why_nothing(report: ImpactReport) -> str:
    if report.calls_not_replayed:
        return (
            f"none of {counted(report.calls_not_replayed, 'recorded call')} can be replayed,"
            " because what they were decided from was not recorded"
        )
    return "no call was recorded in this time"


def notes(report: ImpactReport) -> list[str]:
    """Say what limits the answer, the gravest first."""
    impact, found = report.impact, []
    if missing := report.calls_not_replayed:
        share = share_text(missing, missing + impact.replayed.calls)
        services = ", ".join(
            f"{service or NO_SERVICE} {tally.calls:,}"
            for service, tally in sorted(
                impact.not_replayed.items(), key=lambda item: (-item[1].calls, item[0] or "")
            )[:8]
            if tally.calls
        )
        found.append(
            f"{counted(missing, 'call')} ({share}) could not be replayed: what they were decided"
            f" from was not recorded. What a change does to them is not known: {services}."
        )
    if impact.undecided.calls:
        found.append(
            f"{counted(impact.undecided.calls, 'call')} could not be compared: the policy of base"
            " gives no answer for them."
        )
    if report.commits_missing:
        found.append(
            f"base has {counted(report.commits_missing, 'commit')} that head has not; what they"
            " change shows here reversed. Merge base into head, or compare with the merge base."
        )
    if report.base.revision == report.head.revision:
        found.append("Base and head are the same policies: nothing that decides differs.")
    if report.grain_ns and report.window.at_ns is None:
        length = "hour" if report.grain_ns < NS_PER_DAY else "day"
        found.append(
            f"The file tells the times of calls by the {length}: where a date lies within one,"
            " calls are decided as of the first of them."
        )
    if impact.unlike_record.calls:
        found.append(
            f"The record of {counted(impact.unlike_record.calls, 'call')} differs from what base"
            " decides as of then: another revision was in force, or the gate was blind."
        )
    return found


def compared(report: ImpactReport) -> str:
    """Say which revisions were compared, over which calls, as of when."""
    days = (report.window.until_ns - report.window.since_ns) // NS_PER_DAY
    length = f" ({counted(days, 'day')})" if days else ""
    as_of = report.window.at_ns
    decided = "each decided as of its own time" if as_of is None else f"as of {text_from_ns(as_of)}"
    return (
        f"{revision_text(report.base)} → {revision_text(report.head)};"
        f" calls from {text_from_ns(report.window.since_ns)}"
        f" to {text_from_ns(report.window.until_ns)}{length}, {decided}"
    )


def replayed_text(report: ImpactReport) -> str:
    """Say how much was replayed."""
    impact = report.impact
    return (
        f"{counted(impact.replayed.calls, 'call')} of {counted(impact.inputs, 'distinct input')}"
        f" replayed, {money_text(impact.replayed)}"
    )


def date_text(date: DateAhead) -> str:
    """Say what begins at one instant."""
    calls = counted(date.tally.calls, "call")
    workflows = f" of {counted(date.workflows, 'workflow')}" if date.workflows else ""
    return f"{calls}{workflows} {_BECOME[date.kind]}"


_BECOME: Final[Mapping[Kind, str]] = {
    Kind.UNANSWERED: "without an answer",
    Kind.REFUSED: "refused",
    Kind.QUARANTINED: "quarantined",
    Kind.WOULD_BE_REFUSED: "that would be refused (report-only)",
    Kind.ADMITTED: "admitted",
    Kind.NO_LONGER_WOULD_BE_REFUSED: "that would no longer be refused (report-only)",
    Kind.OTHER_PAYER: "paid by another team",
    Kind.OTHER_COST_CENTER: "on another cost center",
    Kind.OTHER_REASONS: "with other violations, or excused otherwise",
    Kind.MODE: "under another mode",
}


# Cells


def reasons_of(change: Change) -> list[tuple[str, str]]:
    """Say why, as pairs of a word and what it is about; names come from policy data."""
    before, after = change.before, change.after
    if after is None:
        return [("", "the policy gives no answer")]
    match change.kind:
        case Kind.OTHER_PAYER:
            return [("", f"{before.team or NOBODY} → {after.team or NOBODY}")]
        case Kind.OTHER_COST_CENTER:
            return [("", f"{_account(before)} → {_account(after)}")]
        case Kind.MODE:
            return [("", f"{before.mode} → {after.mode}")]
        case Kind.OTHER_REASONS:
            return _other_reasons(before, after)
        case _:
            found = by_code(change.reasons)
            if before.mode is not after.mode:
                found.append(("mode", f"{before.mode} → {after.mode}"))
            return found


def _other_reasons(before: Decided, after: Decided) -> list[tuple[str, str]]:
    old, new = set(before.violations), set(after.violations)
    found = [(f"now {code}", names) for code, names in by_code(new - old)]
    found += [(f"no more {code}", names) for code, names in by_code(old - new)]
    was, becomes = set(before.waived), set(after.waived)
    found += [("excused by", each) for each in sorted({w[2] for w in becomes - was})]
    found += [("not excused by", each) for each in sorted({w[2] for w in was - becomes})]
    if before.would_action is not after.would_action:
        found.append(("enforce", f"{before.would_action} → {after.would_action}"))
    return found


def by_code(violations: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Put the fields of one code together."""
    fields: dict[str, list[str]] = {}
    for code, name in sorted(violations):
        fields.setdefault(code, []).append(name)
    return [(code, ", ".join(names)) for code, names in fields.items()]


def _account(decided: Decided) -> str:
    return f"{decided.cost_center or 'none'} ({decided.business_unit or 'none'})"


def money_text(tally: Tally) -> str:
    """Show what calls cost when they were made, and what of it is not known."""
    if tally.calls and tally.refused == tally.calls:
        return "cost unknown (refused when recorded)"
    if tally.unpriced and not tally.cost:
        return f"cost unknown ({tally.unpriced:,} unpriced)"
    unknown = []
    if tally.unpriced:
        unknown.append(f"{tally.unpriced:,} unpriced")
    if tally.refused:
        unknown.append(f"{tally.refused:,} refused when recorded")
    return _cents(tally.cost) + (f" ({', '.join(unknown)})" if unknown else "")


def _cents(amount: Decimal) -> str:
    if 0 < amount < _CENT:
        return "under $0.01"
    return f"${amount.quantize(_CENT, rounding=ROUND_HALF_EVEN):,}"


def share_text(part: int, whole: int) -> str:
    """Show a share in percent; what is not nothing is never 0 %, what is not all never 100 %."""
    if not whole or part == whole:
        return "100 %" if whole else "-"
    tenths = part * 1000 // whole
    return "under 0.1 %" if not tenths else f"{tenths // 10}.{tenths % 10} %"


def counted(count: int, noun: str) -> str:
    """Put a number before what it counts."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def revision_text(policy: PolicyAt) -> str:
    """Name a revision as it was asked for, and its commit."""
    return f"{policy.name} ({policy.commit[:_COMMIT_CHARS]})" if policy.commit else policy.name


# Programs


def impact_document(report: ImpactReport) -> dict[str, Any]:
    """Build the JSON form."""
    impact = report.impact
    at_ns = report.window.at_ns
    return {
        "version": VERSION,
        "headline": headline(report),
        "base": _policy_document(report.base),
        "head": _policy_document(report.head),
        "commits_of_base_not_in_head": report.commits_missing,
        "window": {
            "since": text_from_ns(report.window.since_ns),
            "until": text_from_ns(report.window.until_ns),
            "decided_at": "recorded" if at_ns is None else text_from_ns(at_ns),
            "dates_ahead_of": text_from_ns(report.window.now_ns),
        },
        "replayed": {**_tally_document(impact.replayed), "distinct_inputs": impact.inputs},
        "not_replayed": {
            "calls": report.calls_not_replayed,
            "by_service": [
                {"service": service, **_tally_document(tally)}
                for service, tally in sorted(
                    impact.not_replayed.items(), key=lambda item: item[0] or ""
                )
            ],
        },
        "not_comparable": _tally_document(impact.undecided),
        "unlike_record": _tally_document(impact.unlike_record),
        "totals": {kind.value: _tally_document(impact.total((kind,))) for kind in Kind},
        "changes": [_change_document(change) for change in impact.changes],
        "refused_later": [
            {"from": at, **_tally_document(tally)} for at, tally in sorted(impact.later.items())
        ],
        "dates_ahead": [_date_document(date) for date in impact.dates],
        "caveats": [
            {"code": each.code, "message": each.message, "file": each.file, "line": each.line}
            for each in report.caveats
        ],
    }


def _policy_document(policy: PolicyAt) -> dict[str, Any]:
    return {"name": policy.name, "commit": policy.commit, "policy_revision": policy.revision}


def _tally_document(tally: Tally) -> dict[str, Any]:
    return {
        "calls": tally.calls,
        "cost_usd": text_from_amount(tally.cost),
        "unpriced_events": tally.unpriced,
        "refused_when_recorded": tally.refused,
    }


def _change_document(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind.value,
        "service": change.service,
        "environment": change.environment,
        "owner_team": change.team,
        **_tally_document(change.tally),
        "calls_of_service": change.of_service,
        "violations": [{"code": code, "field": name} for code, name in change.reasons],
        "before": _decided_document(change.before),
        "after": _decided_document(change.after) if change.after else None,
        "sample_decision_ids": list(change.samples),
    }


def _decided_document(decided: Decided) -> dict[str, Any]:
    return {
        "action": decided.action.value,
        "would_action": decided.would_action.value,
        "mode": decided.mode.value,
        "owner_team": decided.team,
        "cost_center": decided.cost_center,
        "business_unit": decided.business_unit,
        "violations": [{"code": code, "field": name} for code, name in decided.violations],
        "waived": [
            {"code": code, "field": name, "override": override}
            for code, name, override in decided.waived
        ],
    }


def _date_document(date: DateAhead) -> dict[str, Any]:
    return {
        "at": date.at,
        "kind": date.kind.value,
        "origin": date.origin.value,
        **_tally_document(date.tally),
        "workflows": date.workflows,
        "services": [
            {"service": service, **_tally_document(tally)}
            for service, tally in sorted(date.services.items(), key=lambda item: item[0] or "")
        ],
        "sample_decision_ids": list(date.samples),
    }
