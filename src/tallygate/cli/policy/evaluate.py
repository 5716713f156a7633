"""`tallygate policy eval`: ask the policy one question."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import click
import orjson

from tallygate.adapters.engines.loading import load_engine
from tallygate.adapters.files.policies import read_policies
from tallygate.cli.policy.options import as_json, in_folder, in_style, told_of_policies
from tallygate.domain.kernel.instants import ns_from_text, text_from_ns


@click.command("eval")
@in_folder
@in_style
@click.option(
    "--input", "source", type=click.File("rb"), required=True, help="A JSON file; - is stdin."
)
@click.option("--now", help="Decide as of this instant, for example 2026-11-21T10:00:00Z.")
def evaluate(folder: Path, style: str, source: BinaryIO, now: str | None) -> None:
    """Ask the policy one question and show its decision."""
    question = _question(source, now)
    with told_of_policies():
        loaded = load_engine(lambda: read_policies(folder), last_good=None)
        for warning in loaded.warnings:
            click.echo(f"warning: {warning}", err=True)
        decision = loaded.engine.decide(question)
    click.echo(as_json(decision) if style == "json" else "\n".join(_decision_lines(decision)))


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
