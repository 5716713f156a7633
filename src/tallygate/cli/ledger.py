"""`tallygate ledger`: seal, verify, anchor, forget, archive, migrate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tallygate.adapters.files.anchors import AnchorFile
from tallygate.application.archiving import archive_before
from tallygate.application.erasure import Forgotten
from tallygate.application.erasure import forget as forget_person
from tallygate.application.sealing import seal_events
from tallygate.application.verification import Verification, anchor_head
from tallygate.bootstrap.sealed_ledger import (
    ANCHOR_FILE,
    migrate_ledger,
    open_sealed_ledger,
)
from tallygate.cli.failures import FINDING, told
from tallygate.domain.kernel.instants import NS_PER_SECOND
from tallygate.errors import LedgerError
from tallygate.reports.sealed_ledger import (
    archived_text,
    finding_line,
    forgotten_text,
    verification_text,
)
from tallygate.settings import read_settings

_LEDGER = click.option(
    "--ledger",
    "url",
    help="sqlite:///path or postgresql://….  "
    "[default: $TALLYGATE_LEDGER_URL, else ledger.db in the state folder]",
)
_ARCHIVE = click.option(
    "--archive",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the archives.  [default: archive in the state folder]",
)
_ARCHIVES = click.option(
    "--archive",
    "archives",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of archives; may be given more than once.  [default: archive in the state folder]",
)
_ANCHOR = click.option(
    "--anchor",
    "anchors",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"File of anchors.  [default: {ANCHOR_FILE}, where there is one]",
)
_FORMAT = click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True
)


def _midnight(_: click.Context, param: click.Parameter, text: str) -> int:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no day; write 2026-11-01.", param=param) from error
    if day > datetime.now(UTC):
        raise click.BadParameter(f"{text} has not come yet.", param=param)
    return int(day.timestamp()) * NS_PER_SECOND


@click.group()
def ledger() -> None:
    """Seal what was booked, prove it, forget a person, archive what is old."""


@ledger.command()
@_LEDGER
def seal(*, url: str | None) -> None:
    """
    Seal what is booked and not sealed yet.

    A drain that follows does it every minute; until then an event is not protected.
    """
    with (
        told(),
        open_sealed_ledger(read_settings(), url) as opened,
        _progress("sealing") as advance,
    ):
        report = seal_events(opened.store, lambda done: advance(done, None))
    head = f"head {report.last.head}" if report.last else "nothing was ever booked"
    click.echo(f"{report.events:,} events sealed, {report.seals:,} seals; {head}.")


@ledger.command()
@_LEDGER
@_ANCHOR
@_ARCHIVES
@_FORMAT
def verify(
    *, url: str | None, anchors: Path | None, archives: tuple[Path, ...], style: str
) -> None:
    """
    Prove that no sealed event was edited, deleted, added or moved.

    Says which, where, under which seal, and in which column where that can be told. A tail that
    was cut together with its seals, and a chain that was made anew, show at an anchor only. Exit
    code 1: something does not agree; 3: it could not be told.
    """
    chosen = _anchors(anchors)
    with (
        told(),
        open_sealed_ledger(read_settings(), url, archives) as opened,
        _progress("verifying") as advance,
    ):
        verification = opened.verify(chosen, advance)
    if style == "json":
        click.echo(_json(verification))
    else:
        click.echo(verification_text(verification, str(chosen)))
    if not verification.holds:
        raise SystemExit(FINDING)


@ledger.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=ANCHOR_FILE)
@_LEDGER
def anchor(*, file: Path, url: str | None) -> None:
    """
    Append the chain's head and count to FILE, which is meant for git.

    FILE is ledger-anchors.yaml by default. Nothing is written where the chain contradicts itself
    or an anchor that is there (exit code 1).
    """
    with told(), open_sealed_ledger(read_settings(), url) as opened:
        anchored = anchor_head(opened.store, AnchorFile(file))
        for finding in anchored.findings:
            click.echo(finding_line(finding))
        if anchored.findings:
            click.echo("Nothing was anchored; see tallygate ledger verify.", err=True)
            raise SystemExit(FINDING)
        if anchored.anchor is None:
            raise LedgerError("nothing is sealed yet: tallygate ledger seal.")
    head = anchored.anchor
    done = "Anchored" if anchored.is_new else "Anchored before"
    click.echo(f"{done} in {file}: {head.events:,} events up to seq {head.last_seq}, {head.head}")
    if anchored.is_new:
        click.echo(f"Now commit {file} and push it.", err=True)


@ledger.command()
@click.argument("subject")
@_LEDGER
@_ANCHOR
@_ARCHIVES
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(
    *, subject: str, url: str | None, anchors: Path | None, archives: tuple[Path, ...], yes: bool
) -> None:
    """
    Delete who SUBJECT is, and show that every sum and seal still stands.

    SUBJECT is the hash of a tenant or user as `tallygate events` shows it (hk1_…), or its
    surrogate (sub_…). It cannot be undone. Exit code 1: nobody of that name is known, something
    does not agree, or the hash's bytes are still in the ledger's -wal file.
    """
    if not yes:
        click.confirm(f"Forget {subject} for good?", abort=True, err=True)
    chosen = _anchors(anchors)
    with (
        told(),
        open_sealed_ledger(read_settings(), url, archives) as opened,
        _progress("verifying") as advance,
    ):
        forgotten = forget_person(opened.store, subject, lambda: opened.verify(chosen, advance))
    if forgotten is None:
        click.echo(f"Nobody is known as {subject}: forgotten already, or never seen.")
        raise SystemExit(FINDING)
    click.echo(forgotten_text(forgotten, str(chosen)))
    if not _stands(forgotten):
        raise SystemExit(FINDING)


@ledger.command()
@click.option(
    "--before",
    required=True,
    metavar="DATE",
    callback=_midnight,
    help="Events booked before this day, 2026-11-01 (UTC), as far as they are sealed.",
)
@_LEDGER
@_ARCHIVE
def archive(*, before: int, url: str | None, archive: Path | None) -> None:
    """
    Move old sealed events to Parquet files; the chain still proves them.

    Nothing is deleted before the files are on disk, read again and held against the seals. What
    was interrupted is finished by the next run. The newest seal stays.
    """
    with (
        told(),
        open_sealed_ledger(read_settings(), url, [archive] if archive else ()) as opened,
        _progress("archiving") as advance,
    ):
        done = archive_before(
            opened.store,
            opened.archive,
            before,
            lambda phase, part, whole: advance(part, whole, str(phase)),
        )
    click.echo(archived_text(done, opened.archive.place))


@ledger.command()
@_LEDGER
def migrate(*, url: str | None) -> None:
    """Make the ledger or bring its schema up to date, as the role that owns the tables."""
    with told():
        place = migrate_ledger(read_settings(), url)
    click.echo(f"{place} is up to date.")


def _anchors(chosen: Path | None) -> Path | None:
    return chosen or (ANCHOR_FILE if ANCHOR_FILE.is_file() else None)


def _stands(forgotten: Forgotten) -> bool:
    return forgotten.sums_stand and forgotten.after.holds and forgotten.purged


def _json(verification: Verification) -> bytes:
    return orjson.dumps(
        {"holds": verification.holds, **asdict(verification)}, option=orjson.OPT_INDENT_2
    )


@contextmanager
def _progress(what: str) -> Iterator[Callable[..., None]]:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(what, total=None)

    def advance(done: int, whole: int | None, phase: str = what) -> None:
        bar.update(task, completed=done, total=whole, description=phase)

    with bar:
        yield advance
