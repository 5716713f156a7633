"""`tallygate override request`: write an override for a pull request."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from tallygate.application.override_reach import WAIVABLE
from tallygate.application.override_request import OverrideRequest
from tallygate.bootstrap.override_request import draft_override
from tallygate.cli.policy.options import in_folder, told_of_policies
from tallygate.cli.times import instant_ahead


@click.command()
@in_folder
@click.option("--service", required=True, help="The service that is to be excused.")
@click.option(
    "--field",
    "fields",
    multiple=True,
    required=True,
    help="A field that it excuses; may be given more than once.",
)
@click.option(
    "--code",
    "codes",
    multiple=True,
    type=click.Choice(WAIVABLE),
    default=("ownership_missing",),
    show_default=True,
    help="What may be wrong with it; may be given more than once.",
)
@click.option(
    "--environment",
    "environments",
    multiple=True,
    help="Only there; may be given more than once.  [default: everywhere]",
)
@click.option(
    "--expires",
    "expires_ns",
    metavar="TIME",
    required=True,
    callback=instant_ahead,
    help="When it ends: 14d, 2026-12-31 or 2026-12-31T00:00:00Z (UTC).",
)
@click.option("--by", "requested_by", required=True, help="The role that asks.")
@click.option("--approver", "approved_by", required=True, help="The role that is to approve it.")
@click.option("--reason", required=True, help="Why, in a sentence.")
@click.option("--ticket", required=True, help="Where the work that ends it is tracked.")
@click.option("--id", "override_id", help="Its id.  [default: the next ovr-YEAR-NUMBER]")
@click.option("--dry-run", is_flag=True, help="Print the diff and write nothing.")
def request(
    *,
    folder: Path,
    dry_run: bool,
    **asked: Any,  # noqa: ANN401 - one option for each part of the request
) -> None:
    """
    Write an override into overrides/data.yaml and print the diff for the pull request.

    Nothing is written where policy check would refuse the result. The approver named is the role
    that must approve: the merge of the pull request is the approval. Exit code 1: it was refused.
    """
    with told_of_policies():
        drafted = draft_override(folder, OverrideRequest(**asked), time.time_ns())
        if not dry_run:
            drafted.write()
    click.echo(drafted.diff, nl=False)
    what = "would write" if dry_run else "wrote"
    click.echo(
        f"{what} {drafted.override_id} to {drafted.path}; "
        f"{asked['approved_by']} approves it in the pull request.",
        err=True,
    )
