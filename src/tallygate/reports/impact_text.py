"""The impact of a change of the policies for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tallygate.application.impact_findings import Change, DateAhead, DateOrigin
from tallygate.domain.policy.change import REFUSING, Kind
from tallygate.reports.events import plain_text
from tallygate.reports.impact import (
    NO_SERVICE,
    NOBODY,
    ORIGINS,
    TITLES,
    ImpactReport,
    compared,
    date_text,
    headline,
    money_text,
    notes,
    reasons_of,
    replayed_text,
    share_text,
)

_MOST_ROWS: Final = 20
_WIDE: Final = 140
"""From here on there is room for a decision id in each row."""
_STYLES: Final = {Kind.UNANSWERED: "red", Kind.REFUSED: "red", Kind.QUARANTINED: "yellow"}


def impact_text(report: ImpactReport, width: int) -> RenderableType:
    """Lay the report out, newly refused first; json has what a long table leaves out."""
    refusing = report.impact.refused.calls or report.impact.refused_later.calls
    style = "bold red" if refusing else "bold"
    if report.nothing_replayed:
        style = "bold yellow"
    parts: list[RenderableType] = [Text(headline(report), style=style)]
    parts += [Text("! ", style="yellow").append_text(plain_text(note)) for note in notes(report)]
    for kind in Kind:
        if changes := [change for change in report.impact.changes if change.kind is kind]:
            parts += [
                "",
                Text(TITLES[kind], style=_STYLES.get(kind, "bold")),
                _table(changes, width),
            ]
    if report.impact.dates:
        parts += ["", Text("Dates ahead", style="bold"), _dates(report.impact.dates)]
    if report.caveats:
        parts += ["", Text("What recorded calls cannot tell", style="bold")]
        parts += [Padding(plain_text(str(caveat)), (0, 0, 0, 2)) for caveat in report.caveats]
    parts += ["", plain_text(compared(report)), Text(replayed_text(report))]
    return Group(*parts)


def _table(changes: Sequence[Change], width: int) -> RenderableType:
    has_samples = width >= _WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("service", "environment", "pays", "why"):
        table.add_column(name, overflow="fold")
    for name in ("calls", "of service"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("cost", justify="right")
    if has_samples:
        table.add_column("for example", no_wrap=True)
    for change in changes[:_MOST_ROWS]:
        table.add_row(
            plain_text(change.service or NO_SERVICE),
            plain_text(change.environment),
            plain_text(change.team or NOBODY),
            plain_text("; ".join(_reasons(change))),
            f"{change.tally.calls:,}",
            share_text(change.tally.calls, change.of_service),
            money_text(change.tally),
            *([plain_text(next(iter(change.samples), None))] if has_samples else []),
        )
    if len(changes) <= _MOST_ROWS:
        return table
    rest = changes[_MOST_ROWS:]
    calls = sum(change.tally.calls for change in rest)
    return Group(
        table, Text(f"and {len(rest):,} more rows with {calls:,} calls; see --format json")
    )


def _reasons(change: Change) -> Iterator[str]:
    for word, about in reasons_of(change):
        yield f"{word} {about}".strip()


def _dates(dates: Sequence[DateAhead]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("from", no_wrap=True)
    table.add_column("what begins", overflow="fold")
    table.add_column("services", overflow="fold")
    table.add_column("cost", justify="right")
    table.add_column("", overflow="fold")
    for date in dates[: 2 * _MOST_ROWS]:
        table.add_row(
            date.at,
            Text(date_text(date), style="red" if _refuses(date) else ""),
            plain_text(", ".join(sorted(service or NO_SERVICE for service in date.services))),
            money_text(date.tally),
            ORIGINS[date.origin],
        )
    hidden = len(dates) - 2 * _MOST_ROWS
    return (
        Group(table, Text(f"and {hidden:,} more dates; see --format json")) if hidden > 0 else table
    )


def _refuses(date: DateAhead) -> bool:
    return date.kind in REFUSING and date.origin is not DateOrigin.DROPPED
