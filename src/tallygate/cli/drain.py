"""`tallygate drain`: move what the spool holds into the ledger."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

import click
import orjson
from rich.console import Console

from tallygate.application.drain import DrainReport
from tallygate.bootstrap.books import DrainPlaces, drain_what_is_there, follow_spool
from tallygate.cli.failures import FINDING, told
from tallygate.errors import DrainRunning
from tallygate.settings import read_settings


@click.command()
@click.option(
    "--spool",
    type=click.Path(file_okay=False, path_type=Path),
    help="The spool folder.  [default: $TALLYGATE_SPOOL, else spool in the state folder]",
)
@click.option(
    "--ledger",
    help="sqlite:///path.  [default: $TALLYGATE_LEDGER_URL, else ledger.db in the state folder]",
)
@click.option(
    "--policies",
    type=click.Path(file_okay=False, path_type=Path),
    help="The policies folder, for its rates.  [default: $TALLYGATE_POLICIES, else ./policies]",
)
@click.option("--follow", is_flag=True, help="Go on until SIGTERM, which finishes the batch.")
@click.option(
    "--until-idle", is_flag=True, help="Go on until no proxy holds the spool and all is drained."
)
@click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def drain(
    *,
    spool: Path | None,
    ledger: str | None,
    policies: Path | None,
    follow: bool,
    until_idle: bool,
    style: str,
) -> None:
    """
    Price what the spool holds and book it in the ledger; by default once.

    The state folder is $TALLYGATE_STATE, else ./.tallygate. The proxy starts a drain of its own
    unless TALLYGATE_DRAIN is off. Exit code 1: events came twice with different facts, or break a
    rule of the ledger; it keeps them aside.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with told():
        places = DrainPlaces.chosen(read_settings(), spool=spool, ledger=ledger, policies=policies)
        if follow or until_idle:
            _go_on(places, quiet=follow and until_idle, until_idle=until_idle)
            return
        report = _drain_once(places)
    click.echo(orjson.dumps(asdict(report)) if style == "json" else _summary(report))
    if report.conflicts or report.rejected:
        raise SystemExit(FINDING)


def _go_on(places: DrainPlaces, *, quiet: bool, until_idle: bool) -> None:
    try:
        follow_spool(places, until_idle=until_idle)
    except DrainRunning:
        if not quiet:  # the proxy's child, which asks for both, has nothing to do then
            raise


def _drain_once(places: DrainPlaces) -> DrainReport:
    progress = Console(stderr=True)
    with progress.status("draining …") as status:
        return drain_what_is_there(
            places, lambda report: status.update(f"draining … {report.records:,} records")
        )


def _summary(report: DrainReport) -> str:
    booked = f"{report.inserted} events booked, {report.duplicates} already there."
    lines = [f"{report.records} records read, {booked}"]
    if report.unpriced:
        lines.append(f"{report.unpriced} without a price: tallygate events --unpriced")
    if report.unknown:
        lines.append(f"{report.unknown} unknown: their proxy ended before they did.")
    lines.extend(
        f"conflict: {event_id} came again with other facts; see the table event_conflicts."
        for event_id in report.conflicts
    )
    lines.extend(
        f"rejected: {event_id} breaks a rule of the ledger; see the table rejected_entries."
        for event_id in report.rejected
    )
    return "\n".join(lines)
