from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.engines import ADMIT
from tallygate.domain.policy.decision import (
    Action,
    Decision,
    Mode,
    Notice,
    Violation,
    Waived,
    decision_from_answer,
)
from tallygate.errors import EngineFailed

FULL = {
    "action": "quarantine",
    "would_action": "reject",
    "mode": "report_only",
    "mode_source": "schedule",
    "violations": [{"code": "ownership_missing", "field": "feature"}],
    "waived": [{"code": "ownership_unknown", "field": "service", "override": "ovr-1"}],
    "notices": [{"code": "override_expired", "subject": "ovr-2"}],
    "ownership": {"owner_team": "team-a", "cost_center": "CC-1"},
    "valid_until": "2026-12-01T00:00:00Z",
}
parts = sorted(FULL)


def test_every_part_of_an_answer_is_read() -> None:
    assert decision_from_answer(FULL) == Decision(
        action=Action.QUARANTINE,
        would_action=Action.REJECT,
        mode=Mode.REPORT_ONLY,
        mode_source="schedule",
        violations=(Violation("ownership_missing", "feature"),),
        waived=(Waived("ownership_unknown", "service", "ovr-1"),),
        notices=(Notice("override_expired", "ovr-2"),),
        ownership={"owner_team": "team-a", "cost_center": "CC-1"},
        valid_until="2026-12-01T00:00:00Z",
    )


def test_any_mapping_is_an_object() -> None:
    assert decision_from_answer(MappingProxyType(ADMIT)).action is Action.ADMIT


@pytest.mark.parametrize(
    ("action", "admitted"),
    [("admit", True), ("quarantine", True), ("reject", False)],
)
def test_only_a_rejection_does_not_pass(action: str, admitted: bool) -> None:
    assert decision_from_answer({**FULL, "action": action}).admitted is admitted


@pytest.mark.parametrize("missing", parts)
def test_an_answer_without_one_of_its_parts_is_no_answer(missing: str) -> None:
    answer = {name: part for name, part in FULL.items() if name != missing}

    with pytest.raises(EngineFailed, match=missing):
        decision_from_answer(answer)


@pytest.mark.parametrize("part", parts)
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="null"),
        pytest.param(17, id="a number"),
        pytest.param(True, id="a truth value"),
        pytest.param([None], id="a list of null"),
        pytest.param(["text"], id="a list of text"),
        pytest.param([{}], id="a list of an empty object"),
        pytest.param([{"code": 1, "field": 2, "override": 3, "subject": 4}], id="numbers inside"),
        pytest.param({"owner_team": 7}, id="an object of numbers"),
    ],
)
def test_a_part_of_another_type_is_no_answer(part: str, value: object) -> None:
    with pytest.raises(EngineFailed):
        decision_from_answer({**FULL, part: value})


@pytest.mark.parametrize("part", ["violations", "waived", "notices"])
@pytest.mark.parametrize(
    "value",
    [pytest.param("", id="empty text"), pytest.param({}, id="an empty object")],
)
def test_what_is_empty_but_no_list_is_no_answer(part: str, value: object) -> None:
    with pytest.raises(EngineFailed):
        decision_from_answer({**FULL, part: value})


@pytest.mark.parametrize(
    ("part", "value"),
    [
        pytest.param("action", "ADMIT", id="upper case"),
        pytest.param("action", "allow", id="an action that is not one"),
        pytest.param("would_action", "", id="an empty action"),
        pytest.param("mode", "audit", id="a mode that is not one"),
    ],
)
def test_what_is_not_on_the_closed_lists_is_no_answer(part: str, value: str) -> None:
    with pytest.raises(EngineFailed, match="cannot be read"):
        decision_from_answer({**FULL, part: value})


@pytest.mark.parametrize("answer", [None, [], "admit", True, 1, [FULL]])
def test_what_is_no_object_is_no_answer(answer: object) -> None:
    with pytest.raises(EngineFailed, match="not an object"):
        decision_from_answer(answer)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["admit"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["code", "field", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(changed=st.dictionaries(st.sampled_from(parts), json_values, max_size=3))
def test_whatever_an_engine_answers_it_is_a_decision_or_no_answer(
    changed: Mapping[str, Any],
) -> None:
    answer = {**FULL, **changed}
    try:
        decision = decision_from_answer(answer)
    except EngineFailed:
        return

    assert decision.action == answer["action"]
    assert decision.mode == answer["mode"]
    assert len(decision.violations) == len(answer["violations"])
