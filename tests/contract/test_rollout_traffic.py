from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from fakes.entries import (
    NOON_NS,
    SECOND_NS,
    a_call,
    a_decision,
    a_price,
    a_refusal,
    an_activation,
    an_attempt,
    an_entry,
    an_event,
    an_outcome,
    an_ownership,
    an_unknown,
    event_id,
    no_charge,
)
from fakes.ledger import FakeLedger
from fakes.rollout_traffic import FakeTraffic
from tallygate.adapters.stores.postgres import PostgresLedger
from tallygate.adapters.stores.rollout_queries import StoredTraffic
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.ports import Ledger
from tallygate.application.rollout_ports import RolloutTraffic, TrafficFilter
from tallygate.domain.ledger.events import Entry, EventKind, Status, UsageSource
from tallygate.domain.policy.traffic import Amount, Group
from tallygate.errors import LedgerError

DAY: Final = TrafficFilter(since_ns=NOON_NS, until_ns=NOON_NS + 86_400 * SECOND_NS)
MISSING: Final = ({"code": "ownership_missing", "field": "workflow_id"},)
WAIVED: Final = ({"code": "ownership_missing", "field": "feature", "override": "ovr-1"},)
USUAL: Final = Group(
    service="support-assistant",
    environment="prod",
    owner_team="team-support",
    principal_team="litellm-team-1",
    principal_key=None,
    mode="enforce",
    action="admit",
    would_action="admit",
    is_decided=True,
    violations=(),
    waived=(),
    amount=Amount(calls=1, cost=Decimal("0.00453")),
    refused=0,
    billable=1,
    unreported=0,
)


@dataclass
class Subject:
    ledger: Ledger
    traffic: RolloutTraffic

    def groups(self, *entries: Entry, wanted: TrafficFilter = DAY) -> list[Group]:
        assert self.ledger.append(entries).inserted == len(entries)
        found = list(self.traffic.groups(wanted))
        return sorted(found, key=lambda group: repr((group.service, group.amount.calls)))


@pytest.fixture(params=["sqlite", "postgres", "fake"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    if request.param == "fake":
        fake = FakeLedger()
        yield Subject(fake, FakeTraffic(fake))
        return
    store: PostgresLedger | SqliteLedger
    if request.param == "postgres":
        store = PostgresLedger(request.getfixturevalue("postgres_url"))
    else:
        store = SqliteLedger(tmp_path / "ledger.db")
    store.prepare()
    yield Subject(store, StoredTraffic(store))
    store.close()


def tried(number: int, call: int, **changes: Any) -> Entry:
    return an_entry(number, call=a_call(call_id=f"call-{call}"), **changes)


def unreported(**changes: Any) -> Any:
    return an_outcome(usage_source=UsageSource.NONE, usage=None, **changes)


def test_an_empty_ledger_has_no_groups(subject: Subject) -> None:
    assert subject.groups() == []
    assert subject.traffic.first_seen(DAY) == {}


def test_the_tries_of_one_call_are_one_call_and_all_its_cost(subject: Subject) -> None:
    first = Entry(
        an_event(1, call=a_call(call_id="call-1"), outcome=unreported(status=Status.TIMEOUT)),
        a_price(None),
    )

    (group,) = subject.groups(first, tried(2, 1, attempt=an_attempt(number=2)), tried(3, 2))

    assert group == replace(
        USUAL,
        amount=Amount(calls=2, cost=Decimal("0.00906"), unpriced=1),
        billable=2,
        unreported=1,
    )


def test_an_aggregate_of_refusals_is_as_many_calls_as_it_says(subject: Subject) -> None:
    (group,) = subject.groups(
        Entry(a_refusal(1), no_charge()), Entry(a_refusal(2, call_count=41), no_charge())
    )

    assert (group.amount, group.refused) == (Amount(calls=42), 42)
    assert (group.billable, group.unreported) == (0, 0)
    assert group.violations == (("ownership_missing", "feature"),)
    assert group.action == "reject"


def test_groups_differ_by_what_was_found_and_what_was_excused(subject: Subject) -> None:
    passed = a_decision(mode="report_only", would_action="reject", violations=MISSING)
    excused = a_decision(mode="report_only", waived=WAIVED)

    found = subject.groups(
        tried(1, 1, decision=passed),
        tried(2, 2, decision=passed),
        tried(3, 3, decision=excused),
        tried(4, 4, decision=a_decision(mode="report_only", status="unavailable")),
    )

    assert {(one.violations, one.waived, one.is_decided, one.amount.calls) for one in found} == {
        ((("ownership_missing", "workflow_id"),), (), True, 2),
        ((), (("ownership_missing", "feature"),), True, 1),
        ((), (), False, 1),
    }


def test_ownership_that_nobody_knows_is_a_group_of_its_own(subject: Subject) -> None:
    found = subject.groups(
        tried(1, 1),
        tried(2, 2, ownership=an_ownership(owner_team=None, service=None, environment=None)),
    )

    assert [(one.service, one.environment, one.owner_team) for one in found] == [
        ("support-assistant", "prod", "team-support"),
        (None, None, None),
    ]


def test_a_correction_stands_for_what_it_corrects(subject: Subject) -> None:
    unknown = Entry(an_unknown(1), a_price(None))
    late = an_entry(2, kind=EventKind.CORRECTION, corrects_event_id=event_id(1))

    (group,) = subject.groups(unknown, late)

    assert group == USUAL


def test_usage_apart_is_money_and_coverage_and_no_further_call(subject: Subject) -> None:
    session = Entry(an_event(1, outcome=unreported(detail="usage_apart")), no_charge())
    turn = an_entry(2, kind=EventKind.USAGE)
    uncounted = Entry(an_event(3, kind=EventKind.USAGE, outcome=unreported()), a_price(None))

    assert subject.groups(session, turn) == [USUAL]
    (group,) = subject.groups(uncounted)
    assert (group.amount.calls, group.amount.unpriced, group.unreported) == (1, 1, 1)


def test_late_lines_of_a_call_before_the_window_are_money_only(subject: Subject) -> None:
    before = an_attempt(opened_at_ns=DAY.since_ns - SECOND_NS)
    late = an_attempt(opened_at_ns=DAY.since_ns)
    unknown = Entry(an_unknown(1, attempt=before), a_price(None))
    settled = an_entry(2, kind=EventKind.CORRECTION, corrects_event_id=event_id(1), attempt=late)
    uncounted = Entry(
        an_event(3, kind=EventKind.USAGE, attempt=late, outcome=unreported()), a_price(None)
    )

    (group,) = subject.groups(unknown, settled, uncounted)

    assert group.amount == Amount(calls=0, cost=Decimal("0.00453"), unpriced=1)
    assert (group.billable, group.unreported) == (0, 0)


def test_an_activation_is_no_traffic(subject: Subject) -> None:
    assert subject.groups(Entry(an_activation(1), no_charge())) == []
    assert subject.traffic.first_seen(DAY) == {}


def test_what_no_provider_bills_asks_for_no_usage(subject: Subject) -> None:
    hit = Entry(an_event(1, outcome=unreported(status=Status.CACHE_HIT)), no_charge())

    (group,) = subject.groups(hit)

    assert (group.amount.calls, group.billable, group.unreported) == (1, 0, 0)


def test_a_window_is_half_open_and_may_be_of_one_environment(subject: Subject) -> None:
    def at(number: int, at_ns: int, environment: str) -> Entry:
        return tried(
            number,
            number,
            attempt=an_attempt(opened_at_ns=at_ns),
            ownership=an_ownership(environment=environment),
        )

    found = subject.groups(
        at(1, DAY.since_ns - 1, "prod"),
        at(2, DAY.since_ns, "prod"),
        at(3, DAY.until_ns - 1, "dev"),
        at(4, DAY.until_ns, "prod"),
    )

    assert sorted(one.environment or "" for one in found) == ["dev", "prod"]
    in_prod = subject.groups(wanted=replace(DAY, environment="prod"))
    assert [one.environment for one in in_prod] == ["prod"]
    assert subject.traffic.first_seen(replace(DAY, environment="dev")) == {
        ("support-assistant", "dev", "enforce"): DAY.until_ns - 1
    }


def test_the_first_call_is_told_by_service_environment_and_mode(subject: Subject) -> None:
    def at(number: int, second: int, mode: str) -> Entry:
        return tried(
            number,
            number,
            attempt=an_attempt(opened_at_ns=NOON_NS + second * SECOND_NS),
            decision=a_decision(mode=mode),
        )

    subject.groups(at(1, 9, "enforce"), at(2, 7, "enforce"), at(3, 3, "report_only"))

    assert subject.traffic.first_seen(DAY) == {
        ("support-assistant", "prod", "enforce"): NOON_NS + 7 * SECOND_NS,
        ("support-assistant", "prod", "report_only"): NOON_NS + 3 * SECOND_NS,
    }


def test_sums_go_beyond_what_one_cell_holds(subject: Subject) -> None:
    (group,) = subject.groups(*(tried(number, number, cost="8000000.5") for number in (1, 2, 3)))

    assert group.amount.cost == Decimal("24000001.5")


def test_two_currencies_are_never_added(subject: Subject) -> None:
    subject.ledger.append([tried(1, 1), Entry(an_event(2), a_price(currency="EUR"))])

    with pytest.raises(LedgerError, match="more than one currency"):
        list(subject.traffic.groups(DAY))
