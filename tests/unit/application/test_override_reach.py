from __future__ import annotations

import pytest

from fakes.policy_folders import CONTRACT, DOCUMENTS, OVERRIDES
from tallygate.adapters.files.strict_yaml import parse_yaml
from tallygate.application.policy_check import check_policies
from tallygate.errors import Problem

NOW = "2026-11-21T10:00:00Z"
ALL_CODES = "[ownership_missing, ownership_unknown, ownership_retired, ownership_malformed]"
SECOND = """\
  ovr-2026-0008:
    codes: [ownership_missing]
    fields: [workflow_id]
    starts_at: "2026-11-01T00:00:00Z"
    expires_at: "2026-12-31T00:00:00Z"
    requested_by: support-lead
    approved_by: finops-lead
    reason: The old client cannot send it yet.
    ticket: SUP-8
"""


def check(now: str = NOW, **changed: str) -> list[Problem]:
    documents = {
        name: parse_yaml(text, f"policies/{name}/data.yaml")
        for name, text in {**DOCUMENTS, **changed}.items()
    }
    return list(check_policies(documents, now))


def codes(problems: list[Problem]) -> list[str]:
    return [problem.code for problem in problems]


def overriding(fields: str, codes_: str = "[ownership_missing]", scope: str = "[prod]") -> str:
    return (
        OVERRIDES.replace("[workflow_id]", fields)
        .replace("[ownership_missing]", codes_)
        .replace("environments: [prod]", f"environments: {scope}" if scope else "")
    )


@pytest.mark.parametrize(
    ("fields", "of_codes", "scope"),
    [
        pytest.param("[tenant_id_hash]", "[ownership_missing]", "[prod]", id="never required"),
        pytest.param("[workflow_id]", "[ownership_missing]", "[staging]", id="not required there"),
        pytest.param("[feature]", "[ownership_missing]", "", id="optional everywhere"),
        pytest.param("[workflow_id]", "[ownership_unknown]", "[prod]", id="not a vocabulary"),
        pytest.param("[service]", "[ownership_missing]", "", id="found by the service"),
        pytest.param("[environment]", "[ownership_missing]", "[prod]", id="outside its scope"),
    ],
)
def test_a_field_that_no_violation_can_concern_is_found(
    fields: str, of_codes: str, scope: str
) -> None:
    found = check(overrides=overriding(fields, of_codes, scope))

    assert "override_unused_field" in codes(found)
    problem = found[codes(found).index("override_unused_field")]
    assert problem.severity == "error"
    assert problem.where == "support-assistant.ovr-2026-0007.fields.0"


@pytest.mark.parametrize(
    ("fields", "of_codes", "scope"),
    [
        pytest.param("[workflow_id]", "[ownership_missing]", "", id="required in one of them"),
        pytest.param("[feature]", "[ownership_retired]", "", id="optional, and may be retired"),
        pytest.param("[tenant_id_hash]", "[ownership_malformed]", "", id="any may be malformed"),
        pytest.param("[environment]", "[ownership_missing]", "", id="without a scope"),
        pytest.param("[service]", "[ownership_retired]", "", id="the service itself retires"),
    ],
)
def test_a_field_that_a_violation_can_concern_is_in_order(
    fields: str, of_codes: str, scope: str
) -> None:
    assert check(overrides=overriding(fields, of_codes, scope)) == []


def test_the_first_field_of_a_group_can_be_missing_and_the_others_cannot() -> None:
    group = "one_of: [{fields: [tenant_id_hash, feature], environments: [prod]}]"
    contract = CONTRACT.replace("one_of: []", group)

    first = check(contract=contract, overrides=overriding("[tenant_id_hash]"))
    other = check(contract=contract, overrides=overriding("[feature]"))

    assert first == []
    assert codes(other) == ["override_unused_field"]


def test_a_code_that_cannot_occur_on_any_of_the_fields_is_a_warning() -> None:
    (problem,) = check(
        overrides=overriding("[workflow_id]", "[ownership_missing, ownership_unknown]")
    )

    assert (problem.code, problem.severity) == ("override_unused_code", "warning")
    assert problem.where == "support-assistant.ovr-2026-0007.codes.1"


def test_what_has_expired_may_stay_as_it_was() -> None:
    found = check(now="2027-06-01T00:00:00Z", overrides=overriding("[tenant_id_hash]"))

    assert codes(found) == ["override_expired", "break_glass_expired"]


@pytest.mark.parametrize(
    ("fields", "of_codes", "scope"),
    [
        pytest.param(
            "[owner_team, service, environment, workflow_id]", ALL_CODES, "", id="all and all"
        ),
        pytest.param("[owner_team, environment]", ALL_CODES, "", id="all that staging asks"),
        pytest.param(
            "[owner_team, workflow_id]", "[ownership_missing]", "[prod]", id="nothing said"
        ),
    ],
)
def test_an_override_after_which_nothing_is_asked_is_found(
    fields: str, of_codes: str, scope: str
) -> None:
    found = check(overrides=overriding(fields, of_codes, scope))

    told = [problem for problem in found if problem.code == "override_excuses_everything"]
    assert len(told) == 1
    assert told[0].severity == "error"
    assert told[0].where == "support-assistant.ovr-2026-0007.fields"


def test_two_overrides_that_excuse_everything_together_are_found_once() -> None:
    overrides = overriding("[owner_team]", scope="[prod]") + SECOND.replace(
        "starts_at", "environments: [prod]\n    starts_at"
    )

    (problem,) = check(overrides=overrides)

    assert problem.code == "override_excuses_everything"
    assert "together with ovr-2026-0008" in problem.message


def test_two_overrides_one_after_the_other_excuse_nothing_together() -> None:
    later = SECOND.replace("2026-12-31", "2027-01-31").replace("2026-11-01", "2026-12-31")
    overrides = overriding("[owner_team]") + later

    assert check(overrides=overrides) == []


def test_two_overrides_of_one_thing_at_one_time_are_found() -> None:
    (problem,) = check(overrides=OVERRIDES + SECOND)

    assert (problem.code, problem.severity) == ("override_overlaps", "warning")
    assert "ovr-2026-0007 excuses ownership_missing on workflow_id" in problem.message


def test_an_override_that_begins_when_the_other_ends_does_not_overlap() -> None:
    later = SECOND.replace("2026-12-31", "2027-01-31").replace("2026-11-01", "2026-12-31")

    assert check(overrides=OVERRIDES + later) == []


def test_overrides_without_a_longest_term_are_told_of_at_the_contract() -> None:
    contract = CONTRACT.replace("overrides: {max_days: 90}\n", "")

    (problem,) = check(contract=contract)

    assert (problem.code, problem.file) == ("no_override_limit", "policies/contract/data.yaml")
    assert check(contract=contract, overrides="{}") == []
