"""What the commands about the rollout have in common."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from tallygate.application.rollout_ports import TrafficFilter
from tallygate.cli.times import instant_before, instant_of

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

of_ledger = click.option(
    "--ledger",
    help="sqlite:///path or postgresql://…  "
    "[default: $TALLYGATE_LEDGER_URL, else ledger.db in the state folder]",
)
as_of = click.option(
    "--as-of",
    "as_of_ns",
    metavar="TIME",
    callback=instant_of,
    help="Look at it as of this instant.  [default: now]",
)


def since(default: str) -> Callable[[CommandT], CommandT]:
    """Offer the start of the window."""
    return click.option(
        "--since",
        metavar="TIME",
        default=default,
        show_default=True,
        help="From when on the ledger is looked at: 24h, 14d, 2026-11-21.",
    )


def window_of(since: str, as_of_ns: int | None, environment: str | None = None) -> TrafficFilter:
    """Build the window; `14d` counts back from its end."""
    until_ns = as_of_ns if as_of_ns is not None else time.time_ns()
    since_ns = instant_before(since, until_ns)
    if since_ns >= until_ns:
        raise click.BadParameter("the window is empty; begin earlier.", param_hint="--since")
    return TrafficFilter(since_ns=since_ns, until_ns=until_ns, environment=environment)
