"""`tallygate events`: what is booked."""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from tallygate.application.ports import EventFilter
from tallygate.bootstrap.books import open_ledger
from tallygate.cli.failures import told
from tallygate.cli.screen import screen
from tallygate.cli.times import instant_of
from tallygate.reports.events import events_table, write_csv, write_json
from tallygate.settings import read_settings

_SHOWN: Final = 50

_COLUMNS: Final = {
    "team": ("owner_team", "Team that pays; '' for unattributed."),
    "service": ("service", "Service that called."),
    "environment": ("environment", "Environment that it called from."),
    "workflow": ("workflow_id", "Business workflow."),
    "feature": ("feature", "Feature within it."),
    "tenant": ("tenant_id_hash", "Tenant, as its hash."),
    "user": ("user_id_hash", "User, as its hash."),
    "provider": ("provider", "Provider, as LiteLLM names it."),
    "model": ("model", "Model that was asked for, was sent, or answered."),
    "status": ("status", "ok, error, timeout, cancelled, cache_hit, unknown, refused."),
    "kind": ("kind", "attempt, refusal, usage, correction, activation."),
    "action": ("action", "What the gate did: admit, quarantine, reject."),
    "would-action": ("would_action", "What enforce would have done."),
    "violation": ("violation", "Code of a violation, for example ownership_missing."),
    "period": ("booked_period", "Booked month, for example 2026-11."),
}
"""Option to column of the filter, and its help."""


def _filter_options(command: Any) -> Any:  # noqa: ANN401 - click's own decorators
    for option, (_, help_text) in reversed(_COLUMNS.items()):
        command = click.option(f"--{option}", help=help_text)(command)
    return command


@click.command()
@click.option(
    "--since",
    metavar="TIME",
    callback=instant_of,
    help="24h, 7d, 2026-11-21 or 2026-11-21T10:00:00Z (UTC).",
)
@click.option(
    "--until", metavar="TIME", callback=instant_of, help="As --since; this instant is left out."
)
@click.option("--trace", help="Trace id.")
@click.option("--call", help="Call id.")
@_filter_options
@click.option("--unpriced", is_flag=True, help="Only events whose cost is not known.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help=f"At most so many, the newest.  [default: {_SHOWN} as text, else all, oldest first]",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    show_default=True,
)
@click.option(
    "--names",
    type=click.Choice(["tallygate", "articles"]),
    default="tallygate",
    show_default=True,
    help="Column names of json and csv; articles: request_id, timestamp, team_id, "
    "computed_cost_usd, status success, …",
)
@click.option(
    "--ledger",
    help="sqlite:///path.  [default: $TALLYGATE_LEDGER_URL, else ledger.db in the state folder]",
)
def events(
    *,
    style: str,
    names: str,
    ledger: str | None,
    limit: int | None,
    **chosen: Any,  # noqa: ANN401 - one option per column of the filter
) -> None:
    """
    List booked events: attempts, refusals, corrections, activations.

    A cost that is not known is `unpriced`, null or an empty cell, never 0. Money in json and csv
    is decimal text.
    """
    wanted = _filter_from(chosen, limit or (_SHOWN if style == "text" else None))
    with told(), open_ledger(read_settings(), ledger) as opened:
        rows = opened.rows(wanted)
        if style == "text":
            screen().print(events_table(list(rows), opened.total(wanted)))
        else:
            write = write_json if style == "json" else write_csv
            write(rows, sys.stdout, articles=names == "articles")


def _filter_from(chosen: dict[str, Any], limit: int | None) -> EventFilter:
    equals = {
        column: chosen[option.replace("-", "_")]
        for option, (column, _) in _COLUMNS.items()
        if chosen[option.replace("-", "_")] is not None
    }
    if chosen["unpriced"]:
        equals["price_status"] = "unpriced"
    return EventFilter(
        since_ns=chosen["since"],
        until_ns=chosen["until"],
        trace_id=chosen["trace"],
        call_id=chosen["call"],
        equals=equals,
        limit=limit,
        newest_first=limit is not None,
    )
