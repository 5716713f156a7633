"""What activating and ending have in common: where, on whose account, and how they answer."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import click

from tallygate.adapters.proxies.overrides import ProxyAnswer, ask_proxy
from tallygate.application.activating import COMMAND_LINE, BreakGlassDesk, Caller
from tallygate.bootstrap.break_glass import MachinePlaces, break_glass_desk, other_revisions
from tallygate.cli.failures import COULD_NOT_TELL, FINDING, told
from tallygate.cli.policy.options import as_json, told_of_policies
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.policy.break_glass import Activation
from tallygate.errors import ActivationInvalid, AlreadyActive, NotActive, OverrideUnknown
from tallygate.settings import read_settings

WRONG_USE: Final = 2

_OPTIONS: Final = (
    click.option(
        "--by", help="Who does it: a role or a handle, no e-mail address. Not with --proxy."
    ),
    click.option(
        "--policies",
        type=click.Path(file_okay=False, path_type=Path),
        help="The policies folder.  [default: $TALLYGATE_POLICIES, else ./policies]",
    ),
    click.option(
        "--state",
        type=click.Path(file_okay=False, path_type=Path),
        help="The proxy's state folder.  [default: $TALLYGATE_STATE, else ./.tallygate]",
    ),
    click.option(
        "--proxy",
        "proxies",
        multiple=True,
        metavar="URL",
        help="Ask this proxy instead of writing to the state folder; may be given more than once.",
    ),
    click.option(
        "--key-env",
        metavar="NAME",
        help="Environment variable with the key for --proxy; its hash is who did it.",
    ),
    click.option(
        "--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where an activation is made or ended, on whose account, and how that is told."""

    by: str | None
    policies: Path | None
    state: Path | None
    proxies: tuple[str, ...]
    key_env: str | None
    style: str


def places_and_proxies(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that make a `Where`, which the command gets as `where`."""
    names = [field.name for field in fields(Where)]

    @functools.wraps(command)
    def with_where(**given: Any) -> None:  # noqa: ANN401 - one option each
        command(where=Where(**{name: given.pop(name) for name in names}), **given)

    decorated: Callable[..., None] = with_where
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


@contextmanager
def desk_here(where: Where) -> Iterator[BreakGlassDesk]:
    """Open this machine's desk; what goes wrong at it is said, with the exit code for it."""
    policies, state = where.policies, where.state
    with told(), told_of_policies(), _said():
        places = MachinePlaces.chosen(read_settings(), policies=policies, state=state)
        with break_glass_desk(places) as desk:
            yield desk
        for revision in other_revisions(places, desk.revision):
            click.echo(
                f"warning: a proxy of this machine runs the policies' revision {revision}, "
                f"not {desk.revision}; what the entry allows there, that one says.",
                err=True,
            )


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except (AlreadyActive, NotActive) as error:
        click.echo(f"tallygate: {error}", err=True)
        raise SystemExit(FINDING) from error
    except (OverrideUnknown, ActivationInvalid) as error:
        click.echo(f"tallygate: {error}", err=True)
        raise SystemExit(WRONG_USE) from error


def caller_named(where: Where) -> Caller:
    """Say who types; click's own error where nobody is named."""
    if where.by is None:
        raise click.UsageError("Missing option '--by': who does it, a role or a handle.")
    return Caller(name=where.by, route=COMMAND_LINE)


def asked_of(
    where: Where, override_id: str, action: str, wish: Mapping[str, Any]
) -> list[ProxyAnswer]:
    """Ask each proxy with the key of the environment."""
    if where.by is not None:
        raise click.UsageError("--by is for this machine; with --proxy it is the key's hash.")
    key = os.environ.get(where.key_env or "", "")
    if not key:
        raise click.UsageError(
            "--proxy needs --key-env: the name of an environment variable that holds a key."
        )
    return [ask_proxy(proxy, override_id, action, wish, key) for proxy in where.proxies]


def show(activation: Activation, style: str, words: str) -> None:
    """Print one activation."""
    document = {
        "id": activation.override_id,
        "role": activation.role,
        "activated_by": activation.activated_by,
        "reason": activation.reason,
        "ticket": activation.ticket,
        "from": text_from_ns(activation.from_ns),
        "until": text_from_ns(activation.until_ns),
    }
    click.echo(as_json(document) if style == "json" else _line(document, words))


def show_answers(answers: list[ProxyAnswer], style: str, words: str) -> None:
    """Print what each proxy said, and leave with the code of the worst."""
    if style == "json":
        click.echo(as_json([_document(answer) for answer in answers]))
    for answer in answers:
        if style == "text" and answer.activation is not None:
            click.echo(f"{answer.proxy}: {_line(answer.activation, words)}")
        elif answer.activation is None:
            status = "" if answer.status is None else f"{answer.status}: "
            click.echo(f"{answer.proxy}: {status}{answer.message}", err=True)
    if code := max(map(_exit_code, answers)):
        raise SystemExit(code)


def _line(activation: Mapping[str, Any], words: str) -> str:
    return f"{activation['id']} {words} {activation['until']}."


def _document(answer: ProxyAnswer) -> dict[str, Any]:
    return {
        "proxy": answer.proxy,
        "status": answer.status,
        "activation": answer.activation,
        "message": answer.message,
    }


def _exit_code(answer: ProxyAnswer) -> int:
    if answer.activation is not None:
        return 0
    codes = {403: FINDING, 409: FINDING, 404: WRONG_USE, 422: WRONG_USE}
    return codes.get(answer.status or 0, COULD_NOT_TELL)
