"""`tallygate override end`: give back what a break-glass entry allows."""

from __future__ import annotations

import click

from tallygate.application.activating import REASON_CHARS
from tallygate.cli.override.options import (
    Where,
    asked_of,
    caller_named,
    desk_here,
    places_and_proxies,
    show,
    show_answers,
)

_WORDS = "was ended at"


@click.command()
@click.argument("override_id", metavar="ID")
@click.option("--reason", help=f"Why, in at most {REASON_CHARS} characters.")
@places_and_proxies
def end(
    *,
    override_id: str,
    reason: str | None,
    where: Where,
) -> None:
    """
    End an activation of break-glass before it ends by itself.

    Workers of a proxy on this machine see it within a second. Exit code 1: it is not active.
    """
    if where.proxies:
        wish = {} if reason is None else {"reason": reason}
        show_answers(asked_of(where, override_id, "end", wish), where.style, _WORDS)
        return
    caller = caller_named(where)
    with desk_here(where) as desk:
        show(desk.end(override_id, reason, caller), where.style, _WORDS)
