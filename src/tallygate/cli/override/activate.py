"""`tallygate override activate`: take what a break-glass entry allows."""

from __future__ import annotations

import click

from tallygate.application.activating import REASON_CHARS, Wish
from tallygate.cli.override.options import (
    Where,
    asked_of,
    caller_named,
    desk_here,
    places_and_proxies,
    show,
    show_answers,
)

_WORDS = "is active until"


@click.command()
@click.argument("override_id", metavar="ID")
@click.option("--reason", required=True, help=f"Why, in at most {REASON_CHARS} characters.")
@click.option("--ticket", required=True, help="Where the incident is tracked.")
@click.option(
    "--hours",
    type=click.IntRange(min=1),
    help="For how long.  [default: as long as the entry allows]",
)
@places_and_proxies
def activate(
    *,
    override_id: str,
    reason: str,
    ticket: str,
    hours: int | None,
    where: Where,
) -> None:
    """
    Activate a break-glass entry, on this machine or on proxies.

    It excuses from now on what the entry lists, ends by itself, and is an event in the ledger. On
    this machine the state folder of the proxy is written; with --proxy each proxy is asked, which
    must hold the key's team or key for the entry's role. Exit code 1: it is active already, or a
    proxy says that the key may not do it.
    """
    if where.proxies:
        wish = {"reason": reason, "ticket": ticket, "hours": hours}
        show_answers(asked_of(where, override_id, "activate", wish), where.style, _WORDS)
        return
    caller = caller_named(where)
    with desk_here(where) as desk:
        wanted = Wish(override_id=override_id, reason=reason, ticket=ticket, hours=hours)
        show(desk.activate(wanted, caller), where.style, _WORDS)
