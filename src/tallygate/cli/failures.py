"""Exit codes, and what a command says when it cannot answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from tallygate.errors import TallygateError

FINDING: Final = 1
COULD_NOT_TELL: Final = 3


@contextmanager
def told() -> Iterator[None]:
    """Turn an error of ours into a sentence on stderr and exit code 3."""
    try:
        yield
    except TallygateError as error:
        click.echo(f"tallygate: {error}", err=True)
        raise SystemExit(COULD_NOT_TELL) from error
