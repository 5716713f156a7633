"""`tallygate doctor`: look at config, policies, engine, spool, store and running gates."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
import orjson
from rich.console import Console
from rich.table import Table

from tallygate.bootstrap.doctor import Check, State, examine
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.errors import SettingsInvalid
from tallygate.settings import read_settings

_COLORS: Final = {State.OK: "green", State.NOTE: "dim", State.WARNING: "yellow"}


@click.command()
@click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path()
)
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text")
def doctor(folder: Path, style: str) -> None:
    """
    Say what is wrong with this installation, and how to mend it.

    FOLDER is the folder of the proxy's config file; by default the current one.
    """
    try:
        checks = list(examine(read_settings(), folder, text_from_ns(time.time_ns())))
    except SettingsInvalid as error:
        checks = [Check("settings", State.PROBLEM, str(error))]
    if style == "json":
        click.echo(orjson.dumps([asdict(check) for check in checks], option=orjson.OPT_INDENT_2))
    else:
        Console().print(_table(checks))
    if any(check.state is State.PROBLEM for check in checks):
        raise SystemExit(1)


def _table(checks: list[Check]) -> Table:
    table = Table("", "what", "found", "how to mend it", box=None, pad_edge=False)
    for check in checks:
        color = _COLORS.get(check.state, "red")
        table.add_row(f"[{color}]{check.state}[/{color}]", check.name, check.found, check.remedy)
    return table
