"""`tallygate trace show`: what one piece of work did and cost."""

from __future__ import annotations

import click
import orjson

from tallygate.application.traces import trace_in
from tallygate.bootstrap.books import open_ledger
from tallygate.cli.failures import FINDING, told
from tallygate.cli.screen import screen
from tallygate.reports.trace import trace_document, trace_tree
from tallygate.settings import read_settings


@click.group()
def trace() -> None:
    """Look at calls that belong together, by their trace id."""


@trace.command()
@click.argument("trace_id")
@click.option(
    "--ledger",
    help="sqlite:///path.  [default: $TALLYGATE_LEDGER_URL, else ledger.db in the state folder]",
)
@click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def show(trace_id: str, ledger: str | None, style: str) -> None:
    """
    Show the calls of a trace, their attempts, and the exact sum of what they cost.

    Calls stand below the calls that caused them (parent_call_id), also where a service lost the
    trace and another one was minted; those are marked, and not in the sum.

    JSON is the complete-trace document; money in it is decimal text. Exit code 1: not known.
    """
    with told(), open_ledger(read_settings(), ledger) as opened:
        found = trace_in(opened, trace_id)
    if found is None:
        click.echo(f"tallygate: the ledger has no event with trace_id {trace_id!r}.", err=True)
        raise SystemExit(FINDING)
    if style == "json":
        click.echo(orjson.dumps(trace_document(found), option=orjson.OPT_INDENT_2))
    else:
        screen().print(trace_tree(found))
