"""`tallygate override`: one file per command."""

from __future__ import annotations

import click

from tallygate.cli.override.activate import activate
from tallygate.cli.override.end import end
from tallygate.cli.override.listing import listing
from tallygate.cli.override.request import request


@click.group()
def override() -> None:
    """Ask for overrides, see what they excuse, and take or end break-glass."""


for command in (request, listing, activate, end):
    override.add_command(command)
