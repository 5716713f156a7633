"""`tallygate policy check`: everything in the folder, and what is wrong with it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from tallygate.application.folder_check import FolderCheck
from tallygate.bootstrap.policies import check_folder
from tallygate.cli.failures import COULD_NOT_TELL, FINDING
from tallygate.cli.policy.options import as_json, in_folder, told_of_revisions
from tallygate.cli.policy.output import (
    from_the_top,
    in_file,
    path_from_the_top,
    put_out,
    tool_version,
)
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.reports.policy_check.document import check_document
from tallygate.reports.policy_check.github import check_annotations
from tallygate.reports.policy_check.junit import check_junit
from tallygate.reports.policy_check.sarif import check_sarif
from tallygate.reports.policy_check.text import check_text

STYLES: Final = ("text", "json", "sarif", "junit", "github")


@click.command()
@in_folder
@click.option("--format", "style", type=click.Choice(STYLES), default="text", show_default=True)
@in_file
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning"]),
    default="error",
    show_default=True,
    help="From which severity on a problem is a finding (exit code 1).",
)
@click.option(
    "--base",
    metavar="REV",
    help="Compare with this git revision too: ids, history, price lists, the contract's version.",
)
def check(folder: Path, style: str, output: Path | None, fail_on: str, base: str | None) -> None:
    """
    Read everything in the policies folder and name what is wrong, with file and line.

    Data, references, overrides, price lists, the Rego, the compiled policy, and the cases.
    """
    with told_of_revisions():
        found = check_folder(folder, text_from_ns(time.time_ns()), ask_opa=True, base=base)
    put_out(in_style_of(found, folder, style), lambda: check_text(found, str(folder)), output)
    leave(found, fail_on)


def leave(found: FolderCheck, fail_on: str) -> None:
    """Exit as the findings ask for."""
    if found.errors or (fail_on == "warning" and found.problems):
        raise SystemExit(FINDING)
    if found.untold:
        raise SystemExit(COULD_NOT_TELL)


def in_style_of(found: FolderCheck, folder: Path, style: str) -> str:
    """Write what was found in one of the styles."""
    if style == "text":
        return check_text(found, str(folder))
    if style == "json":
        return as_json(check_document(found))
    placed = replace(
        found,
        problems=[from_the_top(problem) for problem in found.problems],
        files=[path_from_the_top(file) for file in found.files],
    )
    match style:
        case "sarif":
            return as_json(check_sarif(placed, tool_version()))
        case "junit":
            return check_junit(placed)
        case _:
            return check_annotations(placed, path_from_the_top(str(folder)))
