"""`tallygate rollout plan`: a plan to start from."""

from __future__ import annotations

from pathlib import Path

import click

from tallygate.bootstrap.books import open_ledger
from tallygate.bootstrap.rollout import open_rollout
from tallygate.bootstrap.rollout_scaffold import scaffolded_plan
from tallygate.cli.failures import told
from tallygate.cli.policy.options import in_folder, told_of_policies
from tallygate.cli.rollout.options import as_of, of_ledger, since, window_of
from tallygate.settings import read_settings


@click.command()
@in_folder
@since("30d")
@as_of
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it here, for example policies/rollout/plan.yaml; what exists is kept.",
)
@of_ledger
def plan(
    *, folder: Path, since: str, as_of_ns: int | None, output: Path | None, ledger: str | None
) -> None:
    """
    Print a rollout plan made from what the ledger has seen.

    The two busiest services with a clear owner are observed first; what is enforced already is
    placed so.
    """
    if output is not None and output.exists():
        raise click.BadParameter(f"{output} is there already; nothing was written.")
    wanted = window_of(since, as_of_ns)
    with told(), told_of_policies():
        rollout = open_rollout(folder, wanted.until_ns)
        with open_ledger(read_settings(), ledger, unhurried=True) as opened:
            text = scaffolded_plan(rollout, opened, wanted)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise click.ClickException(f"{output} could not be written: {reason}.") from error
    click.echo(f"{output} written; change what you know better, then review it.", err=True)
