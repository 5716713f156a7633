"""One suite for the port PolicyEngine: what every engine promises, and that all answer as OPA."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from contract.questions import generated_questions, good_questions
from fakes.engines import FakeEngine
from fakes.opa_servers import AskedHere, RunningOpa, write_bundle
from fakes.policy_folders import real_opa
from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import compile_policy, verify_compiled
from tallygate.adapters.engines.opa_server import OpaServer
from tallygate.adapters.files.policies import PolicySet, read_cases, read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.application.ports import PolicyEngine
from tallygate.errors import EngineFailed

KEYS = {
    "action",
    "would_action",
    "mode",
    "mode_source",
    "violations",
    "waived",
    "notices",
    "ownership",
    "valid_until",
}
CASES = read_cases(starter_policies())


@pytest.fixture(scope="module")
def policies() -> PolicySet:
    return read_policies(starter_policies())


@pytest.fixture(scope="module")
def wasm(policies: PolicySet) -> bytes:
    return verify_compiled(policies.rego, policies.wasm, policies.lock)


@pytest.fixture(scope="module")
def embedded(policies: PolicySet, wasm: bytes) -> EmbeddedEngine:
    return EmbeddedEngine(wasm, policies.data, policies.revision)


@dataclass(frozen=True, slots=True)
class Subject:
    engine: PolicyEngine
    unanswerable: Mapping[str, Any]


@pytest.fixture(scope="module")
def server(policies: PolicySet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AskedHere]:
    folder = tmp_path_factory.mktemp("opa")
    with RunningOpa(folder, "-b", str(write_bundle(folder, policies))) as opa:
        asked = AskedHere(OpaServer(opa.url, timeout_s=10))
        asked.decide({})  # and so it knows by which revision
        yield asked
        asked.close()


@pytest.fixture(params=["embedded", "server", "fake"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "fake":
        answer = FakeEngine().decide({})
        return Subject(FakeEngine(lambda q: None if "lost" in q else answer), {"lost": True})
    return Subject(request.getfixturevalue(request.param), {"lost": {1, 2}})


def test_every_decision_has_exactly_its_keys(subject: Subject, policies: PolicySet) -> None:
    for question in ({}, *good_questions(policies.data)):
        decision = subject.engine.decide(question)

        assert set(decision) == KEYS
        assert {decision["action"], decision["would_action"]} <= {"admit", "quarantine", "reject"}
        assert decision["mode"] in {"report_only", "enforce"}


def test_a_question_has_one_answer_and_is_not_changed(
    subject: Subject, policies: PolicySet
) -> None:
    question = next(good_questions(policies.data))
    asked = copy.deepcopy(question)

    assert subject.engine.decide(question) == subject.engine.decide(question)
    assert question == asked


def test_the_revision_says_which_policy_answers(subject: Subject) -> None:
    assert subject.engine.revision.startswith("sha256:")
    assert subject.engine.revision == subject.engine.revision


def test_no_answer_is_an_engine_failure_and_the_next_question_is_answered(
    subject: Subject,
) -> None:
    with pytest.raises(EngineFailed):
        subject.engine.decide(subject.unanswerable)

    assert set(subject.engine.decide({})) == KEYS


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@pytest.mark.parametrize("name", ["embedded", "server"])
def test_each_case_is_decided_as_it_says(
    name: str, case: Any, request: pytest.FixtureRequest
) -> None:
    engine: PolicyEngine = request.getfixturevalue(name)

    assert engine.decide(case.question) == case.decision


def test_there_are_cases() -> None:
    assert len(CASES) >= 5


def test_the_shipped_wasm_is_what_opa_makes_of_the_shipped_rego(
    policies: PolicySet, wasm: bytes
) -> None:
    opa = real_opa()
    noted = orjson.loads(policies.lock or b"{}")["opa_version"]
    if opa.version != noted:
        pytest.skip(f"policy.lock was written by OPA {noted}, this is {opa.version}")

    assert compile_policy(policies.rego, opa) == wasm


AskOpa = Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]]], list[Any]]


@pytest.fixture
def ask_opa(policies: PolicySet, tmp_path: Path) -> AskOpa:
    """Answer many questions by the real `opa eval`, in one process."""
    opa = real_opa()

    def ask(data: Mapping[str, Any], questions: Sequence[Mapping[str, Any]]) -> list[Any]:
        bundle = tmp_path / "bundle"
        for name, text in policies.rego.items():
            (bundle / name).parent.mkdir(parents=True, exist_ok=True)
            (bundle / name).write_text(text, encoding="utf-8")
        (bundle / "data.json").write_bytes(orjson.dumps(data))
        query = (
            "[[i, decision] | some i, question in input;"
            " decision := data.tallygate.admission.decision with input as question]"
        )
        command = [str(opa.path), "eval", "-b", "bundle", "--strict-builtin-errors"]
        done = subprocess.run(
            [*command, "--stdin-input", "--format", "raw", query],
            input=orjson.dumps(list(questions)),
            cwd=tmp_path,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr.decode()[:2000] + done.stdout.decode()[:2000]
        answers = dict(json.loads(done.stdout))
        return [answers.get(index) for index in range(len(questions))]

    return ask


def compare(engine: EmbeddedEngine, expected: list[Any], questions: Sequence[Any]) -> None:
    assert len(expected) == len(questions)
    for question, decision in zip(questions, expected, strict=True):
        assert decision is not None, f"undefined in OPA: {question}"
        assert engine.decide(question) == decision, question


def test_cases_and_generated_questions_are_answered_as_opa_answers_them(
    embedded: EmbeddedEngine, policies: PolicySet, ask_opa: AskOpa
) -> None:
    questions = [
        {},
        *(case.question for case in CASES),
        *good_questions(policies.data),
        *generated_questions(policies.data, 600, seed=20261121),
    ]

    expected = ask_opa(policies.data, questions)

    compare(embedded, expected, questions)
    assert {decision["would_action"] for decision in expected} == {"admit", "quarantine", "reject"}
    assert any(entry["override"].startswith("bg-") for d in expected for entry in d["waived"])
    assert len({json.dumps(decision, sort_keys=True) for decision in expected}) > 100


def test_thousands_of_generated_questions_are_answered_alike_by_server_and_embedded_engine(
    embedded: EmbeddedEngine, server: AskedHere, policies: PolicySet
) -> None:
    questions = [*good_questions(policies.data), *generated_questions(policies.data, 3000, seed=5)]

    answers = server.decide_all(questions)

    assert server.revision == policies.revision
    compare(embedded, answers, questions)


VARIANTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no contract": lambda data: data.pop("contract"),
    "no registry": lambda data: data.pop("registry"),
    "no overrides": lambda data: data.pop("overrides"),
    "no break-glass": lambda data: data.pop("break_glass"),
    "break-glass for all": lambda data: data["break_glass"]["bg-support-outage"].update(
        services=list(data["registry"]["services"]), environments=["prod", "dev", None], fields=None
    ),
    "nothing required": lambda data: data["contract"]["required"].clear(),
    "no mode that can be read": lambda data: data["contract"].update(
        modes={"default": "enfroce"}, unbound={"mode": 7}
    ),
    "wrong types": lambda data: data["registry"].update(
        teams=[], services={"support-assistant": 7}, environments="prod"
    ),
    "unbound by service": lambda data: (
        data["contract"].update(unbound={"mode": "by_service", "services": ["billing-bot"]}),
        data["registry"].update(principals={}),
    ),
    "canaries everywhere": lambda data: [
        service.update(modes={"default": "enforce"}, canary={"default": 30, "prod": share})
        for service, share in zip(
            data["registry"]["services"].values(), [0, 10, 50, 100, "10", None, -1], strict=True
        )
    ],
    "canaries in every step": lambda data: [
        service.update(
            schedule=[
                {"from": "2026-01-01T00:00:00Z", "mode": "enforce", "canary": 30},
                {"from": "2026-06-01T00:00:00Z", "mode": "enforce", "percent": 50, "canary": 50},
                {"from": "2026-06-01T00:00:00Z", "mode": mode, "canary": share},
            ]
        )
        for service, mode, share in zip(
            data["registry"]["services"].values(),
            ["enforce", "report_only", "enfroce", None, "enforce", "enforce", "enforce"],
            [10, 0, 0, 0, "10", None, {}],
            strict=True,
        )
    ],
    "all quarantine": lambda data: [
        service.update(on_violation="quarantine", modes={"default": "enforce"})
        for service in data["registry"]["services"].values()
    ],
}


@pytest.mark.parametrize("name", VARIANTS)
def test_over_other_data_too_both_answer_alike(
    name: str, wasm: bytes, policies: PolicySet, ask_opa: AskOpa
) -> None:
    questions = [{}, *generated_questions(policies.data, 80, seed=len(name))]
    data = copy.deepcopy(dict(policies.data))
    VARIANTS[name](data)

    expected = ask_opa(data, questions)

    compare(EmbeddedEngine(wasm, data, "sha256:variant"), expected, questions)
