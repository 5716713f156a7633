"""A line of the ledger is enough to ask again; what it does not know is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from fakes.entries import an_attempt, an_outcome, no_charge
from fakes.gate_requests import line_over, request_of
from fakes.ledger import FakeLedger
from fakes.lines import decided, events_in
from tallygate.adapters.files.policies import PolicyCase, read_cases
from tallygate.adapters.files.starter import starter_policies
from tallygate.application.ports import EventFilter
from tallygate.application.recorded_decision import RecordedDecision, decision_from_row
from tallygate.bootstrap.explaining import ExplainingFolder
from tallygate.domain.attribution.contract import contract_from_data, registry_from_data
from tallygate.domain.ledger.events import Entry
from tallygate.errors import EngineFailed

CASES = {case.name: case for case in read_cases(starter_policies())}


class Asking:
    """The engine of a folder, as the gate asks it; it remembers the last question."""

    def __init__(self, folder: ExplainingFolder) -> None:
        self.folder = folder
        self.asked: Mapping[str, Any] = {}
        self.is_down = False

    @property
    def revision(self) -> str:
        return self.folder.policies.revision

    def decide(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.is_down:
            raise EngineFailed("down")
        self.asked = question
        return self.folder.decide(question)


@pytest.fixture(scope="module")
def asking() -> Iterator[Asking]:
    folder = ExplainingFolder(starter_policies())
    yield Asking(folder)
    folder.close()


def row_of(asking: Asking, case: PolicyCase) -> Mapping[str, Any]:
    """Put the case's call through the gate, and book what it wrote."""
    line = line_over(asking.folder.policies, asking, case.question)
    admission = decided(line, request_of(case.question, line))
    if admission.admitted:
        groups = line.policy.registry.model_groups
        wanted = case.question["call"]["model_group"]
        model = next((name for name, group in groups.items() if group == wanted), "unheard-of")
        event = line.open(admission, an_attempt(request_model=model, model_group=model))
        event = replace(event, outcome=an_outcome())
    else:
        (event,) = events_in(line)
    ledger = FakeLedger()
    ledger.append([Entry(event, no_charge())])
    return next(iter(ledger.rows(EventFilter())))


def read(asking: Asking, row: Mapping[str, Any]) -> RecordedDecision:
    data = asking.folder.policies.data
    return decision_from_row(
        row, None, contract_from_data(data["contract"]), registry_from_data(data["registry"])
    )


@pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if case.question.get("call_bucket", 0) < 100],
    ids=lambda case: case.name,
)
def test_the_question_that_a_line_gives_is_decided_as_it_was(
    asking: Asking, case: PolicyCase
) -> None:
    recorded = read(asking, row_of(asking, case))

    again = asking.folder.decide(recorded.question)

    assert recorded.differences(again) == ()
    assert recorded.gaps is not None
    assert recorded.revision == asking.folder.policies.revision
    assert recorded.decided_at == case.question["now"]


def test_a_value_that_was_not_kept_is_named_and_not_guessed(asking: Asking) -> None:
    recorded = read(asking, row_of(asking, CASES["value-unknown"]))

    assert recorded.question["ownership"]["feature"] == "?"
    assert recorded.gaps is not None
    assert recorded.gaps[0] == "the values of feature, which the policy did not accept"
    assert CASES["value-unknown"].question["ownership"]["feature"] not in str(recorded)


def test_a_refused_call_has_no_model(asking: Asking) -> None:
    refused = read(asking, row_of(asking, CASES["field-missing"]))
    admitted = read(asking, row_of(asking, CASES["complete-call"]))

    assert refused.gaps is not None
    assert "the model, for the call was not sent" in refused.gaps
    assert refused.question["call"]["model_group"] == "other"
    assert admitted.question["call"]["model_group"] == "standard"


def test_a_recorded_question_is_taken_as_it_is(asking: Asking) -> None:
    data = asking.folder.policies.data
    row = row_of(asking, CASES["complete-call"])

    recorded = decision_from_row(
        row,
        CASES["complete-call"].question,
        contract_from_data(data["contract"]),
        registry_from_data(data["registry"]),
    )

    assert recorded.question == CASES["complete-call"].question
    assert recorded.gaps is None


def test_what_differs_is_named(asking: Asking) -> None:
    recorded = read(asking, row_of(asking, CASES["field-missing"]))

    differing = recorded.differences(
        {**recorded.decision, "action": "admit", "violations": [], "valid_until": "whenever"}
    )

    assert differing == ("action", "violations")


def test_a_blind_decision_is_told_by_its_status(asking: Asking) -> None:
    asking.is_down = True
    row = row_of(asking, CASES["complete-call"])
    asking.is_down = False

    recorded = read(asking, row)

    assert (recorded.status, recorded.decision["mode_source"]) == ("unavailable", "blind")
    assert "mode_source" in recorded.differences(asking.folder.decide(recorded.question))
