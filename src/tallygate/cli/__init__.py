"""
The command `tallygate`: one file per command group, each body parse, call, render.

Results go to stdout, the rest to stderr. Exit codes: 0 as it should be, 1 a finding, 2 wrong use,
3 could not tell.
"""

from __future__ import annotations

import click

from tallygate.cli.demo import demo
from tallygate.cli.doctor import doctor
from tallygate.cli.drain import drain
from tallygate.cli.events import events
from tallygate.cli.init import init
from tallygate.cli.ledger import ledger
from tallygate.cli.override import override
from tallygate.cli.policy import policy
from tallygate.cli.rollout import rollout
from tallygate.cli.trace import trace


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tallygate", prog_name="tallygate")
def main() -> None:
    """Say who pays for each LLM call before it is made, and what it cost after."""


for command in (init, demo, doctor, policy, rollout, override, drain, events, trace, ledger):
    main.add_command(command)
