"""`tallygate policy`: one file per command."""

from __future__ import annotations

import click

from tallygate.cli.policy.build import build
from tallygate.cli.policy.bundle import bundle
from tallygate.cli.policy.check import check
from tallygate.cli.policy.evaluate import evaluate
from tallygate.cli.policy.impact import impact
from tallygate.cli.policy.record import record
from tallygate.cli.policy.review import review
from tallygate.cli.policy.testing import run_tests


@click.group()
def policy() -> None:
    """Check, test, build and ask the policies."""


for command in (check, run_tests, build, bundle, evaluate, impact, record, review):
    policy.add_command(command)
