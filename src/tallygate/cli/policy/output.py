"""Where a report goes, and how it names files: relative to the repository, as other tools do."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import click

from tallygate.errors import Problem

in_file = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the report to this file, and text to stdout.",
)


def tool_version() -> str:
    """Return the version of the installed package."""
    return version("tallygate")


def put_out(report: str, text: Callable[[], str], output: Path | None) -> None:
    """Print the report; into a file when one is named, and then the text for the log."""
    if output is None:
        click.echo(report)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(f"{report}\n", encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(
            f"{output} cannot be written: {error.strerror}.", param_hint="-o"
        ) from error
    click.echo(text())


def from_the_top(problem: Problem) -> Problem:
    """Name the problem's file relative to the top of its repository."""
    return replace(problem, file=path_from_the_top(problem.file))


def path_from_the_top(file: str) -> str:
    """Name a file relative to the top of its repository; outside of any, from here."""
    if not file:
        return file
    whole = Path(os.path.abspath(file))  # noqa: PTH100 - a link in a repository stays in it
    top = next((place for place in whole.parents if (place / ".git").exists()), Path.cwd())
    return whole.relative_to(top).as_posix() if whole.is_relative_to(top) else str(whole)
