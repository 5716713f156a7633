"""`tallygate policy impact`: what a change of the policies does to recorded calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tallygate.adapters.files.revisions import WORKTREE
from tallygate.application.impact import find_impact
from tallygate.application.impact_caveats import caveats_of
from tallygate.application.impact_findings import Impact, Window
from tallygate.bootstrap.impact import Recorded, commits_between, open_recorded, policies_at
from tallygate.bootstrap.impact_processes import AllCores
from tallygate.cli.failures import COULD_NOT_TELL, FINDING, told
from tallygate.cli.policy.options import as_json, in_folder
from tallygate.cli.screen import screen
from tallygate.cli.times import instant_of
from tallygate.errors import PoliciesInvalid, RevisionUnknown
from tallygate.reports.impact import ImpactReport, impact_document
from tallygate.reports.impact_markdown import impact_markdown
from tallygate.reports.impact_text import impact_text
from tallygate.settings import read_settings

_NOW: Final = "now"
_RECORDED: Final = "recorded"


@click.command()
@in_folder
@click.option("--base", required=True, metavar="REV", help="What is in force, for example main.")
@click.option(
    "--head",
    default=WORKTREE,
    show_default=True,
    metavar="REV",
    help="What is to come in force; worktree is the folder as it lies on disk.",
)
@click.option(
    "--since",
    metavar="TIME",
    callback=instant_of,
    help="Replay calls from then on: 24h, 7d, 2026-11-21 or 2026-11-21T10:00:00Z (UTC)."
    "  [default: 30d, or all of --inputs]",
)
@click.option(
    "--until", metavar="TIME", callback=instant_of, help="As --since; this instant is left out."
)
@click.option(
    "--at",
    "as_of",
    default=_NOW,
    show_default=True,
    metavar="TIME",
    help="Decide as of then, as --since writes it: now takes the calls for a sample of tomorrow's;"
    " recorded decides each as of its own time.",
)
@click.option(
    "--ledger",
    help="sqlite:///path or postgresql://….  "
    "[default: $TALLYGATE_LEDGER_URL, else ledger.db in the state folder]",
)
@click.option(
    "--inputs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of `tallygate policy record`, where the ledger is out of reach.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["refused", "any", "never"]),
    default="refused",
    show_default=True,
    help="Which changes are a finding, exit code 1.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
)
@click.pass_context
def impact(  # noqa: PLR0913 - one parameter is one option
    ctx: click.Context,
    *,
    folder: Path,
    base: str,
    head: str,
    since: int | None,
    until: int | None,
    as_of: str,
    ledger: str | None,
    inputs: Path | None,
    fail_on: str,
    style: str,
) -> None:
    """
    Say which recorded calls a change of the policies would decide differently.

    Replays what the ledger recorded through the policies of two git revisions: newly refused
    first, by service, team and reason, in calls and dollars, then what the dates in the files
    will change. Exit code 1: calls would newly be refused; 3: nothing could be replayed.
    """
    if ledger and inputs:
        raise click.UsageError("Take the calls from --ledger or from --inputs, not from both.")
    now_ns = time.time_ns()
    if since is not None and (until or now_ns) <= since:
        raise click.UsageError("--until must be later than --since.")
    at_ns = _instant(ctx, as_of, now_ns)
    with told(), _told_of_revisions(), open_recorded(read_settings(), ledger, inputs) as recorded:
        since_ns, until_ns = recorded.window(since, until, now_ns)
        window = Window(since_ns=since_ns, until_ns=until_ns, now_ns=now_ns, at_ns=at_ns)
        report = impact_report(folder, base, head, recorded, window)
    _show(report, style)
    if report.nothing_replayed:
        raise SystemExit(COULD_NOT_TELL)
    if is_impact_a_finding(report.impact, fail_on):
        raise SystemExit(FINDING)


def _instant(ctx: click.Context, as_of: str, now_ns: int) -> int | None:
    if as_of == _RECORDED:
        return None
    param = next(each for each in ctx.command.params if each.name == "as_of")
    return now_ns if as_of == _NOW else instant_of(ctx, param, as_of)


def impact_report(
    folder: Path, base_name: str, head_name: str, recorded: Recorded, window: Window
) -> ImpactReport:
    """Replay the recorded calls of the window through both revisions, with a bar on a terminal."""
    compared = policies_at(folder, base_name, head_name)
    base, head = compared.base, compared.head
    for warning in compared.warnings:
        click.echo(f"warning: {warning}", err=True)
    with _progress() as tell:
        everywhere = AllCores(compared, window)
        found = find_impact(recorded.lines, base, head, window, tell, everywhere)
    return ImpactReport(
        base=base,
        head=head,
        window=window,
        impact=found,
        caveats=caveats_of(base, head),
        commits_missing=commits_between(folder, base_name, head_name),
        grain_ns=recorded.grain_ns,
    )


@contextmanager
def _told_of_revisions() -> Iterator[None]:
    """Policies that cannot be read leave the question open; what is wrong in them is `check`'s."""
    try:
        yield
    except RevisionUnknown as error:
        raise click.UsageError(str(error)) from error
    except PoliciesInvalid as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        click.echo("tallygate: the policies cannot be compared as they are.", err=True)
        raise SystemExit(COULD_NOT_TELL) from error


def _show(report: ImpactReport, style: str) -> None:
    match style:
        case "json":
            click.echo(as_json(impact_document(report)))
        case "markdown":
            click.echo(impact_markdown(report))
        case _:
            console = screen()
            console.print(impact_text(report, console.width))


def is_impact_a_finding(found: Impact, fail_on: str) -> bool:
    """Whether what was found is to fail the command."""
    match fail_on:
        case "any":
            return bool(found.total().calls or found.refused_later.calls)
        case "never":
            return False
        case _:
            return bool(found.refused.calls or found.refused_later.calls)


@contextmanager
def _progress() -> Iterator[Callable[[int, int | None], None]]:
    """Show how far the replay is, on a terminal only."""
    screen_for_people = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("inputs"),
        TimeRemainingColumn(),
        console=screen_for_people,
        transient=True,
        disable=not screen_for_people.is_terminal,
    )
    task = bar.add_task("reading recorded calls", total=None)

    def tell(done: int, whole: int | None) -> None:
        what = "reading recorded calls" if whole is None else "replaying"
        bar.update(task, completed=done, total=whole, description=what)

    with bar:
        yield tell
