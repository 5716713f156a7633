# ruff: noqa: E501 - the table of faults reads in rows
from __future__ import annotations

from pathlib import Path

import pytest

from fakes.policy_folders import DOCUMENTS
from tallygate.adapters.files.rollout_plans import PLAN, read_plan, require_plan
from tallygate.adapters.files.strict_yaml import parse_yaml
from tallygate.application.rollout_check import check_plan
from tallygate.errors import PoliciesInvalid, Problem

NOW = "2027-01-10T10:00:00Z"
GOOD = """\
exceptions_approver: finops-lead
stages:
  observe:
    starts_at: "2026-11-01T00:00:00Z"
    ends_at: "2026-12-01T00:00:00Z"
    services: [support-assistant]
    gates:
      min_days: 14
      max_missing_field_rate: {overall: "2.0", fields: {workflow_id: 1}}
  pilot:
    starts_at: "2026-12-01T00:00:00Z"
    ends_at: "2026-12-31T00:00:00Z"
    services: []
    gates: {min_token_coverage: "98.5"}
  enforce:
    starts_at: "2026-12-31T00:00:00Z"
    ends_at: "2027-01-30T00:00:00Z"
    services: []
    gates: {max_days_without_review: 7}
reviews:
  - {date: "2027-01-04", held_by: finops-lead, ticket: FIN-1, notes: Nothing to do.}
"""


def check(text: str = GOOD) -> tuple[Problem, ...]:
    documents = {
        name: parse_yaml(content, f"policies/{name}/data.yaml")
        for name, content in DOCUMENTS.items()
    }
    return check_plan({**documents, "rollout": parse_yaml(text, str(PLAN))}, NOW)


def test_a_good_plan_has_no_problem() -> None:
    assert check() == ()


FAULTS = [
    # what stands there, what is put in its place, code, part of the message, severity
    ("services: [support-assistant]", "services: [suport-assistant]", "unknown_reference", "Did you mean support-assistant?", "error"),
    ("services: []", "services: [support-assistant]", "on_two_stages", "on the stage observe already", "error"),
    ('starts_at: "2026-12-01', 'starts_at: "2026-11-30', "dates_out_of_order", "pilot starts before observe ends", "error"),
    ('ends_at: "2026-12-01', 'ends_at: "2026-10-01', "dates_out_of_order", "the stage ends before it starts", "error"),
    ('ends_at: "2026-12-01', 'ends_at: "2026-11-31', "bad_instant", "is not an instant", "error"),
    ("min_days: 14", "min_days: 31", "gate_out_of_reach", "shorter than the 31 days", "error"),
    ("min_days: 14", "min_days: 13", "observed_too_briefly", "before it was observed for 14 days", "warning"),
    ("      min_days: 14\n", "", "observed_too_briefly", "before it was observed for 14 days", "warning"),
    ("{workflow_id: 1}", "{workflow: 1}", "unknown_reference", "Did you mean workflow_id?", "error"),
    ("{max_days_without_review: 7}", "{}", "review_not_asked", "nothing asks for the weekly review", "warning"),
    ("exceptions_approver: finops-lead", "exceptions_approver: finops", "not_an_approver", "Did you mean finops-lead?", "error"),
    ("held_by: finops-lead", "held_by: finops", "unknown_role", "names no role finops", "warning"),
    ('date: "2027-01-04"', 'date: "2027-01-11"', "review_to_come", "has not come yet", "error"),
    ('date: "2027-01-04"', 'date: "2027-02-30"', "bad_instant", "is not an instant", "error"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("part", "wrong", "code", "said", "severity"), FAULTS, ids=[f"{f[1]}"[:40] for f in FAULTS]
)
def test_a_fault_is_named_with_its_line(
    part: str, wrong: str, code: str, said: str, severity: str
) -> None:
    assert part in GOOD

    found = check(GOOD.replace(part, wrong, 1))

    problem = next(one for one in found if one.code == code)
    assert said in f"{problem.message} {problem.remedy}"
    assert problem.severity == severity
    assert problem.file == str(PLAN)
    assert (problem.line or 0) > 0


def test_reviews_stand_in_the_order_of_their_dates() -> None:
    earlier = GOOD + '  - {date: "2027-01-03", held_by: finops-lead}\n'

    (problem,) = check(earlier)

    assert problem.code == "dates_out_of_order"
    assert problem.line == earlier.count("\n")


def test_each_fault_in_the_plans_form_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / PLAN
    path.parent.mkdir()
    text = (
        GOOD.replace("min_token_coverage", "min_token_coverge")
        .replace('"2.0"', '"2.0 %"')
        .replace("min_days: 14", "min_days: fourteen")
        .replace('"2027-01-04"', '"4 Jan"')
    )
    path.write_text(text)

    with pytest.raises(PoliciesInvalid) as invalid:
        read_plan(tmp_path)

    shown = [str(problem) for problem in invalid.value.problems]
    assert [problem.line for problem in invalid.value.problems] == [8, 9, 14, 21]
    assert "fourteen stands here; expected a whole number" in shown[0]
    assert "Percent, 0 to 100" in shown[1]
    assert "Did you mean min_token_coverage?" in shown[2]


def test_a_percentage_that_readers_round_differently_has_to_be_quoted(tmp_path: Path) -> None:
    path = tmp_path / PLAN
    path.parent.mkdir()
    path.write_text(GOOD.replace('"98.5"', "98.5"))

    with pytest.raises(PoliciesInvalid, match=r'Quote it: "98\.5"'):
        read_plan(tmp_path)


def test_a_folder_may_have_no_plan_until_one_is_asked_for(tmp_path: Path) -> None:
    assert read_plan(tmp_path) is None
    with pytest.raises(PoliciesInvalid, match="tallygate rollout plan -o"):
        require_plan(tmp_path)
