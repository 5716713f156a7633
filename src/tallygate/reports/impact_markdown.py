"""
The impact of a change of the policies as a comment on its pull request.

Exact   At most 60,000 characters (GitHub takes 65,536): long tables are cut, and say so.
        Names come from a pull request that anybody may open: none of them can end a cell, name a
        person, link, or bring HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from tallygate.application.impact_findings import Change, DateAhead
from tallygate.domain.policy.change import REFUSING, Kind
from tallygate.reports.events import plain_text
from tallygate.reports.impact import (
    NO_SERVICE,
    NOBODY,
    ORIGINS,
    TITLES,
    ImpactReport,
    compared,
    counted,
    date_text,
    headline,
    money_text,
    notes,
    reasons_of,
    replayed_text,
    share_text,
)

MARK: Final = "<!-- tallygate policy impact -->"
"""The first line, by which a CI finds its own comment to replace it."""
MOST_CHARS: Final = 60_000

_ROWS: Final = (200, 100, 50, 20, 10, 5, 2)
_CELL_CHARS: Final = 160
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/ →(),-]*")
_SPECIAL: Final = re.compile(r"[^A-Za-z0-9 .,;:%()/+→…-]")
_BREAKS: Final = (("@", "@\u200b"), ("#", "#\u200b"), ("://", ":\u200b//"), ("www.", "www\u200b."))


def impact_markdown(report: ImpactReport) -> str:
    """Write the comment, with as many rows as there is room for."""
    for rows in _ROWS:
        text = "\n".join(_lines(report, rows))
        if len(text) <= MOST_CHARS:
            break
    else:
        text = text[:MOST_CHARS].rpartition("\n")[0]
    return text


def _lines(report: ImpactReport, rows: int) -> Iterator[str]:
    impact = report.impact
    yield MARK
    yield f"### Policy impact: {_sign(report)} {prose(headline(report))}"
    yield ""
    for note in notes(report):
        yield f"> ⚠️ {prose(note)}"
        yield ""
    for kind in Kind:
        changes = [change for change in impact.changes if change.kind is kind]
        if changes:
            calls = sum(change.tally.calls for change in changes)
            title = f"{TITLES[kind]}: {counted(calls, 'call')}"
            yield from _folded(title, _table(changes, rows), is_open=kind in REFUSING)
    if impact.dates:
        title = f"Dates ahead: {counted(len(impact.dates), 'change')} to come"
        yield from _folded(
            title, _dates(impact.dates, rows), is_open=bool(impact.refused_later.calls)
        )
    if report.caveats:
        lines = [
            f"- {code(f'{each.file}:{each.line}')}: {prose(each.message)}"
            for each in report.caveats[:rows]
        ]
        if len(report.caveats) > rows:
            lines.append(f"- and {counted(len(report.caveats) - rows, 'more')}")
        yield from _folded("What recorded calls cannot tell about this change", lines)
    yield f"<sub>{prose(compared(report))}. {prose(replayed_text(report))}.</sub>"


def _sign(report: ImpactReport) -> str:
    if report.nothing_replayed:
        return "❔"
    return "🛑" if report.impact.refused.calls or report.impact.refused_later.calls else "✅"


def _folded(title: str, lines: Sequence[str], *, is_open: bool = False) -> Iterator[str]:
    if is_open:
        yield f"**{prose(title)}**"
    else:
        yield f"<details><summary>{prose(title)}</summary>"
    yield ""
    yield from lines
    yield ""
    if not is_open:
        yield "</details>"
        yield ""


def _table(changes: Sequence[Change], rows: int) -> list[str]:
    def row(change: Change) -> tuple[str, ...]:
        return (
            _named(change.service, NO_SERVICE),
            _named(change.environment, "-"),
            _named(change.team, NOBODY),
            _reasons(change),
            f"{change.tally.calls:,}",
            share_text(change.tally.calls, change.of_service),
            prose(money_text(change.tally)),
            " ".join(code(sample) for sample in change.samples),
        )

    heads = ("service", "environment", "pays", "why", "calls", "of service", "cost", "for example")
    lines = _grid(heads, "llllrrrl", [row(change) for change in changes[:rows]])
    if rest := changes[rows:]:
        calls = sum(change.tally.calls for change in rest)
        lines += ["", f"… and {counted(len(rest), 'more row')} with {counted(calls, 'call')}."]
    return lines


def _dates(dates: Sequence[DateAhead], rows: int) -> list[str]:
    def row(date: DateAhead) -> tuple[str, ...]:
        names = sorted(service or NO_SERVICE for service in date.services)
        more = [f"and {len(names) - 8} more"] if len(names) > 8 else []
        return (
            code(date.at),
            prose(date_text(date)),
            ", ".join([*map(code, names[:8]), *more]),
            prose(money_text(date.tally)),
            ORIGINS[date.origin],
        )

    heads = ("from", "what begins", "services", "cost", "")
    lines = _grid(heads, "lllrl", [row(date) for date in dates[:rows]])
    if rest := len(dates) - rows:
        lines += ["", f"… and {counted(rest, 'more date')}."] if rest > 0 else []
    return lines


def _grid(heads: Sequence[str], sides: str, rows: Sequence[Sequence[str]]) -> list[str]:
    rule = "|".join({"l": "---", "r": "---:"}[side] for side in sides)
    return [f"|{'|'.join(heads)}|", f"|{rule}|", *(f"|{'|'.join(row)}|" for row in rows)]


def _reasons(change: Change) -> str:
    reasons = reasons_of(change)
    shown = [f"{code(word)} {code(about)}" if word else code(about) for word, about in reasons[:8]]
    more = [f"and {len(reasons) - 8} more"] if len(reasons) > 8 else []
    return "<br>".join([*shown, *more])


def _named(name: str | None, instead: str) -> str:
    return code(name) if name else instead


def code(text: str) -> str:
    """Show a name as it is, and only show it."""
    shown = plain_text(text).plain
    if len(shown) > _CELL_CHARS:
        shown = shown[: _CELL_CHARS - 1] + "…"
    if _PLAIN_NAME.fullmatch(shown):
        return f"`{shown}`"
    # Entities are text wherever they stand; within <code> nobody is mentioned and nothing linked.
    return f"<code>{_entities(shown)}</code>"


def prose(text: str) -> str:
    """Show a sentence that has names in it."""
    shown = plain_text(text).plain
    for sign, broken in _BREAKS:
        shown = shown.replace(sign, broken)
    return _entities(shown)


def _entities(text: str) -> str:
    return _SPECIAL.sub(
        lambda found: f"&#{ord(found[0])};" if ord(found[0]) < 128 else found[0], text
    )
