"""`tallygate policy`: check, build and ask the policies."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import click
import orjson

from tallygate.adapters.engines.loading import load_engine
from tallygate.adapters.engines.opa import COMMAND, find_opa, write_compiled
from tallygate.adapters.files.policies import read_policies
from tallygate.bootstrap.policies import FolderCheck, check_folder
from tallygate.cli.failures import COULD_NOT_TELL, FINDING
from tallygate.domain.kernel.digests import digest_of_bytes
from tallygate.domain.kernel.instants import ns_from_text, text_from_ns
from tallygate.errors import EngineError, PoliciesInvalid, PolicyNotCompiled

_folder = click.option(
    "--policies",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="TALLYGATE_POLICIES",
    default=Path("policies"),
    show_default="$TALLYGATE_POLICIES, else ./policies",
    help="The policies folder.",
)
_style = click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True
)


@click.group()
def policy() -> None:
    """Check, build and ask the policies."""


@policy.command()
@_folder
@_style
def check(folder: Path, style: str) -> None:
    """
    Read everything in the policies folder and name what is wrong, with file and line.

    Data, references, overrides, price lists, the compiled policy, and the cases.
    """
    found = check_folder(folder, text_from_ns(time.time_ns()))
    click.echo(_json(_check_document(found)) if style == "json" else _check_text(found, folder))
    if found.errors:
        raise SystemExit(FINDING)
    if found.untold:
        raise SystemExit(COULD_NOT_TELL)


@policy.command()
@_folder
def build(folder: Path) -> None:
    """Compile the Rego to policy.wasm and note in policy.lock what it was compiled from."""
    with _told():
        opa = find_opa()
        if opa is None:
            raise PolicyNotCompiled("there is no opa on the PATH; install OPA 1.21.3 or newer.")
        policies = read_policies(folder)
        wasm = write_compiled(folder, policies.rego, opa)
    click.echo(f"compiled {len(policies.rego)} Rego files with OPA {opa.version}: {COMMAND}")
    click.echo(f"{folder / 'policy.wasm'}  {digest_of_bytes(wasm)}")


@policy.command("eval")
@_folder
@_style
@click.option(
    "--input", "source", type=click.File("rb"), required=True, help="A JSON file; - is stdin."
)
@click.option("--now", help="Decide as of this instant, for example 2026-11-21T10:00:00Z.")
def evaluate(folder: Path, style: str, source: BinaryIO, now: str | None) -> None:
    """Ask the policy one question and show its decision."""
    question = _question(source, now)
    with _told():
        loaded = load_engine(lambda: read_policies(folder), last_good=None)
        for warning in loaded.warnings:
            click.echo(f"warning: {warning}", err=True)
        decision = loaded.engine.decide(question)
    click.echo(_json(decision) if style == "json" else "\n".join(_decision_lines(decision)))


@contextmanager
def _told() -> Iterator[None]:
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


def _question(source: BinaryIO, now: str | None) -> dict[str, Any]:
    name = getattr(source, "name", "-")
    try:
        question = orjson.loads(source.read())
    except orjson.JSONDecodeError as error:
        raise click.BadParameter(
            f"{name}:{error.lineno}:{error.colno}: is not JSON: {error.msg}.",
            param_hint="--input",
        ) from error
    if not isinstance(question, dict):
        raise click.BadParameter(
            f"{name}: expected a JSON object, the policy's input.", param_hint="--input"
        )
    if now is not None:
        try:
            ns_from_text(now)
        except ValueError as error:
            raise click.BadParameter(
                f"{now} is not an instant such as 2026-11-21T10:00:00Z.", param_hint="--now"
            ) from error
        question["now"] = now
    question.setdefault("now", text_from_ns(time.time_ns()))
    return question


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


def _decision_lines(decision: Mapping[str, Any]) -> Iterator[str]:
    yield f"action        {decision['action']}"
    if decision["would_action"] != decision["action"]:
        yield f"enforced      {decision['would_action']}  (this is what enforce would do)"
    yield f"mode          {decision['mode']}  (from {decision['mode_source']})"
    for violation in decision["violations"]:
        yield f"violation     {violation['code']}  {violation['field']}"
    for waived in decision["waived"]:
        yield f"waived        {waived['code']}  {waived['field']}  by {waived['override']}"
    for notice in decision["notices"]:
        yield f"notice        {notice['code']}  {notice['subject']}"
    for name, value in sorted(decision["ownership"].items()):
        yield f"{name:<13} {value}"
    yield f"holds until {decision['valid_until']}"


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
