"""Every part of a decision is traced to the line of the shipped policies that it came from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from contract.questions import generated_questions
from tallygate.adapters.files.policies import PolicyCase, read_cases
from tallygate.adapters.files.starter import starter_policies
from tallygate.application.explanation import Explanation, Part, Rules, explain
from tallygate.application.policy_places import DataEntry, Places
from tallygate.bootstrap.explaining import ExplainingFolder

POLICIES = starter_policies()
CASES = {case.name: case for case in read_cases(POLICIES)}
UNTOLD = Rules((), are_those_that_fired=False, told_by="nobody")


@pytest.fixture(scope="module")
def folder() -> Iterator[ExplainingFolder]:
    opened = ExplainingFolder(POLICIES)
    yield opened
    opened.close()


Explained = Callable[..., Explanation]


@pytest.fixture(scope="module")
def explained(folder: ExplainingFolder) -> Explained:
    """Explain a case, or a case with some parts changed, without asking opa."""

    def explained_case(name: str, **changes: Any) -> Explanation:
        question = copy.deepcopy(dict(CASES[name].question))
        for part, value in changes.items():
            question[part] = {**question[part], **value} if isinstance(value, dict) else value
        decision = folder.decide(question)
        return explain(question, decision, Places(folder.policies.documents), UNTOLD)

    return explained_case


def place_of(document: str, *texts: str) -> str:
    """Find `file:line:column` of the last text, looking for each one behind the one before."""
    path = POLICIES / document / "data.yaml"
    content = path.read_text(encoding="utf-8")
    at = 0
    for text in texts:
        at = content.index(text, at)
        end = at + len(text)
        start, at = at, end
    line = content.count("\n", 0, start) + 1
    return f"{path}:{line}:{start - content.rfind(chr(10), 0, start)}"


def shown(entry: DataEntry) -> str:
    return f"{entry.file}:{entry.line}:{entry.column}"


def part_of(explanation: Explanation, code: str, name: str) -> Part:
    parts = (*explanation.violations, *explanation.waived, *explanation.notices)
    return next(part for part in parts if (part.code, part.subject) == (code, name))


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_every_case_is_explained_as_it_was_decided(
    folder: ExplainingFolder, case: PolicyCase
) -> None:
    decision = folder.decide(case.question)
    explanation = explain(case.question, decision, Places(folder.policies.documents), UNTOLD)

    assert explanation.decision == case.decision
    assert [(part.code, part.subject) for part in explanation.violations] == [
        (item["code"], item["field"]) for item in case.decision["violations"]
    ]
    assert all(part.entries for part in (*explanation.violations, *explanation.waived))
    assert explanation.mode.entries or case.decision["mode_source"] == "fallback"
    assert explanation.payer.entries or not case.decision["ownership"]
    assert explanation.validity.entries or case.decision["valid_until"].startswith("9999")


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_every_entry_is_where_it_says_it_is(folder: ExplainingFolder, case: PolicyCase) -> None:
    decision = folder.decide(case.question)
    explanation = explain(case.question, decision, Places(folder.policies.documents), UNTOLD)
    parts = (explanation.mode, explanation.payer, explanation.validity, *explanation.violations)
    lines = {path: path.read_text().splitlines() for path in POLICIES.glob("*/data.yaml")}

    for entry in (entry for part in parts for entry in part.entries):
        line = lines[Path(entry.file)][entry.line - 1]
        text = line[entry.column - 1 :]
        is_item = entry.where.rpartition(".")[2].isdigit()
        assert text.startswith(entry.value or "" if is_item else entry.where.rpartition(".")[2])
        assert entry.value is None or entry.value in line


# Each kind of violation.


@pytest.mark.parametrize(
    ("case", "code", "field", "places"),
    [
        pytest.param(
            "nothing-said",
            "ownership_missing",
            "service",
            [("contract", "required:", "default: [", "service")],
            id="required of all",
        ),
        pytest.param(
            "field-missing",
            "ownership_missing",
            "workflow_id",
            [("contract", "required:", "prod: [", "workflow_id")],
            id="required in an environment",
        ),
        pytest.param(
            "service-asks-for-more",
            "ownership_missing",
            "initiator",
            [("contract", "required:", "batch-summaries: [", "initiator")],
            id="required of a service",
        ),
        pytest.param(
            "one-of-none",
            "ownership_missing",
            "tenant_id_hash",
            [("contract", "one_of:", "fields")],
            id="one of several",
        ),
        pytest.param(
            "value-unknown",
            "ownership_unknown",
            "feature",
            [("registry", "features"), ("registry", "\nfeatures:", "ticket-triage")],
            id="not in the registry, with a close match",
        ),
        pytest.param(
            "service-unknown",
            "ownership_unknown",
            "service",
            [("registry", "services:\n"), ("registry", "services:\n", "support-assistant")],
            id="a service that nobody registered",
        ),
        pytest.param(
            "feature-the-second-it-retires",
            "ownership_retired",
            "feature",
            [("registry", "canned-replies: {", "retired_at")],
            id="retired",
        ),
        pytest.param(
            "workflow-is-an-email",
            "ownership_malformed",
            "workflow_id",
            [("contract", "  workflow_id:", 'pattern: "')],
            id="does not match",
        ),
        pytest.param(
            "user-hash-is-an-email",
            "ownership_malformed",
            "user_id_hash",
            [("contract", "  user_id_hash:", 'pattern: "')],
            id="not accepted",
        ),
        pytest.param(
            "two-values-for-one-field",
            "ownership_conflict",
            "feature",
            [("contract", "fields:\n", "feature")],
            id="two values",
        ),
        pytest.param(
            "shared-principal-wrong",
            "ownership_conflict",
            "owner_team",
            [
                ("registry", "litellm-team-platform: {", "team"),
                ("registry", "litellm-team-platform: {", "may_charge"),
                ("registry", "team-finance"),
            ],
            id="another team",
        ),
        pytest.param(
            "service-of-another-team",
            "ownership_conflict",
            "service",
            [
                ("registry", "litellm-team-support: {", "team"),
                ("registry", "  billing-bot:\n", "owner_team"),
            ],
            id="another team's service",
        ),
        pytest.param(
            "environment-outside-the-binding",
            "ownership_conflict",
            "environment",
            [
                ("registry", "litellm-team-research: {", "environments"),
                ("registry", "\nenvironments:", "prod"),
            ],
            id="another environment",
        ),
    ],
)
def test_a_violation_is_traced_to_what_asks_for_it(
    explained: Explained, case: str, code: str, field: str, places: list[tuple[str, ...]]
) -> None:
    part = part_of(explained(case), code, field)

    assert [shown(entry) for entry in part.entries] == [place_of(*place) for place in places]


def test_a_service_that_a_key_may_not_name_is_traced_to_its_list(explained: Explained) -> None:
    explanation = explained("key-goes-before-team", ownership={"service": "support-assistant"})

    part = part_of(explanation, "ownership_conflict", "service")

    assert [shown(entry) for entry in part.entries] == [
        place_of("registry", "keys:\n", "services"),
        place_of("registry", "  support-assistant:\n", "owner_team"),
    ]
    assert part.entries[0].says == "allowed: batch-summaries"


def test_unreadable_baggage_is_traced_to_the_limits(explained: Explained) -> None:
    explanation = explained("complete-call", malformed=["baggage"])

    part = part_of(explanation, "ownership_malformed", "baggage")

    assert [shown(entry) for entry in part.entries] == [place_of("contract", "\n", "limits")]


def test_a_value_that_the_gate_did_not_take_is_traced_to_its_field(explained: Explained) -> None:
    explanation = explained("complete-call", malformed=["service"])

    part = part_of(explanation, "ownership_malformed", "service")

    assert shown(part.entries[0]) == place_of("contract", "fields:\n", "service")
    assert part.entries[1].where == "limits.value_chars"


# Where the mode comes from.


@pytest.mark.parametrize(
    ("case", "source", "places"),
    [
        pytest.param(
            "complete-call",
            "service_environment",
            [("registry", "  support-assistant:\n", "prod")],
            id="the service's environment",
        ),
        pytest.param(
            "report-only-would-reject",
            "service",
            [("registry", "  support-assistant:\n", "default")],
            id="the service's default",
        ),
        pytest.param(
            "schedule-in-the-share",
            "schedule",
            [("registry", "2026-12-01T00:00:00Z", "mode")],
            id="a step of the schedule",
        ),
        pytest.param(
            "schedule-last-step",
            "schedule",
            [("registry", "2027-01-15T00:00:00Z", "mode")],
            id="the last step",
        ),
        pytest.param(
            "canary-out-of-the-share",
            "canary",
            [
                ("registry", "  query-rewriter:\n", "prod"),
                ("registry", "  query-rewriter:\n", "canary", "prod"),
            ],
            id="a canary",
        ),
        pytest.param(
            "canary-grown",
            "schedule",
            [
                ("registry", "2027-01-11T00:00:00Z", "mode"),
                ("registry", "2027-01-11T00:00:00Z", "canary"),
            ],
            id="a step's canary",
        ),
        pytest.param("unbound", "unbound", [("contract", "unbound:\n", "mode")], id="unbound"),
        pytest.param(
            "service-unknown",
            "strictest",
            [
                ("registry", "  support-assistant:\n", "prod"),
                ("registry", "  batch-summaries:\n", "default"),
            ],
            id="the strictest",
        ),
    ],
)
def test_the_mode_is_traced_to_its_entry(
    explained: Explained, case: str, source: str, places: list[tuple[str, ...]]
) -> None:
    mode = explained(case).mode

    assert mode.code == source
    assert [shown(entry) for entry in mode.entries] == [place_of(*place) for place in places]


# Overrides, payers, instants, fields.


def test_an_override_is_traced_to_its_entry_and_its_end(explained: Explained) -> None:
    (part,) = explained("override-active").waived

    assert [shown(entry) for entry in part.entries] == [
        place_of("contract", "one_of:", "fields"),
        place_of("overrides", "ovr-2026-0007"),
        place_of("overrides", "ovr-2026-0007", "expires_at"),
    ]


def test_an_expired_override_is_traced_to_its_end(explained: Explained) -> None:
    part = part_of(explained("override-expired"), "override_expired", "ovr-2026-0003")

    assert [shown(entry) for entry in part.entries] == [
        place_of("overrides", "ovr-2026-0003", "expires_at")
    ]


@pytest.mark.parametrize(
    ("case", "places"),
    [
        pytest.param(
            "cost-center-of-that-day",
            [("registry", "team-finance"), ("registry", "2027-01-01T00:00:00Z", "cost_center")],
            id="the claimed team",
        ),
        pytest.param(
            "team-unknown",
            [
                ("registry", "litellm-team-support: {", "team"),
                ("registry", "team-support", "from", "cost_center"),
            ],
            id="the principal's team",
        ),
        pytest.param(
            "quarantine",
            [
                ("registry", "\nquarantine:", "owner_team"),
                ("registry", "  team-quarantine:\n", "from", "cost_center"),
            ],
            id="the quarantine owner",
        ),
        pytest.param("unbound-would-reject", [], id="nobody"),
    ],
)
def test_the_payer_is_traced_to_the_team_and_its_cost_center(
    explained: Explained, case: str, places: list[tuple[str, ...]]
) -> None:
    entries = explained(case).payer.entries

    assert [shown(entry) for entry in entries] == [place_of(*place) for place in places]


@pytest.mark.parametrize(
    ("case", "places"),
    [
        pytest.param(
            "override-active", [("overrides", "ovr-2026-0007", "expires_at")], id="an override"
        ),
        pytest.param(
            "feature-before-it-retires",
            [("registry", "canned-replies: {", "retired_at")],
            id="the end of a value",
        ),
        pytest.param(
            "canary-in-the-share",
            [("registry", "  query-rewriter:\n", "schedule:", "from")],
            id="a step",
        ),
        pytest.param(
            "one-of-none",
            [("registry", "  team-finance:\n", "CC-3300", "- {", "from")],
            id="a cost center",
        ),
    ],
)
def test_the_end_of_the_answer_is_traced_to_its_instant(
    explained: Explained, case: str, places: list[tuple[str, ...]]
) -> None:
    entries = explained(case).validity.entries

    assert [shown(entry) for entry in entries] == [place_of(*place) for place in places]


def test_a_field_tells_who_filled_it_in_and_who_asks_for_it(explained: Explained) -> None:
    explanation = explained(
        "complete-call", sources={"feature": "default", "owner_team": "binding"}
    )
    fields = {field.name: field for field in explanation.fields}

    default, bound = fields["feature"].filled_by, fields["owner_team"].filled_by
    assert default is not None
    assert shown(default) == place_of(
        "registry", "  support-assistant:\n", "defaults: {", "feature"
    )
    assert bound is not None
    assert shown(bound) == place_of("registry", "litellm-team-support: {", "team")
    assert [shown(entry) for entry in fields["feature"].required_by] == [
        place_of("contract", "required:", "prod: [", "feature")
    ]


def test_an_identifier_is_told_by_its_shape_alone(explained: Explained) -> None:
    fields = {field.name: field for field in explained("conflict-is-not-waivable").fields}

    assert (fields["tenant_id_hash"].value, fields["tenant_id_hash"].state) == (
        None,
        "conflicting",
    )


def test_no_question_is_too_odd_to_be_explained(folder: ExplainingFolder) -> None:
    places = Places(folder.policies.documents)
    questions: list[Mapping[str, Any]] = [
        {},
        *generated_questions(folder.policies.data, 300, seed=11),
    ]

    for question in questions:
        explanation = explain(question, folder.decide(question), places, UNTOLD)

        for part in explanation.violations:
            assert part.entries, (part, question)
            assert "only its Rego" not in part.sentence


def test_what_only_the_rego_knows_is_said_to_be_so(folder: ExplainingFolder) -> None:
    case = CASES["complete-call"]
    decision = {
        **case.decision,
        "mode_source": "moon",
        "violations": [{"code": "too_late", "field": "service"}],
    }

    explanation = explain(case.question, decision, Places(folder.policies.documents), UNTOLD)

    assert "only its Rego" in explanation.mode.sentence
    assert "only its Rego" in explanation.violations[0].sentence
    assert explanation.violations[0].entries == ()
