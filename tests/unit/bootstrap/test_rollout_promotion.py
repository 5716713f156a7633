from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from tallygate.adapters.files.starter import starter_policies
from tallygate.adapters.files.yaml_edits import Edit, Insert, Put, Remove, read_text
from tallygate.application.rollout_promotion import Promotion
from tallygate.bootstrap import rollout_promotion
from tallygate.bootstrap.policies import check_folder
from tallygate.bootstrap.rollout_promotion import (
    PLAN,
    REGISTRY,
    prepare_promotion,
    registry_edits,
    write_promotion,
)
from tallygate.domain.kernel.instants import ns_from_text
from tallygate.domain.policy.rollout import StageName
from tallygate.errors import PoliciesInvalid

NOW: Final = "2026-11-21T12:00:00Z"
NOW_NS: Final = ns_from_text(NOW)
PATH: Final = ("services", "search")
LATER: Final = "2026-12-01T00:00:00Z"


def a_promotion(**changes: Any) -> Promotion:
    facts: dict[str, Any] = {"service": "search", "to": StageName.PILOT}
    return Promotion(**facts | changes)


def put(*path: str, value: object = "enforce", after: str = "owner_team", comment: str = "") -> Put:
    return Put((*PATH, *path), value, comment, after)


def step(index: int | None = None, **content: Any) -> Insert:
    return Insert((*PATH, "schedule"), {"mode": "enforce", **content}, index, "", "modes")


CASES: Final = [
    pytest.param(
        {"modes": {"default": "report_only"}},
        {},
        [put("modes", "default")],
        id="everywhere",
    ),
    pytest.param(
        {"modes": {"default": "report_only", "prod": "report_only", "dev": "enforce"}},
        {},
        [put("modes", "default"), put("modes", "prod")],
        id="everywhere, also where an environment has its own",
    ),
    pytest.param({}, {}, [put("modes", "default")], id="no modes yet"),
    pytest.param({}, {"environment": "prod"}, [put("modes", "prod")], id="one environment"),
    pytest.param(
        {"modes": {"default": "enforce"}}, {"environment": "prod"}, [], id="enforced already"
    ),
    pytest.param(
        {"modes": {"default": "report_only"}},
        {"canary": 10},
        [put("modes", "default"), put("canary", "default", value=10, after="modes")],
        id="a share of the calls",
    ),
    pytest.param(
        {"modes": {"prod": "enforce"}, "canary": {"prod": 10}},
        {"environment": "prod"},
        [Remove((*PATH, "canary"))],
        id="all of them after a canary",
    ),
    pytest.param(
        {"modes": {"prod": "enforce"}, "canary": {"prod": 10, "dev": 5}},
        {"environment": "prod"},
        [Remove((*PATH, "canary", "prod"))],
        id="the canary elsewhere stays",
    ),
    pytest.param(
        {"modes": {"prod": "enforce"}, "canary": {"default": 10}},
        {"environment": "prod"},
        [put("canary", "prod", value=100, after="modes")],
        id="the canary of the rest stays",
    ),
    pytest.param(
        {"modes": {"prod": "enforce"}, "canary": {"prod": 10}},
        {"environment": "prod", "canary": 25},
        [put("canary", "prod", value=25, after="modes")],
        id="a canary that grows",
    ),
    pytest.param(
        {"modes": {"default": "report_only"}},
        {"begins_at": LATER, "environment": "prod", "canary": 10},
        [step(**{"from": LATER, "environment": "prod", "canary": 10})],
        id="a date",
    ),
    pytest.param(
        {
            "schedule": [
                {"from": "2026-11-30T00:00:00Z", "mode": "report_only"},
                {"from": "2027-01-01T00:00:00Z", "mode": "enforce"},
            ]
        },
        {"begins_at": LATER},
        [step(1, **{"from": LATER})],
        id="a date between two steps",
    ),
    pytest.param(
        {"schedule": [{"from": "2026-11-01T00:00:00Z", "mode": "report_only"}]},
        {},
        [step(**{"from": NOW})],
        id="a step that has begun goes before the modes",
    ),
    pytest.param(
        {"schedule": [{"from": "2026-11-01T00:00:00Z", "mode": "enforce", "environment": "dev"}]},
        {"environment": "prod"},
        [put("modes", "prod")],
        id="a step of another environment does not",
    ),
    pytest.param(
        {"schedule": [{"from": LATER, "mode": "enforce"}]},
        {},
        [put("modes", "default")],
        id="a step to come does not",
    ),
]


@pytest.mark.parametrize(("entry", "asked", "edits"), CASES)
def test_the_registry_is_changed_where_the_mode_is_decided(
    entry: dict[str, Any], asked: dict[str, Any], edits: list[Edit]
) -> None:
    assert list(registry_edits(a_promotion(**asked), entry, NOW_NS, "")) == edits


def test_the_comment_stands_at_the_first_entry_that_changes() -> None:
    entry = {"modes": {"default": "report_only"}}

    edits = list(registry_edits(a_promotion(canary=10), entry, NOW_NS, "why"))

    assert [edit.comment for edit in edits if isinstance(edit, Put)] == ["why", ""]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(
        starter_policies(), tmp_path / "policies", ignore=shutil.ignore_patterns("cases")
    )
    return tmp_path / "policies"


def contents(folder: Path) -> dict[Path, str]:
    return {path: read_text(folder / path) for path in (REGISTRY, PLAN)}


def test_nothing_is_written_before_it_is_asked_for(folder: Path) -> None:
    before = contents(folder)

    promoted = prepare_promotion(folder, a_promotion(service="batch-summaries"), NOW_NS)

    assert contents(folder) == before
    assert [change.path for change in promoted.changes] == [folder / REGISTRY, folder / PLAN]
    assert [line for line in promoted.diff.splitlines() if line[:1] in "+-"][2:4] == [
        "-    modes: {default: report_only}",
        "+    modes: {default: enforce}",
    ]


def test_a_change_that_would_break_the_folder_is_refused_and_names_the_real_file(
    folder: Path,
) -> None:
    before = contents(folder)

    with pytest.raises(PoliciesInvalid) as refused:
        prepare_promotion(folder, a_promotion(service="batch-summaries", environment="qa"), NOW_NS)

    assert {problem.file for problem in refused.value.problems} == {str(folder / REGISTRY)}
    assert contents(folder) == before


def test_what_the_policy_still_says_afterwards_is_a_warning(folder: Path) -> None:
    # billing-bot's only principal may speak for prod and staging.
    promoted = prepare_promotion(
        folder, a_promotion(service="billing-bot", environment="dev", to=StageName.ENFORCE), NOW_NS
    )

    (warning,) = promoted.warnings
    assert warning == (
        "in dev the policy still says report_only (unbound): no principal of the registry may "
        "speak for it there, and unbound calls pass."
    )


def test_a_step_back_to_report_only_is_a_warning(folder: Path) -> None:
    registry = folder / REGISTRY
    step_back = '- {from: "2027-02-01T00:00:00Z", mode: report_only, environment: prod}'
    text = registry.read_text().replace(
        '- {from: "2027-01-15T00:00:00Z", mode: enforce, environment: prod}', step_back
    )
    registry.write_text(text)

    promoted = prepare_promotion(
        folder, a_promotion(service="knowledge-search", begins_at=LATER), NOW_NS
    )

    (warning,) = promoted.warnings
    assert warning == (
        "in prod the schedule enforces 0 % of calls from 2027-02-01T00:00:00Z on, which is less "
        "again."
    )


def test_a_canary_of_a_later_step_is_a_warning_too(folder: Path) -> None:
    promoted = prepare_promotion(
        folder, a_promotion(service="query-rewriter", environment="prod"), NOW_NS
    )

    (warning,) = promoted.warnings
    assert "50 % of calls from 2027-01-11T00:00:00Z on" in warning


def test_files_that_changed_in_the_meantime_are_left_alone(folder: Path) -> None:
    promoted = prepare_promotion(folder, a_promotion(service="batch-summaries"), NOW_NS)
    (folder / PLAN).write_text("# somebody else's\n")
    before = contents(folder)

    with pytest.raises(PoliciesInvalid, match="changed in the meantime"):
        write_promotion(promoted)

    assert contents(folder) == before


def test_both_files_are_replaced_or_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    promoted = prepare_promotion(folder, a_promotion(service="batch-summaries"), NOW_NS)
    before = contents(folder)
    replace_file = rollout_promotion.replace_file

    def fails_on_the_plan(path: Path, text: str) -> None:
        if path == folder / PLAN:
            raise OSError(28, "No space left on device")
        replace_file(path, text)

    monkeypatch.setattr(rollout_promotion, "replace_file", fails_on_the_plan)
    with pytest.raises(PoliciesInvalid, match="No space left on device"):
        write_promotion(promoted)

    assert contents(folder) == before


def test_cases_that_are_decided_differently_are_changed_only_when_asked(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(starter_policies(), folder)
    promotion = a_promotion(service="knowledge-search", environment="prod")

    with pytest.raises(PoliciesInvalid) as refused:
        prepare_promotion(folder, promotion, NOW_NS)
    promoted = prepare_promotion(folder, promotion, NOW_NS, update_cases=True)

    assert {problem.code for problem in refused.value.problems} == {"case_differs"}
    assert all("--update-cases" in problem.remedy for problem in refused.value.problems)
    changed = [change for change in promoted.changes if change.path.name == "decision.json"]
    assert {change.path.parent.name for change in changed} == {
        Path(problem.file).parent.name for problem in refused.value.problems
    }
    lines = [line for line in changed[0].diff.splitlines()[2:] if line[:1] in "+-"]
    assert '-  "mode": "report_only",' in lines
    assert '+  "mode": "enforce",' in lines
    write_promotion(promoted)
    assert check_folder(folder, NOW).errors == 0
