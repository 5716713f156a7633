"""`tallygate policy check`: everything in the folder, and what is wrong with it."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tallygate.bootstrap.policies import FolderCheck, check_folder
from tallygate.cli.failures import COULD_NOT_TELL, FINDING
from tallygate.cli.policy.options import as_json, in_folder, in_style
from tallygate.domain.kernel.instants import text_from_ns


@click.command()
@in_folder
@in_style
def check(folder: Path, style: str) -> None:
    """
    Read everything in the policies folder and name what is wrong, with file and line.

    Data, references, overrides, price lists, the compiled policy, and the cases.
    """
    found = check_folder(folder, text_from_ns(time.time_ns()))
    click.echo(as_json(_check_document(found)) if style == "json" else _check_text(found, folder))
    if found.errors:
        raise SystemExit(FINDING)
    if found.untold:
        raise SystemExit(COULD_NOT_TELL)


def _check_text(found: FolderCheck, folder: Path) -> str:
    lines = [f"{problem}  [{problem.severity}: {problem.code}]" for problem in found.problems]
    if found.untold:
        lines.append(f"could not tell: {found.untold}")
    warnings = len(found.problems) - found.errors
    lines.append(
        f"{folder}: {found.errors} errors, {warnings} warnings, {found.cases_run} cases run"
    )
    if found.revision:
        lines.append(f"revision {found.revision}")
    return "\n".join(lines)


def _check_document(found: FolderCheck) -> dict[str, Any]:
    return {
        "ok": not found.errors and not found.untold,
        "revision": found.revision,
        "cases_run": found.cases_run,
        "could_not_tell": found.untold,
        "problems": [asdict(problem) for problem in found.problems],
    }
