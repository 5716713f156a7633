"""What the commands about policies have in common: their options, and how they fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import orjson

from tallygate.cli.failures import COULD_NOT_TELL, FINDING
from tallygate.errors import (
    EngineError,
    PoliciesInvalid,
    RevisionUnknown,
    RevisionUnreadable,
)

in_folder = click.option(
    "--policies",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="TALLYGATE_POLICIES",
    default=Path("policies"),
    show_default="$TALLYGATE_POLICIES, else ./policies",
    help="The policies folder.",
)
in_style = click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True
)


@contextmanager
def told_of_policies() -> Iterator[None]:
    """Say what went wrong without a traceback, and leave with the code for it."""
    try:
        yield
    except PoliciesInvalid as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        raise SystemExit(FINDING) from error
    except EngineError as error:
        click.echo(f"{error.code}: {error}", err=True)
        raise SystemExit(COULD_NOT_TELL) from error


@contextmanager
def told_of_revisions() -> Iterator[None]:
    """Say which revision cannot be had: a wrong name is wrong use, the rest could not be told."""
    try:
        yield
    except RevisionUnknown as error:
        raise click.BadParameter(str(error), param_hint="--base") from error
    except RevisionUnreadable as error:
        click.echo(f"{error.code}: {error}", err=True)
        raise SystemExit(COULD_NOT_TELL) from error
    except PoliciesInvalid as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        raise SystemExit(COULD_NOT_TELL) from error


def as_json(value: object) -> str:
    """Write for programs: sorted keys, indented."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
