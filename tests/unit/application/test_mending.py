"""What would make a call pass: whatever is proposed has been admitted, and is so over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from contract.questions import generated_questions
from fakes.gate_requests import line_over, request_of
from fakes.lines import decided
from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import verify_compiled
from tallygate.adapters.files.policies import PolicyCase, PolicySet, read_cases, read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.application.asked import is_whole
from tallygate.application.changes import suppose
from tallygate.application.mending import Way, ways_to_pass
from tallygate.application.policy_places import Places
from tallygate.bootstrap.explaining import ExplainingFolder
from tallygate.domain.attribution.contract import contract_from_data, registry_from_data

CASES = read_cases(starter_policies())
REFUSED = [case for case in CASES if case.decision["would_action"] != "admit"]
BEYOND_HELP = {"canary-bucket-unreadable"}
"""A fault of the host's own: there is nothing that anybody could send or register."""
FILLED_IN = {"quarantine", "quarantine-model-not-allowed"}
"""Over HTTP the gate itself fills in the team that these lack."""


@pytest.fixture(scope="module")
def policies() -> PolicySet:
    return read_policies(starter_policies())


@pytest.fixture(scope="module")
def folder() -> Iterator[ExplainingFolder]:
    opened = ExplainingFolder(starter_policies())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def engine(policies: PolicySet) -> Iterator[EmbeddedEngine]:
    """Load another engine than the one that the ways were tried on."""
    wasm = verify_compiled(policies.rego, policies.wasm, policies.lock)
    opened = EmbeddedEngine(wasm, policies.data, policies.revision)
    yield opened
    opened.close()


def ways_of(folder: ExplainingFolder, question: Mapping[str, Any]) -> dict[str, Way]:
    data, places = folder.policies.data, Places(folder.policies.documents)
    return {way.by: way for way in ways_to_pass(question, data, places, folder.decide_over)}


def texts_of(way: Way) -> list[str]:
    return [change.text for change in way.changes]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_there_is_a_way_for_every_case_that_enforce_does_not_admit(
    folder: ExplainingFolder, case: PolicyCase
) -> None:
    ways = ways_of(folder, case.question)

    is_refused = case.decision["would_action"] != "admit"
    assert bool(ways) == (is_refused and case.name not in BEYOND_HELP)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_every_way_is_admitted_by_an_engine_that_has_its_data(
    folder: ExplainingFolder, policies: PolicySet, engine: EmbeddedEngine, case: PolicyCase
) -> None:
    contract = contract_from_data(policies.data["contract"])
    registry = registry_from_data(policies.data["registry"])

    for way in ways_of(folder, case.question).values():
        question, data = suppose(case.question, policies.data, way.changes, contract, registry)
        engine.put_data(data)

        decision = engine.decide(question)

        assert (decision["action"], decision["would_action"]) == ("admit", "admit")
        assert decision == way.then


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_the_caller_is_told_to_send_is_admitted_over_http(
    folder: ExplainingFolder, policies: PolicySet, engine: EmbeddedEngine, case: PolicyCase
) -> None:
    engine.put_data(policies.data)
    line = line_over(policies, engine, case.question)
    before = decided(line, request_of(case.question, line))
    way = ways_of(folder, case.question).get("caller")
    if way is None:
        assert case.name in BEYOND_HELP
        return

    sent = {change.about: change.sends for change in way.changes if change.sends is not None}
    after = decided(line, request_of(case.question, line, sent))

    if case.name not in FILLED_IN:
        assert before.decision.would_action == case.decision["would_action"]
    assert after.admitted
    assert after.decision.would_action == "admit"
    assert all(f"x-tallygate-{name.replace('_', '-')}" in str(texts_of(way)) for name in sent)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_no_change_of_a_way_could_be_left_out(
    folder: ExplainingFolder, policies: PolicySet, case: PolicyCase
) -> None:
    contract = contract_from_data(policies.data["contract"])
    registry = registry_from_data(policies.data["registry"])

    for way in ways_of(folder, case.question).values():
        for change in way.changes:
            others = [other for other in way.changes if other is not change]
            question, data = suppose(case.question, policies.data, others, contract, registry)

            assert folder.decide_over(question, data)["would_action"] != "admit"


def test_odd_questions_get_ways_that_are_admitted_or_none(
    folder: ExplainingFolder, policies: PolicySet
) -> None:
    found = 0
    for question in generated_questions(policies.data, 250, seed=5):
        if is_whole(question):
            for way in ways_of(folder, question).values():
                assert way.then["would_action"] == "admit"
                found += 1

    assert found > 100


def case_of(name: str) -> Mapping[str, Any]:
    return next(case.question for case in CASES if case.name == name)


def test_a_close_match_goes_before_what_merely_exists(folder: ExplainingFolder) -> None:
    way = ways_of(folder, case_of("team-unknown"))["caller"]

    assert texts_of(way) == ["send the header x-tallygate-owner-team: team-support"]


def test_one_of_several_fields_may_be_sent_instead(folder: ExplainingFolder) -> None:
    (text,) = texts_of(ways_of(folder, case_of("one-of-none"))["caller"])

    assert "the header x-tallygate-tenant-id-hash, matching ^hk" in text
    assert "the raw value in x-tallygate-tenant-id, which the gate hashes" in text
    assert text.endswith("or instead x-tallygate-user-id-hash")


def test_a_conflict_is_never_excused(folder: ExplainingFolder) -> None:
    ways = ways_of(folder, case_of("shared-principal-wrong"))

    assert set(ways) == {"caller", "registry"}
    assert ways["registry"].changes[0].entry is not None
    assert ways["registry"].changes[0].entry.where.endswith("litellm-team-platform.may_charge")


def test_an_override_names_what_it_would_excuse_and_how_to_ask_for_it(
    folder: ExplainingFolder,
) -> None:
    (change,) = ways_of(folder, case_of("field-missing"))["override"].changes

    assert change.command == (
        "tallygate override request --service support-assistant --code ownership_missing"
        " --field workflow_id --environment prod --expires 30d --by ROLE --approver finops-lead"
        " --reason WHY --ticket TICKET"
    )


def test_the_quarantine_owner_is_nobody_to_bill_by_name(folder: ExplainingFolder) -> None:
    (text,) = texts_of(ways_of(folder, case_of("unbound-would-reject"))["caller"])

    assert "team-support" in text
    assert "team-quarantine" not in text
