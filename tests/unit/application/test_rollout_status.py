from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import pytest

from fakes.contracts import a_registry
from fakes.entries import (
    NOON_NS,
    a_call,
    a_decision,
    an_attempt,
    an_entry,
    an_ownership,
)
from fakes.ledger import FakeLedger
from fakes.rollout_traffic import FakeTraffic
from tallygate.application.rollout_ports import ModeInForce, TrafficFilter
from tallygate.application.rollout_promotion import Promotion, hindrances, stage_to_reach
from tallygate.application.rollout_scaffold import scaffold_plan
from tallygate.application.rollout_status import (
    Kind,
    Readiness,
    RolloutFacts,
    RolloutStatus,
    ServiceStatus,
    rollout_status,
)
from tallygate.domain.kernel.instants import NS_PER_DAY, ns_from_text
from tallygate.domain.ledger.events import Entry, EventKind
from tallygate.domain.policy.rollout import Plan, StageName, plan_from_data

WINDOW: Final = TrafficFilter(since_ns=NOON_NS - 14 * NS_PER_DAY, until_ns=NOON_NS)
CONFLICT: Final = ({"code": "ownership_conflict", "field": "environment"},)
GATES: Final = {"min_days": 14, "min_calls": 2}


class FixedModes:
    """Says the same of every service in an environment."""

    def __init__(self, **modes: str) -> None:
        self._modes = modes

    def mode_of(self, service: str, environment: str, at_ns: int) -> ModeInForce:
        mode = self._modes.get(environment, "report_only")
        share = 100 if mode == "enforce" else 0
        return ModeInForce(
            mode=mode, source="service", workflows_percent=share, calls_percent=share
        )


def a_plan(**services: list[str]) -> Plan:
    dates = ["2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", "2026-12-31T00:00:00Z"]
    stages = {
        name.value: {
            "starts_at": start,
            "ends_at": end,
            "services": services.get(name.value, []),
            "gates": GATES,
        }
        for name, start, end in zip(
            StageName, dates, [*dates[1:], "2027-01-30T00:00:00Z"], strict=True
        )
    }
    return plan_from_data({"stages": stages, "exceptions_approver": "finops-lead"})


def begun(stage: str) -> Plan:
    """Make a plan with the service on a stage that has lasted for long."""
    plan = a_plan(**{stage: ["support-assistant"]})
    longer = {
        name: replace(one, starts_at_ns=NOON_NS - 60 * NS_PER_DAY)
        for name, one in plan.stages.items()
    }
    return replace(plan, stages=longer)


def tried(number: int, days_ago: float = 1, **changes: Any) -> Entry:
    at_ns = NOON_NS - int(days_ago * NS_PER_DAY)
    call = {"call_id": f"call-{number}", "principal_team": changes.pop("principal", "llm-open")}
    owner = {name: changes.pop(name) for name in tuple(changes) if name in OWNERSHIP}
    return an_entry(
        number,
        call=a_call(**call, principal_key_hash=changes.pop("key", None)),
        ownership=an_ownership(**owner),
        decision=a_decision(**{"mode": "report_only", **changes}),
        attempt=an_attempt(opened_at_ns=at_ns),
    )


OWNERSHIP: Final = ("service", "environment", "owner_team")


def status_of(
    *entries: Entry,
    plan: Plan | None = None,
    overrides: dict[str, Any] | None = None,
    service: str | None = None,
    modes: FixedModes | None = None,
) -> RolloutStatus:
    ledger = FakeLedger()
    ledger.append(entries)
    facts = RolloutFacts(
        registry=a_registry(),
        quarantine_owner="team-platform",
        overrides=overrides or {},
        plan=plan,
    )
    return rollout_status(facts, FakeTraffic(ledger), modes or FixedModes(), WINDOW, service)


def line(status: RolloutStatus, name: str) -> ServiceStatus:
    return next(one for one in status.services if one.name == name)


def test_every_registered_service_has_a_line_and_strangers_have_one_of_their_own() -> None:
    status = status_of(
        tried(1),
        tried(2, service="ghost"),
        tried(3, service="ghost"),
        tried(4, service="other"),
        tried(5, service=None),
    )

    assert [(one.name, one.kind, one.figures.total.calls) for one in status.services] == [
        ("support-assistant", Kind.REGISTERED, 1),
        ("support-digest", Kind.REGISTERED, 0),
        ("search-api", Kind.REGISTERED, 0),
        ("ghost", Kind.UNREGISTERED, 2),
        ("other", Kind.UNREGISTERED, 1),
        ("", Kind.UNNAMED, 1),
    ]
    assert status.total.total.calls == 5
    assert [one.readiness for one in status.services[2:]] == [Readiness.UNPLANNED, *[None] * 3]


def test_many_strangers_are_folded_and_none_is_lost() -> None:
    status = status_of(*(tried(number, service=f"ghost-{number:02}") for number in range(1, 24)))

    strangers = [one for one in status.services if one.kind is Kind.UNREGISTERED]
    assert len(strangers) == 21
    assert (strangers[-1].name, strangers[-1].figures.total.calls) == ("3 more", 3)
    assert status.total.total.calls == 23


def test_one_service_can_be_asked_for() -> None:
    entries = (tried(1), tried(2, service="ghost"), tried(3, service=None))

    assert [one.name for one in status_of(*entries, service="search-api").services] == [
        "search-api"
    ]
    assert [one.name for one in status_of(*entries, service="ghost").services] == ["ghost"]
    assert status_of(*entries, service="nobody").services == ()


def test_spend_of_nobody_and_of_the_quarantine_owner_is_unattributed() -> None:
    status = status_of(
        tried(1), tried(2), tried(3, owner_team=None), tried(4, owner_team="team-platform")
    )

    share = line(status, "support-assistant").figures.unattributed_calls
    assert (share.part, share.whole) == (2, 4)
    assert status.by_owner["team-support"].unattributed.cost == Decimal("0.00906")


@pytest.mark.parametrize(
    ("entry", "leaked"),
    [
        pytest.param(tried(1, violations=CONFLICT), 1, id="outside the binding"),
        pytest.param(
            tried(1, principal="llm-search", environment="staging"), 1, id="its only one is another"
        ),
        pytest.param(tried(1, principal="llm-search", environment="prod"), 0, id="its only one"),
        pytest.param(tried(1, principal="llm-search", environment=None), 0, id="on none"),
        pytest.param(
            tried(1, principal="llm-support", environment="staging"), 0, id="one of its two"
        ),
        pytest.param(tried(1, principal="nobody", environment="staging"), 0, id="unbound"),
        pytest.param(
            tried(1, principal="llm-search", key="key-platform", environment="staging"),
            0,
            id="the key goes before the team",
        ),
        pytest.param(
            tried(1, violations=({"code": "ownership_conflict", "field": "service"},)),
            0,
            id="another conflict",
        ),
    ],
)
def test_a_call_leaks_when_it_is_booked_on_an_environment_that_is_not_its_principals(
    entry: Entry, leaked: int
) -> None:
    assert line(status_of(entry), "support-assistant").figures.leaked == leaked


def test_days_are_counted_from_the_first_call_in_the_present_mode_on_the_stage() -> None:
    plan = a_plan(observe=["support-assistant"])
    enforced = tried(1, days_ago=19, mode="enforce")

    status = status_of(enforced, tried(2, days_ago=15.5), tried(3), plan=plan)

    found = line(status, "support-assistant")
    assert found.observed_days == Decimal("15.5")
    assert found.stage_days == Decimal("20.5")
    assert found.figures.total.calls == 1  # the others are older than the window
    assert [gate.name for gate in found.failing] == ["calls"]


@pytest.mark.parametrize(
    ("stage", "enforced", "seen", "days"),
    [
        pytest.param(
            "pilot", ["prod"], {"staging": 14, "prod": 1}, "1.0", id="not what is not enforced"
        ),
        pytest.param(
            "pilot", ["prod"], {"staging": 1, "prod": 14}, "14.0", id="nor does that hold it back"
        ),
        pytest.param("pilot", ["prod"], {"staging": 14}, None, id="enforced nowhere with calls"),
        pytest.param(
            "pilot", ["prod", "staging"], {"prod": 9, "staging": 3}, "3.0", id="the latest"
        ),
        pytest.param(
            "enforce", ["prod", "staging"], {"prod": 9, "staging": 3}, "3.0", id="the last stage"
        ),
        pytest.param("observe", [], {"staging": 14, "prod": 5}, "5.0", id="all of them at first"),
    ],
)
def test_no_environment_borrows_the_days_of_another(
    stage: str, enforced: list[str], seen: dict[str, int], days: str | None
) -> None:
    modes = dict.fromkeys(enforced, "enforce")
    entries = [
        tried(number, days_ago=ago, environment=name, mode=modes.get(name, "report_only"))
        for number, (name, ago) in enumerate(seen.items())
    ]

    status = status_of(*entries, plan=begun(stage), modes=FixedModes(**modes))

    found = line(status, "support-assistant")
    assert found.observed_days == (None if days is None else Decimal(days))
    assert [gate.measured for gate in found.gates if gate.name == "days"] == [days or "0.0"]


def test_an_environment_not_yet_seen_in_its_present_mode_has_no_days() -> None:
    entries = (
        tried(1, days_ago=9, mode="enforce"),
        tried(2, days_ago=9, environment="staging", mode="report_only"),
    )

    status = status_of(
        *entries, plan=begun("pilot"), modes=FixedModes(prod="enforce", staging="enforce")
    )

    assert line(status, "support-assistant").observed_days is None


def test_calls_before_the_stage_began_are_not_its_days() -> None:
    plan = a_plan(observe=["support-assistant"])

    status = status_of(tried(1, days_ago=60), tried(2, days_ago=3), tried(3), plan=plan)

    found = line(status, "support-assistant")
    assert found.observed_days == Decimal(3)
    assert [gate.name for gate in found.failing] == ["days"]
    assert found.readiness is Readiness.NOT_READY


def test_overrides_in_force_are_listed_and_those_that_end_soon_marked() -> None:
    def entry(starts: str, expires: str) -> dict[str, Any]:
        return {
            "starts_at": f"{starts}T12:00:00Z",
            "expires_at": f"{expires}T12:00:00Z",
            "approved_by": "finops-lead",
            "fields": ["workflow_id"],
        }

    overrides = {
        "support-assistant": {
            "ovr-over": entry("2026-10-01", "2026-11-21"),
            "ovr-soon": entry("2026-11-21", "2026-12-05"),
            "ovr-long": entry("2026-11-01", "2026-12-06"),
            "ovr-later": entry("2026-11-22", "2026-12-06"),
        }
    }

    found = line(status_of(overrides=overrides), "support-assistant").overrides

    assert [(one.override, one.days_left, one.ends_soon) for one in found] == [
        ("ovr-soon", Decimal(14), True),
        ("ovr-long", Decimal(15), False),
    ]


def test_a_mode_is_told_for_each_registered_environment_with_calls() -> None:
    status = status_of(
        tried(1),
        tried(2, environment="staging"),
        tried(3, environment="prdo"),
        modes=FixedModes(prod="enforce"),
    )

    modes = line(status, "support-assistant").modes
    assert {name: mode.mode for name, mode in modes.items()} == {
        "prod": "enforce",
        "staging": "report_only",
    }


def test_an_environment_with_nothing_but_late_lines_has_no_calls() -> None:
    late = tried(2, environment="staging")
    usage = replace(late, event=replace(late.event, kind=EventKind.USAGE))

    assert list(line(status_of(tried(1), usage), "support-assistant").modes) == ["prod"]


# Promotion


def ready(stage: StageName | None) -> ServiceStatus:
    plan = a_plan(**{stage.value: ["support-assistant"]}) if stage else a_plan()
    status = status_of(tried(1, days_ago=14), tried(2), plan=plan)
    return line(status, "support-assistant")


@pytest.mark.parametrize(
    ("stage", "wanted", "target"),
    [
        (None, None, StageName.PILOT),
        (StageName.OBSERVE, None, StageName.PILOT),
        (StageName.OBSERVE, StageName.ENFORCE, StageName.ENFORCE),
        (StageName.PILOT, None, StageName.ENFORCE),
    ],
)
def test_the_stage_to_reach_is_the_next_unless_another_is_asked_for(
    stage: StageName | None, wanted: StageName | None, target: StageName
) -> None:
    assert stage_to_reach(ready(stage), wanted) is target


@pytest.mark.parametrize(
    ("stage", "wanted", "said"),
    [
        (StageName.ENFORCE, None, "nothing comes after it"),
        (StageName.ENFORCE, StageName.PILOT, "no way back"),
        (StageName.PILOT, StageName.PILOT, "on pilot already"),
    ],
)
def test_there_is_no_way_back(stage: StageName, wanted: StageName | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        stage_to_reach(ready(stage), wanted)


@pytest.mark.parametrize(
    ("stage", "to", "begins_at", "said"),
    [
        pytest.param(StageName.OBSERVE, "pilot", "2026-12-01T00:00:00Z", [], id="ready"),
        pytest.param(
            StageName.OBSERVE, "pilot", None, ["stage pilot begins at 2026-12-01"], id="too soon"
        ),
        pytest.param(
            StageName.OBSERVE,
            "enforce",
            "2026-12-31T00:00:00Z",
            ["stage enforce does not follow observe"],
            id="a stage left out",
        ),
        pytest.param(
            None, "pilot", "2026-12-01T00:00:00Z", ["stage it is on no stage"], id="unplanned"
        ),
        pytest.param(
            StageName.PILOT,
            "enforce",
            "2026-12-31T00:00:00Z",
            ["days 0.0 of 14 needed"],
            id="a gate",
        ),
    ],
)
def test_whatever_speaks_against_a_promotion_is_said(
    stage: StageName | None, to: str, begins_at: str | None, said: list[str]
) -> None:
    promotion = Promotion(service="support-assistant", to=StageName(to), begins_at=begins_at)

    found = hindrances(promotion, ready(stage), a_plan(), NOON_NS)

    assert len(found) == len(said)
    assert all(one.startswith(expected) for one, expected in zip(found, said, strict=True))


# Scaffold


def modes_of(enforced: dict[str, tuple[str, ...]]) -> Any:
    def found(service: str) -> dict[str, ModeInForce]:
        fixed = FixedModes(**dict.fromkeys(enforced.get(service, ()), "enforce"))
        return {name: fixed.mode_of(service, name, 0) for name in ("prod", "staging")}

    return found


TEAMS: Final[dict[str, Any]] = {
    "team-support": {},
    "team-search": {"retired_at": "2026-11-22T00:00:00Z"},
}


def test_the_busiest_with_a_clear_owner_are_watched_first() -> None:
    status = status_of(
        tried(1, service="support-digest"),
        *(tried(number, service="search-api") for number in (2, 3)),
        tried(4),
    )

    scaffold = scaffold_plan(status, TEAMS, "team-platform", modes_of({}))

    assert scaffold.services[StageName.OBSERVE] == ("search-api", "support-assistant")
    assert [one.name for one in scaffold.waiting] == ["support-digest"]
    assert scaffold.starts_at[StageName.OBSERVE] == "2026-11-21T00:00:00Z"
    assert scaffold.ends_at[StageName.OBSERVE] == scaffold.starts_at[StageName.PILOT]
    assert scaffold.ends_at[StageName.ENFORCE] == "2027-02-19T00:00:00Z"


def test_what_is_enforced_already_is_placed_so() -> None:
    enforced = {"support-assistant": ("prod",), "support-digest": ("prod", "staging")}

    scaffold = scaffold_plan(status_of(tried(1)), TEAMS, "team-platform", modes_of(enforced))

    assert scaffold.services == {
        StageName.OBSERVE: (),
        StageName.PILOT: ("support-assistant",),
        StageName.ENFORCE: ("support-digest",),
    }


@pytest.mark.parametrize(
    ("teams", "quarantine", "owner"),
    [
        pytest.param({}, None, "team-support", id="nobody registered"),
        pytest.param(
            {"team-support": {"retired_at": "2026-11-21T12:00:00Z"}},
            None,
            "team-support",
            id="gone",
        ),
        pytest.param({"team-support": {}}, "team-support", "team-support", id="the quarantine"),
        pytest.param({"team-support": {}}, None, None, id="not who pays"),
    ],
)
def test_a_service_whose_owner_is_not_clear_waits(
    teams: dict[str, Any], quarantine: str | None, owner: str | None
) -> None:
    status = status_of(tried(1, owner_team=owner))

    scaffold = scaffold_plan(status, teams, quarantine, modes_of({}))

    assert scaffold.services[StageName.OBSERVE] == ()
    assert scaffold.waiting[0].name == "support-assistant"


def test_an_instant_of_now_is_when_an_undated_promotion_counts() -> None:
    promotion = Promotion(service="support-assistant", to=StageName.PILOT)

    assert promotion.takes_effect_ns(NOON_NS) == NOON_NS
    later = replace(promotion, begins_at="2026-12-01T00:00:00Z")
    assert later.takes_effect_ns(NOON_NS) == ns_from_text("2026-12-01T00:00:00Z")
