from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fakes.entries import NOON_NS, a_call, a_refusal, an_ownership, no_charge
from fakes.gate_requests import line_over, request_of
from fakes.lines import decided, events_in
from fakes.policy_folders import path_without_opa, real_opa
from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import verify_compiled
from tallygate.adapters.files.policies import read_cases, read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.cli import main
from tallygate.domain.ledger.events import DecisionFacts, Entry

POLICIES = starter_policies()
FIELD_MISSING = POLICIES / "cases" / "field-missing" / "input.json"
WIDTH = 100


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["policy", "eval", *(str(word) for word in words)])


def explain(*words: object) -> Result:
    return run("--policies", POLICIES, "--explain", *words)


def json_of(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_an_explanation_reads_from_the_decision_to_what_would_make_it_pass() -> None:
    real_opa()

    result = explain("--input", FIELD_MISSING)

    assert result.exit_code == 0, result.output
    order = [
        "action        reject",
        "mode          enforce, from service_environment",
        f"{POLICIES}/registry/data.yaml:",
        "violation     ownership_missing  workflow_id",
        f"{POLICIES}/contract/data.yaml:",
        "ownership.rego:",
        "paid by       team-support, CC-1200, customer-experience",
        "holds until   2027-01-31T00:00:00Z",
        "to pass",
        "send the header x-tallygate-workflow-id",
        "then: admit, enforce from service_environment",
        "or an override excuses it",
        "tallygate override request --service support-assistant",
        "rules that fired  (opa eval --coverage, OPA ",
    ]
    at = 0
    for text in order:
        at = result.stdout.find(text, at)
        assert at != -1, f"{text!r} does not come next in\n{result.stdout}"


@pytest.mark.parametrize(
    "case",
    [
        "canary-bucket-unreadable",
        "canary-strictest-in-the-share",
        "override-does-not-cover-the-rest",
        "several-violations",
        "shared-principal-wrong",
        "unbound-would-reject",
    ],
)
def test_the_text_keeps_to_a_hundred_columns_but_for_a_long_word(
    case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(POLICIES, tmp_path / "policies")
    monkeypatch.chdir(tmp_path)

    result = run("--explain", "--input", POLICIES / "cases" / case / "input.json")

    assert result.exit_code == 0, result.output
    for line in result.stdout.splitlines():
        assert len(line) <= WIDTH or len(line.split()) <= 2, line


def test_the_document_has_every_part_with_its_places() -> None:
    document = json_of(explain("--input", FIELD_MISSING, "--format", "json"))

    (violation,) = document["violations"]
    assert violation["code"] == "ownership_missing"
    assert violation["entries"][0]["file"] == f"{POLICIES}/contract/data.yaml"
    assert {"line", "column", "where", "value"} <= violation["entries"][0].keys()
    assert document["recorded"] is None
    assert document["revision"] == read_policies(POLICIES).revision
    caller, override = document["ways_to_pass"]
    assert (caller["by"], caller["then"]["action"]) == ("caller", "admit")
    assert override["changes"][0]["command"].startswith("tallygate override request")


def test_an_admitted_call_needs_nothing() -> None:
    result = explain("--input", POLICIES / "cases" / "complete-call" / "input.json")

    assert "to pass       nothing: enforce admits the call" in result.stdout


def test_a_question_with_parts_missing_is_explained_and_nothing_is_tried() -> None:
    result = CliRunner().invoke(
        main, ["policy", "eval", "--policies", str(POLICIES), "--explain", "--input", "-"], "{}"
    )

    assert result.exit_code == 0, result.output
    assert "nothing was tried" in result.stdout


def test_without_opa_it_says_that_it_does_not_know_which_rules_fired(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", path_without_opa(tmp_path))

    result = explain("--input", FIELD_MISSING)

    assert "rules that could have fired  (no opa on the PATH: which did is not known)" in (
        result.stdout
    )


@pytest.mark.parametrize("words", [(), ("--input", FIELD_MISSING, "--decision", "d-1")])
def test_it_takes_one_question(words: tuple[object, ...]) -> None:
    result = explain(*words)

    assert result.exit_code == 2
    assert "give either --input or --decision" in result.stderr


# A decision of the ledger.


@pytest.fixture
def booked(tmp_path: Path) -> Callable[..., str]:
    """Book the refusal of a call that lacked its workflow; returns the ledger's address."""

    def book(revision: str) -> str:
        decision = DecisionFacts(
            decision_id="d-1",
            status="decided",
            action="reject",
            would_action="reject",
            mode="enforce",
            mode_source="service_environment",
            violations=({"code": "ownership_missing", "field": "workflow_id"},),
            policy_revision=revision,
        )
        owner = an_ownership(
            workflow_id=None,
            tenant_id_hash="hk1_" + "a" * 32,
            user_id_hash=None,
            initiator=None,
            extra={},
            sources={
                "owner_team": "header",
                "service": "header",
                "environment": "header",
                "feature": "default",
                "tenant_id_hash": "header",
            },
        )
        call = a_call(principal_team="litellm-team-support", started_at_ns=NOON_NS)
        event = a_refusal(1, call=call, ownership=owner, decision=decision)
        ledger = SqliteLedger(tmp_path / "ledger.db")
        ledger.append([Entry(event, no_charge())])
        ledger.close()
        return f"sqlite:///{tmp_path / 'ledger.db'}"

    return book


def test_a_decision_is_explained_as_of_its_own_instant(booked: Callable[..., str]) -> None:
    url = booked(read_policies(POLICIES).revision)

    result = explain("--decision", "d-1", "--ledger", url)

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("decision      d-1, of call call-1\n")
    assert "recorded      reject, enforce from service_environment" in result.stdout
    assert "decided at 2026-11-21T12:00:00Z" in result.stdout
    assert "revision      the one that is explained here" in result.stdout
    assert "It is decided alike now." in result.stdout
    assert "the question is built from its columns" in result.stdout
    assert "violation     ownership_missing  workflow_id" in result.stdout


@pytest.mark.parametrize(
    ("name", "is_told"),
    [
        pytest.param("value-unknown", True, id="with a value that was not kept"),
        pytest.param("two-values-for-one-field", False, id="with a conflict"),
    ],
)
def test_a_decision_with_its_recorded_input_is_explained_from_that(
    name: str, tmp_path: Path, *, is_told: bool
) -> None:
    policies = read_policies(POLICIES)
    case = next(case for case in read_cases(POLICIES) if case.name == name)
    wasm = verify_compiled(policies.rego, policies.wasm, policies.lock)
    engine = EmbeddedEngine(wasm, policies.data, policies.revision)
    line = line_over(policies, engine, case.question)
    admission = decided(line, request_of(case.question, line))
    engine.close()
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.append([Entry(event, no_charge()) for event in events_in(line)])
    ledger.close()

    words = ("--decision", admission.decision.decision_id)
    result = explain(*words, "--ledger", f"sqlite:///{tmp_path / 'ledger.db'}")

    assert result.exit_code == 0, result.output
    assert "It is decided alike now." in result.stdout
    assert "built from its columns" not in result.stdout
    assert ("stands as ? and eight digits of its digest" in result.stdout) is is_told
    assert "ticket-traige" not in result.stdout, "it was not accepted, so it was not kept"


def test_another_revision_and_another_decision_are_said_to_be_so(
    booked: Callable[..., str], tmp_path: Path
) -> None:
    url = booked("sha256:" + "0" * 64)
    folder = tmp_path / "policies"
    shutil.copytree(POLICIES, folder)
    contract = folder / "contract" / "data.yaml"
    text = contract.read_text()
    assert "prod: [workflow_id, feature]" in text
    contract.write_text(text.replace("prod: [workflow_id, feature]", "prod: [feature]"))

    words = ("--policies", folder, "--explain", "--decision", "d-1", "--ledger", url)
    result = run(*words)
    document = json_of(run(*words, "--format", "json"))

    assert "Another policy decided then." in result.stdout
    assert "Decided otherwise now: action, would_action, violations." in result.stdout
    assert document["recorded"]["is_this_revision"] is False
    assert document["recorded"]["differing"] == ["action", "would_action", "violations"]
    assert document["decision"]["action"] == "admit"


def test_a_decision_may_be_asked_again_without_an_explanation(booked: Callable[..., str]) -> None:
    result = run("--policies", POLICIES, "--decision", "d-1", "--ledger", booked("sha256:x"))

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("action        reject\n")


def test_as_of_another_instant_it_may_be_decided_otherwise(booked: Callable[..., str]) -> None:
    words = ("--decision", "d-1", "--ledger", booked("sha256:x"), "--format", "json")

    document = json_of(explain(*words, "--now", "2027-01-31T00:00:00Z"))

    assert document["decision"]["valid_until"].startswith("9999")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(("--decision", "d-2"), "the ledger has no decision d-2", id="no such id"),
        pytest.param(
            ("--decision", "d-1", "--ledger", "sqlite:///nowhere.db"),
            "Name another with --ledger",
            id="no such ledger",
        ),
    ],
)
def test_what_cannot_be_found_could_not_be_told(
    booked: Callable[..., str], words: tuple[str, ...], message: str
) -> None:
    url = booked("sha256:x")

    result = explain(*words) if "--ledger" in words else explain(*words, "--ledger", url)

    assert result.exit_code == 3
    assert message in result.stderr


def test_the_page_on_policies_shows_what_the_command_prints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Places may move by lines; the rest of the page's example must be there, in its order."""
    real_opa()
    monkeypatch.chdir(POLICIES.parent)
    page = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
    command, *shown = page.partition("$ tallygate policy eval ")[2].partition("```")[0].splitlines()

    printed = re.sub(r":\d+", ":", run(*command.split()).stdout)

    at = 0
    for line in filter(None, shown):
        at = printed.find(re.sub(r":\d+", ":", line), at)
        assert at != -1, line
