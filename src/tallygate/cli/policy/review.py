"""`tallygate policy review`: check, tests and impact of a pull request in one go."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from tallygate.adapters.files.revisions import WORKTREE
from tallygate.application.impact_findings import Window
from tallygate.application.policy_pull_request import PullRequestReview, review_of
from tallygate.bootstrap.impact import open_recorded
from tallygate.bootstrap.policies import check_folder
from tallygate.bootstrap.policy_testing import run_policy_tests
from tallygate.cli.failures import COULD_NOT_TELL, FINDING
from tallygate.cli.policy.check import in_style_of
from tallygate.cli.policy.impact import impact_report, is_impact_a_finding
from tallygate.cli.policy.options import in_folder, told_of_revisions
from tallygate.cli.policy.output import from_the_top
from tallygate.cli.policy.testing import run_in_style
from tallygate.cli.screen import screen
from tallygate.cli.times import instant_of
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.errors import PoliciesInvalid, TallygateError
from tallygate.reports.impact import ImpactReport
from tallygate.reports.impact_markdown import impact_markdown
from tallygate.reports.impact_text import impact_text
from tallygate.reports.policy_review import headline, review_markdown
from tallygate.settings import read_settings

STYLES: Final = ("text", "github", "markdown")


@click.command()
@in_folder
@click.option("--base", required=True, metavar="REV", help="What is in force, for example main.")
@click.option(
    "--since",
    metavar="TIME",
    callback=instant_of,
    help="Replay the ledger's calls from then on: 24h, 7d, 2026-11-21 (UTC).",
)
@click.option("--ledger", help="Replay the calls of sqlite:///path or postgresql://….")
@click.option(
    "--inputs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Replay a file of `tallygate policy record`, where the ledger is out of reach.",
)
@click.option(
    "--coverage-threshold",
    "threshold",
    type=click.IntRange(0, 100),
    default=100,
    show_default=True,
    help="How many percent of the Rego's lines the tests must evaluate.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning"]),
    default="error",
    show_default=True,
    help="From which severity on a problem is a finding (exit code 1).",
)
@click.option(
    "--fail-on-impact",
    type=click.Choice(["refused", "any", "never"]),
    default="refused",
    show_default=True,
    help="Which changes of recorded calls are a finding (exit code 1).",
)
@click.option("--format", "style", type=click.Choice(STYLES), default="text", show_default=True)
@click.option(
    "--comment",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the Markdown for the pull request to this file.",
)
def review(  # noqa: PLR0913 - one parameter is one option
    *,
    folder: Path,
    base: str,
    since: int | None,
    ledger: str | None,
    inputs: Path | None,
    threshold: int,
    fail_on: str,
    fail_on_impact: str,
    style: str,
    comment: Path | None,
) -> None:
    """
    Check, test and replay a change of the policies, as a CI does for a pull request.

    The impact is told when recorded calls are named: --inputs, --ledger, or --since for the ledger
    of the settings. Exit code 1: a finding in any part; 3: some part could not be told.
    """
    if ledger and inputs:
        raise click.UsageError("Take the calls from --ledger or from --inputs, not from both.")
    now_ns = time.time_ns()
    with told_of_revisions():
        found = check_folder(folder, text_from_ns(now_ns), ask_opa=True, base=base)
    reviewed = review_of(found, run_policy_tests(folder, threshold), fail_on)
    impact = None
    if ledger or inputs or since is not None:
        impact = _impact(folder, base, reviewed, now_ns, (since, ledger, inputs))
        if impact and is_impact_a_finding(impact.impact, fail_on_impact):
            reviewed.findings.append("the impact")
    markdown = _markdown(reviewed, impact)
    if comment is not None:
        _write(comment, markdown)
    click.echo(markdown if style == "markdown" else _shown(reviewed, impact, folder, style))
    if reviewed.findings:
        raise SystemExit(FINDING)
    if reviewed.untold:
        raise SystemExit(COULD_NOT_TELL)


def _impact(
    folder: Path,
    base: str,
    reviewed: PullRequestReview,
    now_ns: int,
    asked: tuple[int | None, str | None, Path | None],
) -> ImpactReport | None:
    since, ledger, inputs = asked
    try:
        with open_recorded(read_settings(), ledger, inputs) as recorded:
            since_ns, until_ns = recorded.window(since, None, now_ns)
            window = Window(since_ns=since_ns, until_ns=until_ns, now_ns=now_ns, at_ns=now_ns)
            report = impact_report(folder, base, WORKTREE, recorded, window)
    except PoliciesInvalid:
        reviewed.impact_untold = "the policies cannot be read as they are; see the check."
    except TallygateError as error:
        reviewed.impact_untold = str(error)
    else:
        if report.nothing_replayed:
            reviewed.impact_untold = "there was no recorded call to replay."
        return report
    return None


def _markdown(reviewed: PullRequestReview, impact: ImpactReport | None) -> str:
    problems = [from_the_top(problem) for problem in reviewed.check.problems]
    shown = replace(reviewed, check=replace(reviewed.check, problems=problems))
    return review_markdown(shown, impact_markdown(impact) if impact else None)


def _shown(
    reviewed: PullRequestReview, impact: ImpactReport | None, folder: Path, style: str
) -> str:
    parts = [
        in_style_of(reviewed.check, folder, style),
        run_in_style(reviewed.tests, folder, style),
    ]
    if impact is not None and style == "text":
        console = screen()
        with console.capture() as captured:
            console.print(impact_text(impact, console.width))
        parts.append(captured.get().rstrip("\n"))
    parts.extend(f"could not tell: {untold}" for untold in reviewed.untold)
    return "\n".join([*parts, f"review: {headline(reviewed)}"])


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(
            f"{path} cannot be written: {error.strerror}.", param_hint="--comment"
        ) from error
