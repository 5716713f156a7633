"""`tallygate rollout status`: which service is ready, and what the others lack."""

from __future__ import annotations

from pathlib import Path

import click

from tallygate.application.rollout_status import Readiness, RolloutStatus
from tallygate.bootstrap.books import open_ledger
from tallygate.bootstrap.rollout import open_rollout, status_of
from tallygate.cli.failures import FINDING, told
from tallygate.cli.policy.options import as_json, in_folder, told_of_policies
from tallygate.cli.rollout.options import as_of, of_ledger, since, window_of
from tallygate.cli.screen import screen
from tallygate.reports.rollout import status_tables
from tallygate.reports.rollout_documents import status_csv, status_document, status_markdown
from tallygate.settings import read_settings


@click.command()
@in_folder
@since("14d")
@as_of
@click.option("--service", help="Only this one.")
@click.option("--environment", help="Only its calls from this environment.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "markdown", "csv"]),
    default="text",
    show_default=True,
)
@of_ledger
def status(
    *,
    folder: Path,
    since: str,
    as_of_ns: int | None,
    service: str | None,
    environment: str | None,
    style: str,
    ledger: str | None,
) -> None:
    """
    Hold every service's calls in the ledger against the gates of its stage.

    Exit code 1 when a service of the plan is not ready to leave its stage.
    """
    wanted = window_of(since, as_of_ns, environment)
    with told(), told_of_policies():
        rollout = open_rollout(folder, wanted.until_ns)
        with open_ledger(read_settings(), ledger, unhurried=True) as opened:
            found = status_of(rollout, opened, wanted, service)
    if service is not None and not found.services:
        raise click.BadParameter(
            f"{service} is neither in the registry nor in the ledger.", param_hint="--service"
        )
    _show(found, style)
    if any(line.readiness is Readiness.NOT_READY for line in found.services):
        raise SystemExit(FINDING)


def _show(found: RolloutStatus, style: str) -> None:
    match style:
        case "json":
            click.echo(as_json(status_document(found)))
        case "csv":
            click.echo(status_csv(found), nl=False)
        case "markdown":
            click.echo(status_markdown(found), nl=False)
        case _:
            screen().print(status_tables(found))
