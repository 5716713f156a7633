"""`tallygate policy record`: recorded calls in a file, for a CI without the ledger."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Console

from tallygate.adapters.files.recorded_export import Exported
from tallygate.bootstrap.recording import export_recorded_inputs
from tallygate.cli.failures import told
from tallygate.cli.times import instant_of
from tallygate.settings import read_settings


@click.command()
@click.option(
    "--since",
    metavar="TIME",
    default="30d",
    show_default=True,
    callback=instant_of,
    help="24h, 7d, 2026-11-21 or 2026-11-21T10:00:00Z (UTC).",
)
@click.option(
    "--until",
    metavar="TIME",
    callback=instant_of,
    help="As --since; this instant is left out.  [default: now]",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file; compressed when its name ends in .zst.",
)
@click.option(
    "--ledger",
    help="sqlite:///path or postgresql://….  "
    "[default: $TALLYGATE_LEDGER_URL, else ledger.db in the state folder]",
)
def record(*, since: int, until: int | None, output: Path, ledger: str | None) -> None:
    """
    Write what was asked of the policy to a file that `policy impact` can replay.

    It holds each distinct input once, and how many calls of each hour it stands for, at what
    cost: no prompts, no text that a policy did not accept, no identifier.
    """
    until = until or time.time_ns()
    if since >= until:
        raise click.BadParameter("the time ends before it begins.", param_hint="--until")
    with told(), Console(stderr=True).status("reading the ledger") as status:
        exported = export_recorded_inputs(
            read_settings(),
            ledger,
            since,
            until,
            output,
            lambda calls: status.update(f"{calls:,} calls"),
        )
    click.echo(_text_of(exported, output))


def _text_of(exported: Exported, output: Path) -> str:
    written = (
        f"{output}: {exported.calls:,} calls of {exported.inputs:,} inputs, in "
        f"{exported.groups:,} groups, {exported.bytes:,} bytes."
    )
    if not exported.without_input:
        return written
    return (
        f"{written}\n{exported.without_input:,} of the calls have no recorded input and cannot be "
        "replayed: they are older than inputs are, or theirs has not reached the ledger yet."
    )
