"""`tallygate rollout`: one file per command."""

from __future__ import annotations

import click

from tallygate.cli.rollout.plan import plan
from tallygate.cli.rollout.promote import promote
from tallygate.cli.rollout.status import status


@click.group()
def rollout() -> None:
    """Move services from report-only to enforce, each when its own numbers allow it."""


for command in (plan, status, promote):
    rollout.add_command(command)
