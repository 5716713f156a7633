"""
The rollout's status for programs: JSON, CSV, and Markdown for a pull request or a weekly review.

Exact   Money and percentages are decimal text; what is not known is null or an empty cell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from tallygate.application.rollout_ports import ModeInForce
from tallygate.application.rollout_status import (
    Kind,
    OverrideInForce,
    Readiness,
    RolloutStatus,
    ServiceStatus,
)
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.kernel.money import text_from_amount
from tallygate.domain.policy.readiness import GateResult
from tallygate.domain.policy.traffic import Amount, Figures, Share
from tallygate.reports.events import csv_cell

NO_STATEMENTS: Final = "no statements yet"
"""What stands for reconciliation drift until there is something to reconcile with."""


def status_document(status: RolloutStatus) -> dict[str, Any]:
    """Say everything, for JSON."""
    review = status.last_review
    return {
        "since": text_from_ns(status.wanted.since_ns),
        "until": text_from_ns(status.wanted.until_ns),
        "environment": status.wanted.environment,
        "has_plan": status.has_plan,
        "last_review": {"date": review.date, "held_by": review.held_by} if review else None,
        "services": [_service(line) for line in status.services],
        "by_owner": {owner: _figures(found) for owner, found in status.by_owner.items()},
        "total": _figures(status.total),
    }


def status_csv(status: RolloutStatus) -> str:
    """Write one row a service; lists in a cell are parted by blanks."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    rows = [_flat(line) for line in status.services]
    writer.writerow(rows[0] if rows else _flat(_NOTHING))
    for row in rows:
        writer.writerow([csv_cell(value) for value in row.values()])
    return out.getvalue()


def status_markdown(status: RolloutStatus) -> str:
    """Write a table, and below it what every service that is not ready lacks."""
    return "\n".join(_markdown(status)) + "\n"


def label(line: ServiceStatus) -> str:
    """Name a line."""
    if line.kind is Kind.UNNAMED:
        return "(no known service)"
    return line.name if line.kind is Kind.REGISTERED else f"{line.name} (not registered)"


def mode_text(mode: ModeInForce) -> str:
    """Say a mode, and where it does not hold for all, for which share."""
    if mode.is_whole:
        return mode.mode
    shares = []
    if mode.workflows_percent < 100:
        shares.append(f"{mode.workflows_percent} % of workflows")
    if mode.calls_percent < 100:
        shares.append(f"{mode.calls_percent} % of calls")
    return f"{mode.mode} {', '.join(shares)}"


def money_text(amount: Decimal) -> str:
    """Show dollars: to the cent from one dollar on, exactly below."""
    return f"${amount:,.2f}" if amount >= 1 else f"${text_from_amount(amount)}"


def _service(line: ServiceStatus) -> dict[str, Any]:
    stage = line.stage
    return {
        "service": line.name or None,
        "kind": line.kind.value,
        "owner": line.owner,
        "modes": {name: _mode(mode) for name, mode in line.modes.items()},
        "stage": stage.name.value if stage else None,
        "stage_days": _decimal(line.stage_days),
        "stage_ends_at": text_from_ns(stage.ends_at_ns) if stage else None,
        "observed_since": text_from_ns(line.observed_since_ns) if line.observed_since_ns else None,
        "observed_days": _decimal(line.observed_days),
        **_figures(line.figures),
        "overrides": [_override(one) for one in line.overrides],
        "readiness": line.readiness.value if line.readiness else None,
        "gates": [_gate(gate) for gate in line.gates],
    }


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        **_amount(figures.total),
        "refused_calls": figures.refused,
        "undecided_calls": figures.undecided,
        "missing_field_rate": _share(figures.missing_rate),
        "missing_calls": figures.missing,
        "missing_and_excused_calls": figures.missing_waived,
        "missing_by_field": {
            name: {"calls": calls, "rate": _share(figures.missing_rate_of(name))}
            for name, calls in figures.missing_by_field.most_common()
        },
        "vocabulary_violation_rate": _share(figures.vocabulary_rate),
        "vocabulary_by_field": dict(figures.vocabulary_by_field.most_common()),
        "environment_leakage": _share(figures.leakage),
        "leaked_calls": figures.leaked,
        "token_coverage": _share(figures.token_coverage),
        "unattributed": _amount(figures.unattributed)
        | {
            "calls_share": _share(figures.unattributed_calls),
            "cost_share": _share(figures.unattributed_cost),
        },
        "reconciliation_drift": None,
        "would_refuse": _amount(figures.would_refuse)
        | {
            "by_violation": [
                {"code": code, "field": name, **_amount(amount)}
                for (code, name), amount in largest(figures.would_refuse_by_fault)
            ],
            "by_payer": [
                {"owner_team": payer, **_amount(amount)}
                for payer, amount in largest(figures.would_refuse_by_payer)
            ],
        },
        "would_quarantine": _amount(figures.would_quarantine),
    }


def largest(amounts: Mapping[Any, Amount]) -> list[tuple[Any, Amount]]:
    """Order what was added up by its calls, the most first."""
    return sorted(amounts.items(), key=lambda each: (-each[1].calls, str(each[0])))


def _amount(amount: Amount) -> dict[str, Any]:
    return {
        "calls": amount.calls,
        "cost": text_from_amount(amount.cost),
        "unpriced_events": amount.unpriced,
    }


def _share(share: Share) -> str | None:
    return _decimal(share.percent())


def _decimal(value: Decimal | None) -> str | None:
    return None if value is None else text_from_amount(value)


def _mode(mode: ModeInForce) -> dict[str, Any]:
    return {
        "mode": mode.mode,
        "source": mode.source,
        "enforced_workflows_percent": mode.workflows_percent,
        "enforced_calls_percent": mode.calls_percent,
    }


def _override(one: OverrideInForce) -> dict[str, Any]:
    return {
        "id": one.override,
        "expires_at": one.expires_at,
        "days_left": _decimal(one.days_left),
        "ends_soon": one.ends_soon,
        "approved_by": one.approved_by,
        "fields": list(one.fields),
    }


def _gate(gate: GateResult) -> dict[str, Any]:
    return {
        "gate": gate.name,
        "passes": gate.passes,
        "measured": gate.measured,
        "wanted": gate.wanted,
        "short_by": _decimal(gate.short_by),
        "detail": gate.detail,
    }


def _flat(line: ServiceStatus) -> dict[str, Any]:
    whole, figures = _service(line), line.figures
    return {
        **{name: whole[name] for name in ("service", "kind", "owner", "stage", "stage_days")},
        "observed_days": whole["observed_days"],
        "modes": " ".join(f"{name}:{mode.mode}" for name, mode in line.modes.items()),
        **_amount(figures.total),
        "refused_calls": figures.refused,
        "missing_field_rate": whole["missing_field_rate"],
        "missing_by_field": " ".join(
            f"{name}:{_share(figures.missing_rate_of(name))}"
            for name, _ in figures.missing_by_field.most_common()
        ),
        "vocabulary_violation_rate": whole["vocabulary_violation_rate"],
        "environment_leakage": whole["environment_leakage"],
        "token_coverage": whole["token_coverage"],
        "unattributed_calls_share": whole["unattributed"]["calls_share"],
        "unattributed_cost_share": whole["unattributed"]["cost_share"],
        "reconciliation_drift": None,
        "overrides": len(line.overrides),
        "overrides_ending_soon": sum(one.ends_soon for one in line.overrides),
        "would_refuse_calls": figures.would_refuse.calls,
        "would_refuse_cost": text_from_amount(figures.would_refuse.cost),
        "readiness": whole["readiness"],
        "failing_gates": " ".join(gate.name for gate in line.failing),
    }


_NOTHING: Final = ServiceStatus(name="", kind=Kind.UNNAMED, owner=None, figures=Figures())


def _markdown(status: RolloutStatus) -> Iterator[str]:
    since, until = text_from_ns(status.wanted.since_ns), text_from_ns(status.wanted.until_ns)
    yield f"### Rollout, {since} to {until}"
    yield ""
    columns = ("Service", "Stage", "Mode", "Calls", "Cost", "Missing", "Unattributed", "Readiness")
    yield f"| {' | '.join(columns)} |"
    yield "|---|---|---|--:|--:|--:|--:|---|"
    for line in status.services:
        figures = line.figures
        cells = (
            label(line),
            f"{line.stage.name}, {line.stage_days:.1f} days" if line.stage else "-",
            ", ".join(f"{name} {mode_text(mode)}" for name, mode in line.modes.items()) or "-",
            f"{figures.total.calls:,}",
            money_text(figures.total.cost),
            figures.missing_rate.text(),
            f"{figures.unattributed_calls.text()}, {figures.unattributed_cost.text()} of cost",
            readiness_text(line),
        )
        yield f"| {' | '.join(_escaped(cell) for cell in cells)} |"
    for line in status.services:
        if line.failing:
            yield f"\n**{_escaped(label(line))}** is not ready:"
            yield from (f"- {_escaped(str(gate))}" for gate in line.failing)
        refuse = line.figures.would_refuse
        if refuse.calls:
            yield (
                f"\n{_escaped(label(line))}: enforce would have refused {refuse.calls:,} calls"
                f" ({money_text(refuse.cost)}):"
            )
            for (code, name), amount in largest(line.figures.would_refuse_by_fault):
                yield f"- `{code}` {_escaped(name)}: {amount.calls:,} calls"


def readiness_text(line: ServiceStatus) -> str:
    """Say it in words; `-` where no plan can apply."""
    match line.readiness:
        case Readiness.READY:
            return "ready"
        case Readiness.NOT_READY:
            return "not ready"
        case Readiness.UNPLANNED:
            return "not planned"
        case _:
            return "-"


def _escaped(text: str) -> str:
    """Keep a caller's text from being markup."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    for char in "\\`*|<>[]":
        shown = shown.replace(char, f"\\{char}")
    return shown
