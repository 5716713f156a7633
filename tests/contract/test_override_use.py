"""What every ledger promises of the use of overrides: two databases and the fake alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

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
    an_ownership,
    event_id,
    no_charge,
)
from fakes.ledger import FakeLedger
from fakes.override_use import FakeOverrideUse
from tallygate.adapters.stores import override_queries
from tallygate.adapters.stores.override_queries import StoredOverrideUse
from tallygate.adapters.stores.postgres import PostgresLedger
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.override_ports import ExcusedCalls, OverrideUse
from tallygate.application.ports import Ledger
from tallygate.domain.ledger.events import Entry, EventKind
from tallygate.domain.policy.decision import Waived
from tallygate.errors import LedgerError

DAY_NS = 86_400 * SECOND_NS
OVR = Waived("ownership_missing", "tenant_id_hash", "ovr-1")
BG = Waived("ownership_unknown", "feature", "bg-1")

Pair = tuple[Ledger, OverrideUse]


@pytest.fixture(params=["sqlite", "postgres", "fake"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    if request.param == "fake":
        ledger = FakeLedger()
        yield ledger, FakeOverrideUse(ledger)
        return
    stored: SqliteLedger | PostgresLedger
    if request.param == "postgres":
        stored = PostgresLedger(request.getfixturevalue("postgres_url"))
    else:
        stored = SqliteLedger(tmp_path / "ledger.db")
    stored.prepare()
    yield stored, StoredOverrideUse(stored.reading)
    stored.close()


def waived(*entries: Waived) -> tuple[dict[str, str], ...]:
    return tuple({"code": e.code, "field": e.field, "override": e.override} for e in entries)


def a_line(
    number: int, *entries: Waived, call: str = "", at_ns: int = NOON_NS, **changes: Any
) -> Entry:
    """Make an attempt of a call that passed with these waived."""
    workflow, cost = changes.pop("workflow_id", "wf-17"), changes.pop("cost", "0.5")
    return an_entry(
        number,
        cost=cost,
        call=a_call(call_id=call or f"call-{number}", started_at_ns=at_ns),
        attempt=an_attempt(opened_at_ns=at_ns + SECOND_NS),
        ownership=an_ownership(workflow_id=workflow),
        decision=a_decision(waived=waived(*entries), **changes),
    )


def the_only(found: Any) -> ExcusedCalls:
    (group,) = found
    assert isinstance(group, ExcusedCalls)
    return group


def test_an_empty_ledger_has_excused_nothing(pair: Pair) -> None:
    _, use = pair

    assert list(use.excused(0, NOON_NS)) == []
    assert list(use.activations(0)) == []


def test_calls_are_added_up_by_what_excused_them(pair: Pair) -> None:
    ledger, use = pair
    ledger.append(
        [
            a_line(1, OVR),
            a_line(2, OVR, at_ns=NOON_NS + 60 * SECOND_NS, cost=None),
            a_line(3, OVR, BG),
            a_line(4),
        ]
    )

    found = {group.waived: group for group in use.excused(0, NOON_NS + DAY_NS)}

    assert set(found) == {(OVR,), (OVR, BG)}
    assert found[OVR,] == ExcusedCalls(
        waived=(OVR,),
        service="support-assistant",
        workflow_id="wf-17",
        mode="enforce",
        calls=2,
        cost=Decimal("0.5"),
        unpriced=1,
        last_ns=NOON_NS + 60 * SECOND_NS,
    )
    assert found[OVR, BG].overrides == {"ovr-1", "bg-1"}


def test_a_call_counts_once_with_all_that_it_cost(pair: Pair) -> None:
    ledger, use = pair
    usage = replace(a_line(3, OVR, call="call-1").event, kind=EventKind.USAGE)
    ledger.append(
        [
            a_line(1, OVR, call="call-1"),
            a_line(2, OVR, call="call-1"),
            Entry(usage, a_price("0.25")),
        ]
    )

    group = the_only(use.excused(0, NOON_NS + DAY_NS))

    assert (group.calls, group.cost) == (1, Decimal("1.25"))


def test_an_attempt_that_was_corrected_is_known(pair: Pair) -> None:
    ledger, use = pair
    correction = replace(
        a_line(2, OVR, call="call-1").event,
        kind=EventKind.CORRECTION,
        corrects_event_id=event_id(1),
    )
    ledger.append([a_line(1, OVR, cost=None), Entry(correction, a_price("0.75"))])

    group = the_only(use.excused(0, NOON_NS + DAY_NS))

    assert (group.calls, group.cost, group.unpriced) == (1, Decimal("0.75"), 0)


def test_workflows_services_and_modes_stand_apart(pair: Pair) -> None:
    ledger, use = pair
    ledger.append(
        [
            a_line(1, OVR),
            a_line(2, OVR, workflow_id=None),
            a_line(3, OVR, mode="report_only"),
        ]
    )

    found = use.excused(0, NOON_NS + DAY_NS)

    assert {(group.workflow_id, group.mode) for group in found} == {
        ("wf-17", "enforce"),
        (None, "enforce"),
        ("wf-17", "report_only"),
    }


def test_what_was_refused_was_not_excused(pair: Pair) -> None:
    ledger, use = pair
    refused = a_decision(action="reject", would_action="reject", waived=waived(OVR))
    ledger.append([Entry(a_refusal(1, decision=refused), no_charge())])

    assert list(use.excused(0, NOON_NS + DAY_NS)) == []


@pytest.mark.parametrize(
    ("since_ns", "until_ns", "calls"),
    [
        pytest.param(NOON_NS, NOON_NS + 1, 1, id="from the instant on"),
        pytest.param(NOON_NS - 1, NOON_NS, 0, id="until just before"),
        pytest.param(NOON_NS + 1, NOON_NS + DAY_NS, 0, id="from just after"),
    ],
)
def test_a_call_belongs_to_the_instant_at_which_it_began(
    pair: Pair, since_ns: int, until_ns: int, calls: int
) -> None:
    ledger, use = pair
    ledger.append([a_line(1, OVR)])

    assert sum(group.calls for group in use.excused(since_ns, until_ns)) == calls


def test_dollars_past_what_a_database_can_sum_are_exact(pair: Pair) -> None:
    ledger, use = pair
    ledger.append([a_line(number, OVR, cost="8999999.000000000001") for number in range(1, 4)])

    group = the_only(use.excused(0, NOON_NS + DAY_NS))

    assert group.cost == Decimal("26999997.000000000003")


def test_several_currencies_are_not_summed(pair: Pair) -> None:
    ledger, use = pair
    euro = a_line(2, OVR, workflow_id="wf-2")
    ledger.append([a_line(1, OVR), Entry(euro.event, replace(euro.price, currency="EUR"))])

    with pytest.raises(LedgerError, match="currency"):
        use.excused(0, NOON_NS + DAY_NS)


def test_activations_come_in_the_order_in_which_they_happened(pair: Pair) -> None:
    ledger, use = pair
    later = an_activation(1, ended=True, reason="it is back")
    later = replace(later, call=replace(later.call, started_at_ns=NOON_NS + SECOND_NS))
    ledger.append([Entry(later, no_charge()), Entry(an_activation(2), no_charge()), a_line(3, OVR)])

    found = use.activations(NOON_NS)

    assert [(facts.ended, facts.reason) for facts in found] == [
        (False, "the flag service is down"),
        (True, "it is back"),
    ]
    assert [facts.ended for facts in use.activations(NOON_NS + 1)] == [True]


def test_only_what_was_excused_is_looked_at(pair: Pair) -> None:
    ledger, _ = pair
    if isinstance(ledger, FakeLedger):
        pytest.skip("the ledger in memory has no indexes")
    assert isinstance(ledger, SqliteLedger | PostgresLedger)
    ledger.append([a_line(1, OVR)])
    with ledger.reading() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if not is_sqlite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        query = override_queries._grouped(NOON_NS, NOON_NS + DAY_NS).compile(
            connection, compile_kwargs={"literal_binds": True}
        )
        rows = connection.execute(text(f"{explain} {query}".replace("%%", "%"))).all()

    assert "events_by_waived" in " ".join(str(row[-1]) for row in rows)
