"""
Events as a table for people, and as JSON or CSV for programs.

Shapes  `NAMES` are the ledger's own columns; `ARTICLE_NAMES` are the names that articles on FinOps
        for LLMs use. CSV has these columns in this order, whatever comes later is added behind.
Exact   Money is decimal text; an unknown cost is null, an empty CSV cell, or `unpriced`; never 0.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TextIO

import orjson
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tallygate.application.ports import Total
from tallygate.application.traces import CURRENCY
from tallygate.domain.kernel.instants import iso_from_ns
from tallygate.domain.kernel.money import text_from_amount
from tallygate.domain.ledger.events import Status

Row = Mapping[str, Any]

_NOT_PLAIN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_FORMULA: Final = re.compile(r"[=+\-@\t\r]")
"""How a cell begins that a spreadsheet would run; callers write some of these cells."""

# Values


def _model(row: Row) -> str | None:
    model: str | None = row["response_model"] or row["request_model"]
    return model


def _cost_usd(row: Row) -> str | None:
    if row["cost"] is None or (row["cost"] and row["currency"] != CURRENCY):
        return None
    return text_from_amount(row["cost"])


def _article_status(row: Row) -> str:
    status: str = row["status"]
    return "success" if status == Status.OK else status


def latency_ms(row: Row) -> float | None:
    """Give the latency in milliseconds, with the microseconds behind the point."""
    return None if row["latency_us"] is None else row["latency_us"] / 1000


def _violations(row: Row) -> str:
    return " ".join(f"{found['code']}:{found['field']}" for found in row["violations"])


def _instant(column: str) -> Callable[[Row], str | None]:
    def read(row: Row) -> str | None:
        return None if row[column] is None else iso_from_ns(row[column])

    return read


def _same(column: str) -> Callable[[Row], Any]:
    return lambda row: _plain(row[column])


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    return text_from_amount(value) if isinstance(value, Decimal) else value


_OWNERSHIP: Final = (
    "service",
    "environment",
    "workflow_id",
    "feature",
    "tenant_id_hash",
    "user_id_hash",
    "cost_center",
    "business_unit",
)
_TOKENS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "reasoning_output_tokens",
)

NAMES: Final[Mapping[str, Callable[[Row], Any]]] = {
    **{name: _same(name) for name in ("event_id", "kind", "corrects_event_id")},
    **{name: _same(name) for name in ("call_id", "trace_id", "attempt_number")},
    "occurred_at": _instant("occurred_at_ns"),
    "recorded_at": _instant("recorded_at_ns"),
    "booked_period": _same("booked_period"),
    "owner_team": _same("owner_team"),
    **{name: _same(name) for name in _OWNERSHIP},
    **{name: _same(name) for name in ("action", "would_action", "mode")},
    "violations": _violations,
    "decision_id": _same("decision_id"),
    "policy_revision": _same("policy_revision"),
    **{name: _same(name) for name in ("provider", "request_model", "response_model")},
    **{name: _same(name) for name in ("model_group", "service_tier", "region", "operation")},
    **{name: _same(name) for name in ("status", "http_status", "error_type", "detail")},
    **{name: _same(name) for name in ("latency_us", "provider_request_id", "usage_source")},
    **{name: _same(name) for name in _TOKENS},
    **{name: _same(name) for name in ("price_status", "unpriced_reason", "currency", "cost")},
    **{name: _same(name) for name in ("avoided_cost", "billing_rule_version", "call_count")},
}
"""Columns of CSV, in the ledger's own words."""

ARTICLE_NAMES: Final[Mapping[str, Callable[[Row], Any]]] = {
    "event_id": _same("event_id"),
    "request_id": _same("call_id"),
    "trace_id": _same("trace_id"),
    "timestamp": _instant("occurred_at_ns"),
    "team_id": _same("owner_team"),
    **{name: _same(name) for name in _OWNERSHIP},
    "provider": _same("provider"),
    "model": _model,
    "service_tier": _same("service_tier"),
    **{name: _same(name) for name in _TOKENS},
    "latency_ms": latency_ms,
    "cache_hit": lambda row: row["status"] == Status.CACHE_HIT,
    "attempt": _same("attempt_number"),
    "status": _article_status,
    "computed_cost_usd": _cost_usd,
    "billing_rule_version": _same("billing_rule_version"),
    "provider_request_id": _same("provider_request_id"),
    "kind": _same("kind"),
    "corrects_event_id": _same("corrects_event_id"),
    "policy_decision": _same("action"),
    "decision_id": _same("decision_id"),
}
"""Columns of CSV and members of JSON, in the words of articles; one row is one event here too."""

# Programs


def write_json(rows: Iterable[Row], stream: TextIO, *, articles: bool = False) -> None:
    """Write an array with one row a line; in the ledger's own words, whole rows."""
    mark = "["
    for row in rows:
        shown = (
            {name: read(row) for name, read in ARTICLE_NAMES.items()}
            if articles
            else {name: _plain(value) for name, value in row.items()}
        )
        stream.write(f"{mark}\n{orjson.dumps(shown).decode()}")
        mark = ","
    stream.write("[]\n" if mark == "[" else "\n]\n")


def write_csv(rows: Iterable[Row], stream: TextIO, *, articles: bool = False) -> None:
    """Write a header and one line a row; null is an empty cell."""
    columns = ARTICLE_NAMES if articles else NAMES
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([csv_cell(read(row)) for read in columns.values()])


def csv_cell(value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    """Write truth values as JSON does, and text that a spreadsheet would run as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and _FORMULA.match(value) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) is not None


# People


def events_table(rows: Sequence[Row], total: Total) -> RenderableType:
    """Lay out rows for a terminal; the totals below are of all that matched, shown or not."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("time (UTC)", no_wrap=True)
    for name in ("team", "service", "model or reason"):
        table.add_column(name, overflow="fold")  # only these give way on a narrow terminal
    table.add_column("status", no_wrap=True)
    table.add_column("action", no_wrap=True)
    table.add_column("in/out", justify="right", no_wrap=True)
    table.add_column("cost", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            iso_from_ns(row["occurred_at_ns"])[5:19].replace("T", " "),
            plain_text(row["owner_team"] or ("unattributed" if not row["activation"] else None)),
            plain_text(row["service"]),
            plain_text(_model(row) or _reason(row)),
            _status_text(row),
            _action_text(row),
            _tokens_text(row),
            cost_text(row["cost"], row["currency"]),
        )
    hidden = total.events - len(rows)
    counted = f"{total.events:,} events" + (f", {hidden:,} not shown" if hidden > 0 else "")
    return Group(table, Text(f"{counted}; {total_text(total)}"))


def total_text(total: Total) -> str:
    """Say what is known and, beside it, how much is not."""
    known = f"{text_from_amount(total.cost)} in all"
    return f"{known}, {total.unpriced:,} unpriced" if total.unpriced else known


def cost_text(cost: Decimal | None, currency: str) -> Text:
    """Show a cost with its currency; an unknown one as a word."""
    if cost is None:
        return Text("unpriced", style="yellow")
    sign = "$" if currency == CURRENCY else f"{currency} "
    return Text(f"{sign}{text_from_amount(cost)}")


def plain_text(value: str | None) -> Text:
    """Show a caller's text as it is: no markup, no control characters, `-` for none."""
    return Text(_NOT_PLAIN.sub("\N{REPLACEMENT CHARACTER}", value) if value else "-")


def _reason(row: Row) -> str:
    """Say what it was in few words: `missing owner_team, service; unknown feature`."""
    if row["activation"]:
        return f"{row['activation']['override_id']}: {row['activation']['reason']}"
    fields: dict[str, list[str]] = {}
    for found in row["violations"]:
        fields.setdefault(found["code"].removeprefix("ownership_"), []).append(found["field"])
    return "; ".join(f"{code} {', '.join(names)}" for code, names in fields.items())


def _status_text(row: Row) -> Text:
    status = row["status"]
    words = status if row["kind"] != "correction" else f"{status} (corrects)"
    if row["activation"]:
        words = "ended" if row["activation"]["ended"] else "activated"
    if row["call_count"] > 1:
        words = f"{words} x{row['call_count']}"
    color = {"ok": "green", "cache_hit": "green", "unknown": "yellow"}.get(status, "red")
    return Text(words, style=color)


def _action_text(row: Row) -> Text:
    action, would = row["action"], row["would_action"]
    return Text(action if action == would else f"{action}, would {would}")


def _tokens_text(row: Row) -> str:
    if row["input_tokens"] is None:
        return "-"
    return f"{row['input_tokens']:,}/{row['output_tokens']:,}"
