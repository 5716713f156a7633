# ruff: noqa: E501 - the table of instants reads in rows
from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from tallygate.application.override_listing import (
    Asked,
    Forecast,
    Kind,
    ListedOverride,
    OverrideListing,
    OverrideState,
    Use,
    list_overrides,
)
from tallygate.application.override_ports import ExcusedCalls
from tallygate.domain.kernel.instants import NS_PER_SECOND, ns_from_text
from tallygate.domain.ledger.events import ActivationFacts
from tallygate.domain.policy.decision import Waived
from tallygate.errors import Problem

NOW = "2026-11-21T10:00:00Z"
NOW_NS = ns_from_text(NOW)
HOUR_NS = 3600 * NS_PER_SECOND
DAY_NS = 24 * HOUR_NS

OVERRIDE: dict[str, Any] = {
    "codes": ["ownership_missing"],
    "fields": ["tenant_id_hash"],
    "starts_at": "2026-11-01T00:00:00Z",
    "expires_at": "2027-01-15T00:00:00Z",
    "requested_by": "support-lead",
    "approved_by": "finops-lead",
    "reason": "The console cannot send it yet.",
    "ticket": "SUP-7",
}
GLASS: dict[str, Any] = {
    "role": "incident-commander",
    "services": ["support-assistant", "billing-bot"],
    "max_hours": 8,
    "expires_at": "2027-06-30T00:00:00Z",
}


class Calls:
    """Calls with the instant at which each began; windows are cut as a ledger cuts them."""

    def __init__(self, *calls: ExcusedCalls, activations: Sequence[ActivationFacts] = ()) -> None:
        self._calls = calls
        self._activations = activations

    def excused(self, since_ns: int, until_ns: int) -> Sequence[ExcusedCalls]:
        return [call for call in self._calls if since_ns <= call.last_ns < until_ns]

    def activations(self, since_ns: int) -> Sequence[ActivationFacts]:
        return [each for each in self._activations if each.from_ns >= since_ns]


def calls(
    *overrides: str, ago_ns: int = DAY_NS, field: str = "tenant_id_hash", **changes: Any
) -> ExcusedCalls:
    facts: dict[str, Any] = {
        "waived": tuple(Waived("ownership_missing", field, each) for each in overrides),
        "service": "support-assistant",
        "workflow_id": "wf-17",
        "mode": "enforce",
        "calls": 10,
        "cost": Decimal("1.5"),
        "unpriced": 0,
        "last_ns": NOW_NS - ago_ns,
    }
    return ExcusedCalls(**facts | changes)


def listed(
    *excused: ExcusedCalls,
    overrides: dict[str, Any] | None = None,
    glass: dict[str, Any] | None = None,
    problems: Sequence[Problem] = (),
    activations: Sequence[ActivationFacts] = (),
    days: int = 90,
) -> OverrideListing:
    data = {"overrides": {"support-assistant": overrides or {}}, "break_glass": glass or {}}
    asked = Asked(
        data=data, problems=problems, now_ns=NOW_NS, since_ns=NOW_NS - days * DAY_NS, ending_days=14
    )
    return list_overrides(asked, Calls(*excused, activations=activations))


def one(*excused: ExcusedCalls, entry: Any = None, **more: Any) -> ListedOverride:
    found = listed(*excused, overrides={"ovr-1": {**OVERRIDE, **(entry or {})}}, **more)
    return next(each for each in found.overrides if each.override_id == "ovr-1")


def test_nothing_in_the_files_is_an_empty_list() -> None:
    assert listed().overrides == ()
    assert listed().attention == frozenset()


def test_use_is_added_up_and_an_override_that_is_used_is_active() -> None:
    found = one(
        calls("ovr-1"), calls("ovr-1", "bg-1", ago_ns=2 * DAY_NS, unpriced=1), calls("bg-1")
    )

    assert found.use == Use(calls=20, cost=Decimal("3.0"), unpriced=1, last_ns=NOW_NS - DAY_NS)
    assert found.state is OverrideState.ACTIVE
    assert found.kind is Kind.OVERRIDE
    assert found.services == ("support-assistant",)
    assert found.days_left == 54
    assert found.unused_days is None
    assert found.used_since_ns == found.starts_ns
    assert found.forecast is None


def test_one_that_excused_nothing_since_it_began_is_unused() -> None:
    found = one()

    assert found.state is OverrideState.UNUSED
    assert found.unused_days == 20


def test_use_before_the_window_still_is_use() -> None:
    began = {"starts_at": "2026-09-01T00:00:00Z"}
    found = one(calls("ovr-1", ago_ns=60 * DAY_NS), entry=began, days=30)

    assert found.state is OverrideState.ACTIVE
    assert found.use.calls == 0
    assert found.used_since_ns == NOW_NS - 30 * DAY_NS


@pytest.mark.parametrize(
    ("entry", "state", "days_left"),
    [
        pytest.param({"expires_at": NOW}, OverrideState.EXPIRED, 0, id="this second"),
        pytest.param({"expires_at": "2026-11-21T10:00:01Z"}, OverrideState.ENDING, 0, id="next second"),
        pytest.param({"expires_at": "2026-12-05T10:00:00Z"}, OverrideState.ENDING, 14, id="in 14 days"),
        pytest.param({"expires_at": "2026-12-05T10:00:01Z"}, OverrideState.ACTIVE, 14, id="a second later"),
        pytest.param({"starts_at": "2026-11-21T10:00:01Z"}, OverrideState.NOT_STARTED, 54, id="not begun"),
        pytest.param(
            {"starts_at": "2026-11-22T00:00:00Z", "expires_at": "2026-11-23T00:00:00Z"},
            OverrideState.NOT_STARTED, 1, id="not begun, and short",
        ),
        pytest.param({"starts_at": NOW}, OverrideState.ACTIVE, 54, id="begins this second"),
        pytest.param({"expires_at": "never"}, OverrideState.EXPIRED, None, id="unreadable"),
    ],
)  # fmt: skip
def test_where_it_stands_in_time(
    entry: dict[str, Any], state: OverrideState, days_left: int | None
) -> None:
    found = one(calls("ovr-1", ago_ns=0), entry=entry)

    assert (found.state, found.days_left) == (state, days_left)


def test_what_policy_check_finds_makes_it_invalid_unless_it_is_a_warning() -> None:
    error = Problem(
        code="x", message="approved by its requester.", where="support-assistant.ovr-1.approved_by"
    )
    warning = Problem(code="x", message="m", where=error.where, severity="warning")
    other = Problem(code="x", message="m", where="support-assistant.ovr-10.approved_by")

    assert one(problems=[error]).state is OverrideState.INVALID
    assert one(problems=[error]).problems == (str(error),)
    assert one(problems=[warning, other]).state is OverrideState.UNUSED


# What its end would refuse


def ending(*excused: ExcusedCalls, **others: dict[str, Any]) -> Forecast | None:
    soon = {**OVERRIDE, "expires_at": "2026-11-28T00:00:00Z"}
    found = listed(*excused, overrides={"ovr-1": soon, **others}).overrides
    return next(each.forecast for each in found if each.override_id == "ovr-1")


def test_the_calls_of_a_week_foretell_what_its_end_refuses() -> None:
    forecast = ending(
        calls("ovr-1"),
        calls("ovr-1", workflow_id="wf-2"),
        calls("ovr-1", workflow_id=None),
        calls("ovr-1", ago_ns=8 * DAY_NS, workflow_id="wf-3"),
        calls("bg-1"),
    )

    assert forecast == Forecast(calls=30, workflows=2)


def test_report_only_refuses_nothing() -> None:
    assert ending(calls("ovr-1", mode="report_only")) == Forecast(calls=0, workflows=0)


def test_what_another_one_excuses_for_longer_goes_on() -> None:
    longer, shorter = OVERRIDE, {**OVERRIDE, "expires_at": "2026-11-25T00:00:00Z"}
    both = calls("ovr-1", "ovr-2")
    partly = calls(
        waived=(
            Waived("ownership_missing", "tenant_id_hash", "ovr-1"),
            Waived("ownership_missing", "feature", "ovr-1"),
            Waived("ownership_missing", "feature", "ovr-2"),
        )
    )

    assert ending(both, **{"ovr-2": longer}) == Forecast(calls=0, workflows=0)
    assert ending(both, **{"ovr-2": shorter}) == Forecast(calls=10, workflows=1)
    assert ending(both) == Forecast(calls=10, workflows=1)
    assert ending(partly, **{"ovr-2": longer}) == Forecast(calls=10, workflows=1)


def test_what_a_night_excused_beside_it_is_refused_once_both_are_over() -> None:
    soon = {**OVERRIDE, "expires_at": "2026-11-28T00:00:00Z"}
    found = listed(calls("ovr-1", "bg-1"), overrides={"ovr-1": soon}, glass={"bg-1": GLASS})

    forecast = next(each.forecast for each in found.overrides if each.override_id == "ovr-1")

    assert forecast == Forecast(calls=10, workflows=1)


# Break-glass and what is gone


def night(**changes: Any) -> ActivationFacts:
    facts: dict[str, Any] = {
        "override_id": "bg-1",
        "role": "incident-commander",
        "activated_by": "a" * 64,
        "reason": "down",
        "ticket": "INC-7",
        "from_ns": NOW_NS - HOUR_NS,
        "until_ns": NOW_NS + HOUR_NS,
        "ended": False,
    }
    return ActivationFacts(**facts | changes)


@pytest.mark.parametrize(
    ("entry", "activations", "state"),
    [
        pytest.param({}, (), OverrideState.READY, id="nobody took it"),
        pytest.param({}, (night(),), OverrideState.ACTIVATED, id="it is on"),
        pytest.param({}, (night(until_ns=NOW_NS),), OverrideState.READY, id="it ended this second"),
        pytest.param(
            {}, (night(), night(ended=True, until_ns=NOW_NS)), OverrideState.READY, id="ended early"
        ),
        pytest.param({"expires_at": NOW}, (), OverrideState.EXPIRED, id="expired"),
        pytest.param({"expires_at": "2026-11-30T00:00:00Z"}, (), OverrideState.ENDING, id="ending"),
    ],
)
def test_break_glass_is_ready_until_somebody_takes_it(
    entry: dict[str, Any], activations: tuple[ActivationFacts, ...], state: OverrideState
) -> None:
    (found,) = listed(glass={"bg-1": {**GLASS, **entry}}, activations=activations).overrides

    assert found.state is state
    assert found.kind is Kind.BREAK_GLASS
    assert found.services == ("support-assistant", "billing-bot")
    assert found.unused_days is None


def test_a_problem_of_a_break_glass_entry_is_found_at_its_id() -> None:
    problem = Problem(code="role_without_holders", message="nobody.", where="bg-1.role")

    (found,) = listed(glass={"bg-1": GLASS}, problems=[problem]).overrides

    assert found.state is OverrideState.INVALID


def test_what_excused_calls_and_is_in_no_file_any_more_is_named() -> None:
    found = listed(calls("ovr-9"), calls("ovr-1"), overrides={"ovr-1": OVERRIDE}).overrides

    removed = next(each for each in found if each.override_id == "ovr-9")
    assert removed.state is OverrideState.REMOVED
    assert removed.kind is Kind.UNKNOWN
    assert removed.use.calls == 10


def test_what_needs_somebody_is_told_by_name() -> None:
    found = listed(
        overrides={"ovr-1": {**OVERRIDE, "expires_at": NOW}, "ovr-2": OVERRIDE},
        activations=[night()],
    )

    assert found.attention == {"expired", "unused", "review"}
