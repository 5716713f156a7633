"""`tallygate policy test`: the policy's own tests, on every engine at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from tallygate.application.policy_tests import PolicyTests
from tallygate.bootstrap.policy_testing import run_policy_tests
from tallygate.cli.failures import COULD_NOT_TELL, FINDING
from tallygate.cli.policy.options import as_json, in_folder
from tallygate.cli.policy.output import in_file, path_from_the_top, put_out
from tallygate.reports.policy_tests.document import run_document
from tallygate.reports.policy_tests.github import run_annotations
from tallygate.reports.policy_tests.junit import run_junit
from tallygate.reports.policy_tests.text import run_text

STYLES: Final = ("text", "json", "junit", "github")


@click.command("test")
@in_folder
@click.option("--format", "style", type=click.Choice(STYLES), default="text", show_default=True)
@in_file
@click.option(
    "--coverage-threshold",
    "threshold",
    type=click.IntRange(0, 100),
    default=100,
    show_default=True,
    help="How many percent of the Rego's lines the tests must evaluate.",
)
@click.option("--cases-only", is_flag=True, help="Leave the Rego tests out.")
def run_tests(
    folder: Path, style: str, output: Path | None, threshold: int, *, cases_only: bool
) -> None:
    """
    Run the policy's Rego tests, and its cases on every engine that is at hand.

    Rego tests need opa on the PATH; the cases also run on the embedded engine.
    """
    run = run_policy_tests(folder, threshold, cases_only=cases_only)
    put_out(run_in_style(run, folder, style), lambda: run_text(run, str(folder)), output)
    if run.is_finding:
        raise SystemExit(FINDING)
    if run.not_run:
        raise SystemExit(COULD_NOT_TELL)


def run_in_style(run: PolicyTests, folder: Path, style: str) -> str:
    """Write the run in one of the styles."""
    match style:
        case "json":
            return as_json(run_document(run))
        case "junit":
            return run_junit(run, path_from_the_top)
        case "github":
            return run_annotations(run, path_from_the_top)
        case _:
            return run_text(run, str(folder))
