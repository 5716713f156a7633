"""`tallygate policy eval`: ask the policy one question, or about one decision, and say why."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import click
import orjson

from tallygate.application.recorded_decision import RecordedDecision
from tallygate.bootstrap.explaining import ExplainingFolder, find_decision
from tallygate.cli.failures import COULD_NOT_TELL, told
from tallygate.cli.policy.options import as_json, in_folder, in_style, told_of_policies
from tallygate.domain.kernel.instants import ns_from_text, text_from_ns
from tallygate.reports.explanation import explanation_document, explanation_text
from tallygate.settings import read_settings


@click.command("eval")
@in_folder
@in_style
@click.option("--input", "source", type=click.File("rb"), help="A JSON file; - is stdin.")
@click.option("--decision", "decision_id", help="A decision of the ledger, by its id.")
@click.option(
    "--ledger",
    help="Where --decision is looked up.  [default: $TALLYGATE_LEDGER_URL, else ledger.db in the"
    " state folder]",
)
@click.option("--now", help="Decide as of this instant, for example 2026-11-21T10:00:00Z.")
@click.option(
    "--explain", is_flag=True, help="Say what each part came from, and what would make it pass."
)
def evaluate(
    *,
    folder: Path,
    style: str,
    source: BinaryIO | None,
    decision_id: str | None,
    ledger: str | None,
    now: str | None,
    explain: bool,
) -> None:
    """
    Ask the policy one question and show its decision.

    The question is a JSON file, or that of a recorded decision, asked again as of its own instant.
    """
    if (source is None) == (decision_id is None):
        raise click.UsageError("give either --input or --decision.")
    at, question = _instant(now), _question(source) if source is not None else {}
    with told_of_policies(), closing(ExplainingFolder(folder)) as asking:
        for warning in asking.warnings:
            click.echo(f"warning: {warning}", err=True)
        recorded = _recorded(decision_id, ledger, asking) if decision_id is not None else None
        question = dict(recorded.question) if recorded is not None else question
        question["now"] = at or question.get("now") or text_from_ns(time.time_ns())
        shown = _explained if explain else _decided
        click.echo(shown(asking, question, recorded, style))


def _recorded(decision_id: str, ledger: str | None, asking: ExplainingFolder) -> RecordedDecision:
    with told():
        recorded = find_decision(read_settings(), ledger, decision_id, asking)
    if recorded is None:
        click.echo(f"tallygate: the ledger has no decision {decision_id}.", err=True)
        raise SystemExit(COULD_NOT_TELL)
    return recorded


def _decided(
    asking: ExplainingFolder, question: dict[str, Any], _: RecordedDecision | None, style: str
) -> str:
    decision = asking.decide(question)
    return as_json(decision) if style == "json" else "\n".join(_decision_lines(decision))


def _explained(
    asking: ExplainingFolder,
    question: dict[str, Any],
    recorded: RecordedDecision | None,
    style: str,
) -> str:
    found = asking.explain(question)
    parts = (found.explanation, found.ways, found.revision, recorded)
    return as_json(explanation_document(*parts)) if style == "json" else explanation_text(*parts)


def _question(source: BinaryIO) -> dict[str, Any]:
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
    return question


def _instant(now: str | None) -> str | None:
    if now is not None:
        try:
            ns_from_text(now)
        except ValueError as error:
            raise click.BadParameter(
                f"{now} is not an instant such as 2026-11-21T10:00:00Z.", param_hint="--now"
            ) from error
    return now


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
