from __future__ import annotations

from typing import Any

import pytest

from fakes.engines import ADMIT
from fakes.recorded_calls import an_input
from tallygate.domain.policy.change import ROUTE_UNKNOWN, Decided, Kind, kind_of
from tallygate.domain.policy.decision import Action, decision_from_answer

MISSING = [{"code": "ownership_missing", "field": "workflow_id"}]
EXCUSED = [{"code": "ownership_missing", "field": "workflow_id", "override": "ovr-1"}]
PAYING = {"owner_team": "team-a", "cost_center": "CC-1", "business_unit": "bu"}
REJECT = {"action": "reject", "would_action": "reject", "violations": MISSING}
REPORTED = REJECT | {"action": "admit", "mode": "report_only"}


def decided(recorded: dict[str, Any] | None = None, **answer: Any) -> Decided:
    return Decided.of(decision_from_answer({**ADMIT, **answer}), recorded or an_input())


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ({}, REJECT, Kind.REFUSED),
        (REPORTED, REJECT, Kind.REFUSED),
        ({"action": "quarantine", "would_action": "quarantine"}, REJECT, Kind.REFUSED),
        ({}, {"action": "quarantine", "would_action": "quarantine"}, Kind.QUARANTINED),
        (REJECT, {"action": "quarantine", "would_action": "quarantine"}, Kind.QUARANTINED),
        ({"mode": "report_only"}, REPORTED, Kind.WOULD_BE_REFUSED),
        (REJECT, {}, Kind.ADMITTED),
        (REJECT, REPORTED, Kind.ADMITTED),
        (REPORTED, {"mode": "report_only"}, Kind.NO_LONGER_WOULD_BE_REFUSED),
        ({"ownership": PAYING}, {"ownership": PAYING | {"owner_team": "team-b"}}, Kind.OTHER_PAYER),
        ({"ownership": PAYING}, {"ownership": {}}, Kind.OTHER_PAYER),
        (
            {"ownership": PAYING},
            {"ownership": PAYING | {"cost_center": "CC-2"}},
            Kind.OTHER_COST_CENTER,
        ),
        (
            REPORTED,
            REPORTED
            | {"violations": [*MISSING, {"code": "ownership_missing", "field": "feature"}]},
            Kind.OTHER_REASONS,
        ),
        ({}, {"waived": EXCUSED}, Kind.OTHER_REASONS),
        (
            {"mode": "report_only", "would_action": "admit"},
            {"mode": "report_only", "would_action": "quarantine"},
            Kind.OTHER_REASONS,
        ),
        ({"mode": "report_only"}, {"mode": "enforce"}, Kind.MODE),
        (REJECT, REJECT, None),
        ({}, {"notices": [{"code": "override_expired", "subject": "ovr-1"}]}, None),
        ({}, {"valid_until": "2026-12-01T00:00:00Z", "mode_source": "schedule"}, None),
    ],
)
def test_a_change_has_the_gravest_kind_that_fits(
    before: dict[str, Any], after: dict[str, Any], kind: Kind | None
) -> None:
    assert kind_of(decided(**before), decided(**after)) is kind


def test_a_policy_without_an_answer_is_the_gravest_of_all() -> None:
    assert kind_of(decided(), None) is Kind.UNANSWERED is next(iter(Kind))


def test_the_order_of_violations_is_no_difference() -> None:
    two = [*MISSING, {"code": "ownership_missing", "field": "feature"}]

    assert decided(violations=two) == decided(violations=two[::-1])


def test_what_is_only_observed_is_never_refused() -> None:
    observed = an_input(is_observed=True)

    refused = decided(observed, **REJECT)

    assert refused.action is refused.would_action is Action.ADMIT
    assert kind_of(decided(observed), refused) is Kind.OTHER_REASONS


def test_a_route_that_nobody_knows_is_refused_under_enforce_only() -> None:
    unknown = an_input(call=an_input()["call"] | {"route": "unknown"})
    reported, enforced = decided(unknown, mode="report_only"), decided(unknown, mode="enforce")

    assert reported.action is Action.ADMIT
    assert enforced.action is Action.REJECT
    assert enforced.violations == (ROUTE_UNKNOWN,)
    assert kind_of(reported, enforced) is Kind.REFUSED
