from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import pytest

from tallygate.domain.kernel.instants import ns_from_text
from tallygate.domain.policy.readiness import Evidence, ExceptionInForce, GateResult, judge
from tallygate.domain.policy.rollout import (
    NS_PER_DAY,
    Gates,
    HeldReview,
    Plan,
    StageName,
    plan_from_data,
)
from tallygate.domain.policy.traffic import Amount, Figures

START: Final = "2026-11-01T00:00:00Z"
START_NS: Final = ns_from_text(START)
STAGES: Final[dict[str, Any]] = {
    "observe": {"starts_at": START, "ends_at": "2026-12-01T00:00:00Z", "services": ["search"]},
    "pilot": {
        "starts_at": "2026-12-01T00:00:00Z",
        "ends_at": "2026-12-31T00:00:00Z",
        "services": [],
    },
    "enforce": {
        "starts_at": "2026-12-31T00:00:00Z",
        "ends_at": "2027-01-30T00:00:00Z",
        "services": ["billing"],
    },
}


def good(**changes: Any) -> Figures:
    total = Amount(calls=1000, cost=Decimal(50))
    return replace(Figures(total=total, billable=1000), **changes)


def plan(**gates: Any) -> Plan:
    stages = {name: {**stage, "gates": gates} for name, stage in STAGES.items()}
    return plan_from_data({"stages": stages, "exceptions_approver": "finops-lead"})


def judged(
    wanted: Plan,
    figures: Figures | None = None,
    days: float = 20,
    stage: str = "observe",
    **more: Any,
) -> dict[str, GateResult]:
    at_ns = START_NS + int(days * NS_PER_DAY)
    facts = {"observed_since_ns": START_NS, **more}
    evidence = Evidence(at_ns=at_ns, figures=good() if figures is None else figures, **facts)
    return {one.name: one for one in judge(wanted, wanted.stages[StageName(stage)], evidence)}


def test_only_the_gates_that_the_stage_has_are_asked() -> None:
    assert judged(plan()) == {}
    assert list(judged(plan(min_days=14, min_token_coverage="99.0"))) == ["days", "token_coverage"]


@pytest.mark.parametrize(
    ("gate", "figures", "passes"),
    [
        # 20 of 1,000 calls are 2.0 %.
        ({"max_missing_field_rate": {"overall": "2.0"}}, {"missing": 20}, True),
        ({"max_missing_field_rate": {"overall": "2.0"}}, {"missing": 21}, False),
        ({"max_vocabulary_violation_rate": 1}, {"vocabulary": 10}, True),
        ({"max_vocabulary_violation_rate": 1}, {"vocabulary": 11}, False),
        ({"max_environment_leakage": 0}, {"leaked": 0}, True),
        ({"max_environment_leakage": 0}, {"leaked": 1}, False),
        ({"min_token_coverage": "99.0"}, {"unreported": 10}, True),
        ({"min_token_coverage": "99.0"}, {"unreported": 11}, False),
        ({"min_calls": 1000}, {}, True),
        ({"min_calls": 1001}, {}, False),
    ],
)
def test_a_gate_passes_exactly_at_its_limit(
    gate: dict[str, Any],
    figures: dict[str, int],
    passes: bool,
) -> None:
    (result,) = judged(plan(**gate), good(**figures)).values()

    assert result.passes is passes


def test_the_missing_gate_says_how_much_and_of_which_fields() -> None:
    # 31 of 1,000 lack something: 28 the workflow, 7 the feature; 2 are all excused.
    figures = good(missing=31, missing_waived=2)
    figures.missing_by_field.update({"feature": 7, "workflow_id": 28})
    wanted = plan(max_missing_field_rate={"overall": "2.0", "fields": {"feature": "0.5"}})

    found = judged(wanted, figures)

    assert str(found["missing_field_rate"]) == (
        "missing_field_rate 3.1 % of 2.0 % allowed: workflow_id 2.8 %, feature 0.7 %, excused 0.2 %"
    )
    assert found["missing_field_rate"].short_by == Decimal("1.1")
    assert str(found["missing_field_rate.feature"]) == (
        "missing_field_rate.feature 0.7 % of 0.5 % allowed"
    )


def test_unattributed_is_asked_in_calls_and_in_cost() -> None:
    # 20 of 1,000 calls, 1.01 of 50 dollars.
    figures = good(unattributed=Amount(calls=20, cost=Decimal("1.01")))

    found = judged(plan(max_unattributed_share="2.0"), figures)

    assert {name: one.passes for name, one in found.items()} == {
        "unattributed_share.calls": True,
        "unattributed_share.cost": False,
    }
    assert (
        str(found["unattributed_share.cost"]) == "unattributed_share.cost 2.02 % of 2.0 % allowed"
    )


def test_where_all_cost_is_unpriced_the_gate_of_cost_fails() -> None:
    figures = good(total=Amount(calls=1000, unpriced=1200))

    found = judged(plan(max_unattributed_share="2.0"), figures)["unattributed_share.cost"]

    assert not found.passes
    assert str(found) == ("unattributed_share.cost - of 2.0 % allowed: 1,200 events have no price")


def test_cost_without_a_price_is_told_beside_the_share_of_the_rest() -> None:
    figures = good(total=Amount(calls=1000, cost=Decimal(50), unpriced=1))

    found = judged(plan(max_unattributed_share="2.0"), figures)["unattributed_share.cost"]

    assert found.passes
    assert found.detail == "1 event has no price"


def test_without_cost_only_calls_are_asked() -> None:
    figures = good(total=Amount(calls=1000))

    assert list(judged(plan(max_unattributed_share="2.0"), figures)) == ["unattributed_share.calls"]


@pytest.mark.parametrize(
    ("days", "passes", "measured"),
    [(14, True, "14.0"), (13.999, False, "13.9990"), (0, False, "0.0"), (20.25, True, "20.2")],
)
def test_days_are_counted_from_the_first_call_in_the_present_mode(
    days: float,
    passes: bool,
    measured: str,
) -> None:
    result = judged(plan(min_days=14), days=days)["days"]

    assert (result.passes, result.measured) == (passes, measured)


def test_a_service_that_was_never_seen_has_no_days_and_no_rates() -> None:
    wanted = plan(min_days=14, max_missing_field_rate={"overall": "2.0"}, min_token_coverage=99)

    found = judged(wanted, Figures(), observed_since_ns=None)

    assert [str(one) for one in found.values()] == ["days 0.0 of 14 needed", "calls 0 of 1 needed"]
    assert not any(one.passes for one in found.values())


def test_a_rate_of_nothing_does_not_pass() -> None:
    found = judged(plan(min_token_coverage="99.0"), good(billable=0))

    assert str(found["token_coverage"]) == (
        "token_coverage - of 99.0 % needed: there is nothing to measure it by"
    )
    assert not found["token_coverage"].passes
    assert found["token_coverage"].short_by is None


@pytest.mark.parametrize(
    ("reviews", "passes", "measured", "detail"),
    [
        pytest.param((), False, "14", "none was recorded", id="none"),
        pytest.param(("2027-01-07",), True, "7", "the last one was on 2027-01-07", id="a week ago"),
        pytest.param(("2027-01-06",), False, "8", "the last one was on 2027-01-06", id="longer"),
        pytest.param(
            ("2026-12-20",), False, "14", "the last one was on 2026-12-20", id="before it"
        ),
        pytest.param(("2027-01-10", "2027-01-15"), True, "4", "2027-01-10", id="one to come"),
    ],
)
def test_a_weekly_review_is_asked_from_the_day_that_the_stage_begins(
    reviews: tuple[str, ...],
    passes: bool,
    measured: str,
    detail: str,
) -> None:
    wanted = replace(
        plan(max_days_without_review=7),
        reviews=tuple(HeldReview(date=date, held_by="finops-lead") for date in reviews),
    )
    days = (ns_from_text("2027-01-14T10:00:00Z") - START_NS) / NS_PER_DAY

    result = judged(wanted, days=days, stage="enforce")["days_without_review"]

    assert (result.passes, result.measured) == (passes, measured)
    assert result.detail.endswith(detail)


def test_exceptions_on_the_last_stage_are_the_chargeback_owners_to_approve() -> None:
    exceptions = (ExceptionInForce("ovr-1", "finops-lead"), ExceptionInForce("ovr-2", "platform"))

    found = judged(plan(), stage="enforce", exceptions=exceptions)

    assert str(found["exceptions_approver"]) == (
        "exceptions_approver 1 of 2 overrides approved by finops-lead: ovr-2 by platform"
    )
    assert judged(plan(), stage="pilot", exceptions=exceptions) == {}
    assert judged(plan(), stage="enforce")["exceptions_approver"].passes


def test_a_stage_counts_its_own_days() -> None:
    stage = plan().stages[StageName.OBSERVE]

    assert stage.days_in(START_NS - 1) == 0
    assert stage.days_in(START_NS + NS_PER_DAY // 2) == Decimal("0.5")
    assert stage.days_in(START_NS + 99 * NS_PER_DAY) == 30
    assert stage.gates == Gates()
    assert [name.following for name in StageName] == [StageName.PILOT, StageName.ENFORCE, None]
