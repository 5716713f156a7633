# ruff: noqa: E501 - the table of faults reads in rows
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.policy_folders import DOCUMENTS, REGISTRY
from tallygate.adapters.files.strict_yaml import Document, parse_yaml
from tallygate.application.policy_check import check_policies
from tallygate.errors import Problem

NOW = "2026-11-21T10:00:00Z"
MODES = "modes: {default: report_only, prod: enforce}"
SUPPORT = 'contact: "#support"'


def check(registry: str, contract: str = DOCUMENTS["contract"]) -> list[Problem]:
    texts = {**DOCUMENTS, "registry": registry, "contract": contract}
    documents = {name: parse_yaml(text, f"policies/{name}") for name, text in texts.items()}
    return list(check_policies(documents, NOW))


def steps(*several: str) -> str:
    return f"{MODES}\n    schedule: [{', '.join(several)}]"


DATE = 'from: "2026-12-01T00:00:00Z"'
FAULTS = [
    # what stands there, what is put in its place, code, severity, part of the message
    (SUPPORT, 'retired_at: "2026-06-30T00:00:00Z"', "retired_owner", "warning", "was retired at 2026-06-30"),
    (SUPPORT, 'retired_at: "2027-06-30T00:00:00Z"', "owner_retires", "warning", "will be retired at 2027-06-30"),
    (SUPPORT, 'retired_at: "2025-06-30T00:00:00Z"', "retired_before_start", "error", "begins at 2026-01-01"),
    ('from: "2026-01-01T00:00:00Z", cost_center: CC-1200', 'from: "2027-01-01T00:00:00Z", cost_center: CC-1200', "no_cost_center_yet", "warning", "until then have none"),
    (MODES, steps(f"{{{DATE}, mode: enforce}}", f"{{{DATE}, mode: report_only}}"), "schedule_step_dead", "warning", "strict one wins"),
    (MODES, steps(f"{{{DATE}, mode: enforce}}", f"{{{DATE}, mode: enforce, environment: prod}}"), "schedule_step_dead", "warning", "covers all that it covers"),
    (MODES, steps(f"{{{DATE}, mode: enforce, percent: 5}}", f"{{{DATE}, mode: enforce, percent: 5}}"), "schedule_step_dead", "warning", "covers all that it covers"),
    (MODES, steps(f"{{{DATE}, mode: enforce, percent: 0}}"), "schedule_step_dead", "warning", "its percent is 0"),
    (MODES, steps(f"{{{DATE}, mode: enforce}}") + '\n    retired_at: "2026-12-01T00:00:00Z"', "schedule_step_dead", "warning", "the service ends before"),
    ("{team: team-support, services: [support-assistant], environments: [prod]}", "{team: team-platform}", "principal_without_service", "warning", "own no service"),
    ("model_groups: {frontier", "model_groups: {other", "reserved_name", "error", "Give the group another name"),
    ("quarantine: {", "own_calls: {owner_team: team-nobody}\nquarantine: {", "unknown_reference", "error", "team-nobody"),
    ("quarantine: {", "own_calls: {owner_team: team-platform, service: nothing}\nquarantine: {", "unknown_reference", "error", "there is no service nothing"),
    ("quarantine: {", "own_calls: {owner_team: team-platform, featur: x}\nquarantine: {", "unknown_reference", "error", "Did you mean feature?"),
    ("quarantine: {", 'values: {region: {emea: {retired_at: "2026-02-31T00:00:00Z"}}}\nquarantine: {', "bad_instant", "error", "2026-02-31"),
    ("features: {ticket-triage: {}}", 'features: {ticket-triage: {retired_at: "2027-02-01T00:00:00Z"}}', "retired_reference", "warning", "will be retired at 2027-02-01"),
    ("defaults: {feature: ticket-triage}", "defaults: {workflow_id: Jane Doe}", "value_malformed", "error", "does not match the pattern of workflow_id"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "code", "severity", "part"), FAULTS, ids=[f"{c[2]}: {c[4]}" for c in FAULTS]
)
def test_each_fault_of_time_and_reach_is_found(
    old: str, new: str, code: str, severity: str, part: str
) -> None:
    assert old in REGISTRY

    found = [p for p in check(REGISTRY.replace(old, new, 1)) if p.code == code]

    assert [p.severity for p in found] == [severity]
    assert part in str(found[0])
    assert found[0].line


FINE = [
    pytest.param(MODES, steps(f"{{{DATE}, mode: enforce, percent: 5}}", f"{{{DATE}, mode: report_only}}"), id="a share is strict and the rest is not"),
    pytest.param(MODES, steps(f"{{{DATE}, mode: enforce, environment: prod}}", f"{{{DATE}, mode: report_only, environment: staging}}"), id="two environments"),
    pytest.param(MODES, steps(f"{{{DATE}, mode: enforce}}", '{from: "2027-01-01T00:00:00Z", mode: report_only}'), id="one after the other"),
    pytest.param("model_groups: [standard]}", "model_groups: [standard, other]}", id="models in no group may be quarantined"),
    pytest.param("{team: team-support, services: [support-assistant], environments: [prod]}", "{team: team-platform, may_charge: [team-support]}", id="a shared principal"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), FINE)
def test_what_is_meant_is_no_fault(old: str, new: str) -> None:
    assert old in REGISTRY

    assert check(REGISTRY.replace(old, new, 1)) == []


def test_a_service_that_ends_with_its_team_is_in_order() -> None:
    end = 'retired_at: "2027-06-30T00:00:00Z"'
    registry = REGISTRY.replace(SUPPORT, end).replace(MODES, f"{MODES}\n    {end}")

    assert check(registry) == []


@pytest.mark.parametrize("pattern", ["^.*$", "^.+@.+$", "^[A-Za-z ]+$", "^\\\\S+$"])
def test_a_pattern_that_admits_people_is_found(pattern: str) -> None:
    contract = DOCUMENTS["contract"].replace("^[a-z0-9-]{1,64}$", pattern)

    (problem,) = check(REGISTRY, contract)

    assert (problem.code, problem.where) == (
        "pattern_admits_person",
        "fields.workflow_id.pattern",
    )


_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 500), st.sampled_from(["", "x", NOW])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(data=st.data(), value=_VALUES)
def test_no_shape_of_data_stops_the_check(data: st.DataObject, value: object) -> None:
    """References are checked also where the schema objects, so any shape may come."""
    documents = {name: parse_yaml(text, name) for name, text in DOCUMENTS.items()}
    name = data.draw(st.sampled_from(sorted(documents)))
    path = data.draw(st.sampled_from(sorted(documents[name].marks, key=str)))
    changed = Document(name, replaced(documents[name].value, path, value), documents[name].marks)

    for problem in check_policies({**documents, name: changed}, NOW):
        assert problem.message


def replaced(tree: object, path: tuple[str | int, ...], value: object) -> object:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(tree, dict):
        return {**tree, step: replaced(tree[step], rest, value)}
    assert isinstance(tree, list)
    return [replaced(one, rest, value) if at == step else one for at, one in enumerate(tree)]
