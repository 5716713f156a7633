"""
Overrides, break-glass and what passed on them, as text for people and as JSON or CSV for programs.

Exact   Money is decimal text; what is not priced is counted beside it, never summed as 0.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, Final, TextIO

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tallygate.application.activation_review import ActivationReview
from tallygate.application.override_listing import (
    FORECAST_DAYS,
    Kind,
    ListedOverride,
    OverrideListing,
    OverrideState,
)
from tallygate.application.policy_review import list_of
from tallygate.domain.kernel.instants import NS_PER_SECOND, text_from_ns
from tallygate.domain.kernel.money import text_from_amount
from tallygate.reports.events import plain_text

_STYLES: Final = {
    OverrideState.INVALID: "red",
    OverrideState.EXPIRED: "red",
    OverrideState.REMOVED: "yellow",
    OverrideState.ENDING: "yellow",
    OverrideState.UNUSED: "yellow",
    OverrideState.ACTIVATED: "yellow",
    OverrideState.ACTIVE: "green",
}
_COLUMNS: Final = (
    *("id", "kind", "services", "codes", "fields", "environments", "state", "starts_at"),
    *("expires_at", "days_left", "unused_days", "used_since", "calls", "cost", "unpriced"),
    *("last_used", "requested_by", "approved_by", "ticket", "reason"),
    *("forecast_calls", "forecast_workflows", "problems"),
)
"""Columns of CSV, and members of JSON in the same order."""

# Programs


def listing_document(listing: OverrideListing) -> dict[str, Any]:
    """Return everything as plain values."""
    return {
        "as_of": text_from_ns(listing.now_ns),
        "since": text_from_ns(listing.since_ns),
        "overrides": [_entry_document(each) for each in listing.overrides],
        "activations": [_activation_document(each) for each in listing.activations],
    }


def write_csv(listing: OverrideListing, stream: TextIO) -> None:
    """Write one line an entry; lists stand in one cell, with spaces between."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for each in listing.overrides:
        document = _entry_document(each)
        writer.writerow([_cell(document[name]) for name in _COLUMNS])


def _entry_document(each: ListedOverride) -> dict[str, Any]:
    entry = each.entry
    return {
        "id": each.override_id,
        "kind": str(each.kind),
        "services": list(each.services),
        "codes": list(list_of(entry.get("codes"))),
        "fields": list(list_of(entry.get("fields"))),
        "environments": list(list_of(entry.get("environments"))),
        "state": str(each.state),
        "starts_at": _instant(each.starts_ns),
        "expires_at": _instant(each.expires_ns),
        "days_left": each.days_left,
        "unused_days": each.unused_days,
        "used_since": text_from_ns(each.used_since_ns),
        "calls": each.use.calls,
        "cost": text_from_amount(each.use.cost),
        "unpriced": each.use.unpriced,
        "last_used": _instant(each.use.last_ns),
        **{name: entry.get(name) for name in ("requested_by", "approved_by", "ticket", "reason")},
        "forecast_calls": None if each.forecast is None else each.forecast.calls,
        "forecast_workflows": None if each.forecast is None else each.forecast.workflows,
        "problems": list(each.problems),
    }


def _activation_document(each: ActivationReview) -> dict[str, Any]:
    return {
        "id": each.override_id,
        "role": each.role,
        "activated_by": each.activated_by,
        "reason": each.reason,
        "ticket": each.ticket,
        "from": text_from_ns(each.from_ns),
        "until": text_from_ns(each.until_ns),
        "ended_by": each.ended_by,
        "machines": each.machines,
        "calls": each.calls,
        "cost": text_from_amount(each.cost),
        "unpriced": each.unpriced,
        "services": list(each.services),
        "review_due": each.is_due,
    }


def _cell(value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    if isinstance(value, list):
        return " ".join(str(each) for each in value)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@")):
        return f"'{value}"  # a spreadsheet would run it
    return value


def _instant(at_ns: int | None) -> str | None:
    return None if at_ns is None else text_from_ns(at_ns)


# People


def listing_text(listing: OverrideListing) -> RenderableType:
    """Lay out the entries, what needs a word about them, and the activations."""
    parts: list[RenderableType] = [_entries(listing)]
    parts += [Text(f"  {line}") for each in listing.overrides for line in _notes(each)]
    if listing.activations:
        parts += [Text("\nActivations, for review:"), _activations(listing)]
    since = text_from_ns(listing.since_ns)[:10]
    parts.append(Text(f"\n{len(listing.overrides)} entries; use since {since}"))
    return Group(*parts)


def _entries(listing: OverrideListing) -> Table:
    table = _table("id", "service", "state", "ends")
    for name in ("calls", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("last used", no_wrap=True)
    for each in listing.overrides:
        table.add_row(
            plain_text(each.override_id),
            plain_text(", ".join(each.services)),
            Text(_state(each), style=_STYLES.get(each.state, "")),
            _ends(each),
            f"{each.use.calls:,}",
            _cost(text_from_amount(each.use.cost), each.use.unpriced),
            "-" if each.use.last_ns is None else text_from_ns(each.use.last_ns)[:16],
        )
    return table


def _activations(listing: OverrideListing) -> Table:
    table = _table("id", "from", "for", "by", "why")
    for name in ("calls", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in listing.activations:
        ended = "" if each.ended_by is None else ", ended early"
        running = ", is on" if each.is_on(listing.now_ns) else ""
        table.add_row(
            plain_text(each.override_id),
            text_from_ns(each.from_ns)[:16],
            f"{_length(each)}{ended}{running}",
            plain_text(_short(each.activated_by)),
            plain_text(f"{each.reason} ({each.ticket})"),
            f"{each.calls:,}",
            _cost(text_from_amount(each.cost), each.unpriced),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _notes(each: ListedOverride) -> Iterator[str]:
    for problem in each.problems:
        yield f"{each.override_id}: {problem}"
    if each.state is OverrideState.EXPIRED:
        yield f"{each.override_id} has expired and still stands in the file."
    if each.state is OverrideState.REMOVED:
        yield f"{each.override_id} excused calls and is in no file any more."
    if each.unused_days and each.state in (OverrideState.UNUSED, OverrideState.ENDING):
        yield f"{each.override_id} has held for {_days(each.unused_days)} and excused nothing."
    if each.forecast is not None and each.kind is Kind.OVERRIDE:
        yield f"{each.override_id} {_forecast(each)}"


def _forecast(each: ListedOverride) -> str:
    assert each.forecast is not None, each.override_id
    calls, workflows = each.forecast.calls, each.forecast.workflows
    ends = f"ends in {_days(each.days_left or 0)}"
    if not calls:
        return f"{ends}: of the last {FORECAST_DAYS} days no call would be refused."
    of = f" of {workflows} workflow{'' if workflows == 1 else 's'}" if workflows else ""
    plural = "" if calls == 1 else "s"
    return f"{ends}: {calls:,} call{plural} (last {FORECAST_DAYS} days){of} would be refused."


def _state(each: ListedOverride) -> str:
    return str(each.state).replace("_", " ")


def _ends(each: ListedOverride) -> str:
    if each.expires_ns is None:
        return "-"
    left = "" if not each.days_left else f" ({_days(each.days_left)})"
    return f"{text_from_ns(each.expires_ns)[:10]}{left}"


def _days(days: int) -> str:
    return f"{days:,} day{'' if days == 1 else 's'}" if days else "less than a day"


def _length(each: ActivationReview) -> str:
    minutes = (each.until_ns - each.from_ns) // (60 * NS_PER_SECOND)
    return f"{minutes // 60} h {minutes % 60:02} min"


def _short(name: str) -> str:
    """Cut a key's hash to what tells it apart."""
    return f"key {name[:12]}…" if len(name) == 64 else name


def _cost(amount: str, unpriced: int) -> str:
    return f"${amount}" + (f" + {unpriced:,} unpriced" if unpriced else "")
