"""The rollout's status as tables for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tallygate.application.rollout_status import Kind, Readiness, RolloutStatus, ServiceStatus
from tallygate.domain.kernel.instants import NS_PER_DAY, text_from_ns
from tallygate.domain.policy.traffic import UNDECIDED, Amount, Figures, Share
from tallygate.reports.events import plain_text
from tallygate.reports.rollout_documents import (
    NO_STATEMENTS,
    label,
    largest,
    mode_text,
    money_text,
    readiness_text,
)

_NAME_COLUMNS: Final = 24
_COLORS: Final = {
    Readiness.READY: "green",
    Readiness.NOT_READY: "red",
    Readiness.UNPLANNED: "yellow",
}


def status_tables(status: RolloutStatus) -> RenderableType:
    """Lay out what the ledger says of every service, and what is wanting."""
    return Group(*_parts(status))


def _parts(status: RolloutStatus) -> Iterator[RenderableType]:
    yield _head(status)
    yield _overview(status)
    for line in status.services:
        if line.failing:
            yield _failing(line)
    if any(line.figures.missing for line in status.services):
        yield _missing(status)
    if any(line.figures.would_refuse.calls for line in status.services):
        yield _would_refuse(status)
    if any(line.overrides for line in status.services):
        yield _overrides(status)
    yield from _notes(status)


def _head(status: RolloutStatus) -> Text:
    since, until = text_from_ns(status.wanted.since_ns), text_from_ns(status.wanted.until_ns)
    where = f" in {status.wanted.environment}" if status.wanted.environment else ""
    return Text(f"Calls{where} from {since} to {until}")


def _table(*columns: str) -> Table:
    """Make a table; `>` before a name is for figures, `=` for what is never folded."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        if name.startswith(">"):
            table.add_column(name[1:], justify="right", no_wrap=True)
        elif name.startswith("="):
            table.add_column(name[1:], no_wrap=True)
        else:
            table.add_column(name, overflow="fold")
    return table


def _overview(status: RolloutStatus) -> Table:
    table = _table(
        "service\nowner",
        "=stage\nreadiness",
        "mode",
        ">calls\ncost",
        ">missing\nunknown",
        ">leakage\ncoverage",
        ">unattributed\ncalls, cost",
    )
    names = [len(line.name) for line in status.services if line.kind is Kind.REGISTERED]
    table.columns[0].min_width = min(max(names, default=0), _NAME_COLUMNS)
    for line in status.services:
        table.add_row(
            Text("\n").join([plain_text(label(line)), Text(line.owner or "-", style="dim")]),
            _stage_text(line, status.wanted.until_ns),
            "\n".join(f"{name} {mode_text(mode)}" for name, mode in line.modes.items()) or "-",
            *_figure_cells(line.figures),
        )
    if len(status.services) > 1:
        table.add_section()
        table.add_row("all", "", "", *_figure_cells(status.total))
    return table


def _figure_cells(figures: Figures) -> tuple[str, ...]:
    return (
        f"{figures.total.calls:,}\n{money_text(figures.total.cost)}",
        f"{figures.missing_rate.text()}\n{figures.vocabulary_rate.text()}",
        f"{figures.leakage.text()}\n{figures.token_coverage.text()}",
        f"{figures.unattributed_calls.text()}\n{figures.unattributed_cost.text()}",
    )


def _stage_text(line: ServiceStatus, at_ns: int) -> Text:
    readiness = Text(readiness_text(line), style=_COLORS[line.readiness] if line.readiness else "")
    stage = line.stage
    if stage is None:
        return readiness
    if at_ns < stage.starts_at_ns:
        days = -(-(stage.starts_at_ns - at_ns) // NS_PER_DAY)
        when = f" in {days} days"
    else:
        when = f", day {stage.days_in(at_ns):.0f}{'+' if at_ns >= stage.ends_at_ns else ''}"
    return Text("\n").join([Text(f"{stage.name}{when}"), readiness])


def _failing(line: ServiceStatus) -> Text:
    stage = line.stage.name if line.stage else ""
    gates = "".join(f"\n  {gate}" for gate in line.failing)
    passed = len(line.gates) - len(line.failing)
    return Text(
        f"{line.name} is not ready to leave {stage} "
        f"({passed} of {len(line.gates)} gates passed):{gates}\n"
    )


def _missing(status: RolloutStatus) -> Table:
    table = _table("missing fields of", "owner", "field", ">calls", ">rate")
    for line in status.services:
        _add_missing(table, plain_text(label(line)), line.owner or "-", line.figures)
    for owner, figures in status.by_owner.items():
        _add_missing(table, Text("all services of"), owner, figures)
    return table


def _add_missing(table: Table, name: Text, owner: str, figures: Figures) -> None:
    for field, calls in figures.missing_by_field.most_common():
        table.add_row(name, owner, field, f"{calls:,}", figures.missing_rate_of(field).text())
    if figures.missing_waived:
        share = Share(figures.missing_waived, figures.checked)
        table.add_row(
            name, owner, "(excused by an override)", f"{figures.missing_waived:,}", share.text()
        )


def _would_refuse(status: RolloutStatus) -> Table:
    table = _table("enforced today, refused", "for", ">calls", ">cost", "on")
    for line in status.services:
        figures = line.figures
        for (code, field), amount in largest(figures.would_refuse_by_fault):
            reason = code if (code, field) == UNDECIDED else f"{code} {field}"
            table.add_row(plain_text(label(line)), reason, *_amount_cells(amount), "")
        if figures.would_refuse.calls:
            payers = ", ".join(
                f"{payer or 'nobody'} {amount.calls:,}"
                for payer, amount in largest(figures.would_refuse_by_payer)
            )
            table.add_row(
                plain_text(label(line)),
                "any of these",
                *_amount_cells(figures.would_refuse),
                payers,
            )
    return table


def _amount_cells(amount: Amount) -> tuple[str, str]:
    unpriced = f", {amount.unpriced:,} unpriced" if amount.unpriced else ""
    return f"{amount.calls:,}", f"{money_text(amount.cost)}{unpriced}"


def _overrides(status: RolloutStatus) -> Table:
    table = _table("override in force", "service", "fields", "ends", ">days left", "")
    for line in status.services:
        for one in line.overrides:
            table.add_row(
                one.override,
                line.name,
                ", ".join(one.fields),
                one.expires_at,
                str(one.days_left),
                Text("ends soon", style="yellow") if one.ends_soon else "",
            )
    return table


def _notes(status: RolloutStatus) -> Iterator[Text]:
    total = status.total
    if total.refused:
        yield Text(f"{total.refused:,} of the calls were refused; they cost nothing.")
    if total.undecided:
        yield Text(f"{total.undecided:,} calls could not be decided; no rate counts them.")
    if total.total.unpriced:
        yield Text(f"{total.total.unpriced:,} events have no known price; no cost counts them.")
    if total.would_quarantine.calls:
        yield Text(f"{total.would_quarantine.calls:,} calls would be quarantined under enforce.")
    yield Text(f"Reconciliation drift: {NO_STATEMENTS}.")
    if not status.has_plan:
        yield Text("There is no rollout plan: tallygate rollout plan -o policies/rollout/plan.yaml")
    elif status.last_review is None:
        yield Text("No weekly review is recorded in the plan.")
    else:
        review = status.last_review
        yield Text(f"Last weekly review: {review.date}, held by {review.held_by}.")
