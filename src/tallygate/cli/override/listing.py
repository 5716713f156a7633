"""`tallygate override list`: every override, how it stands and what it has excused."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from tallygate.application.override_listing import OverrideState
from tallygate.bootstrap.overrides import listed_overrides
from tallygate.cli.failures import FINDING, told
from tallygate.cli.policy.options import as_json, in_folder, told_of_policies
from tallygate.cli.screen import screen
from tallygate.cli.times import days_of, instant_of
from tallygate.reports.overrides import listing_document, listing_text, write_csv
from tallygate.settings import read_settings

_REVIEW = "review"
_ATTENTION = [
    str(state)
    for state in (
        OverrideState.INVALID,
        OverrideState.EXPIRED,
        OverrideState.ENDING,
        OverrideState.UNUSED,
        OverrideState.REMOVED,
    )
]


@click.command("list")
@in_folder
@click.option(
    "--since",
    metavar="TIME",
    default="90d",
    show_default=True,
    callback=instant_of,
    help="Add up use since then: 24h, 90d, 2026-11-21 or 2026-11-21T10:00:00Z (UTC).",
)
@click.option(
    "--ending",
    metavar="DAYS",
    default="14d",
    show_default=True,
    callback=days_of,
    help="Say what ends within so many days.",
)
@click.option(
    "--fail-on",
    multiple=True,
    type=click.Choice([*_ATTENTION, _REVIEW]),
    help="Exit with 1 where something is in this state; may be given more than once.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    show_default=True,
)
@click.option(
    "--ledger",
    help="sqlite:///path or postgresql://….  "
    "[default: $TALLYGATE_LEDGER_URL, else ledger.db in the state folder]",
)
def listing(
    *,
    folder: Path,
    since: int,
    ending: int,
    fail_on: tuple[str, ...],
    style: str,
    ledger: str | None,
) -> None:
    """
    List overrides and break-glass, their use, and activations for review.

    Use is calls that passed, dollars and the last time, from the ledger; an override that ends soon
    says what would have been refused without it in the last 7 days. Activations of break-glass are
    listed for review for 30 days after they end.
    """
    with told(), told_of_policies():
        found = listed_overrides(
            read_settings(), folder, ledger, time.time_ns(), since_ns=since, ending_days=ending
        )
    if style == "json":
        click.echo(as_json(listing_document(found)))
    elif style == "csv":
        write_csv(found, sys.stdout)
    else:
        screen().print(listing_text(found))
    if found.attention.intersection(fail_on):
        raise SystemExit(FINDING)
