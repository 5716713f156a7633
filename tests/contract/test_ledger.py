from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from fakes.entries import (
    NOON_NS,
    PERSON,
    SECOND_NS,
    TENANT,
    a_call,
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
from tallygate.adapters.stores.postgres import PostgresLedger
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.ports import Appended, EventFilter, Ledger, Total
from tallygate.domain.ledger.events import Entry, EventKind, Status
from tallygate.errors import LedgerError

EVERYTHING = EventFilter()


@dataclass
class Subject:
    """A ledger under test, and how to do to it what the port does not offer."""

    ledger: Ledger
    path: Path | None = None
    url: str = ""

    def forget(self, subject_hash: str) -> None:
        if isinstance(self.ledger, FakeLedger):
            self.ledger.forget(subject_hash)
            return
        if self.url:
            with psycopg.connect(self.url) as connection:
                connection.execute("DELETE FROM subjects WHERE subject_hash = %s", (subject_hash,))
            return
        assert self.path is not None
        with closing(sqlite3.connect(self.path)) as file, file:
            file.execute("DELETE FROM subjects WHERE subject_hash = ?", (subject_hash,))

    def rejected(self) -> list[str]:
        """Return the ids that were kept aside."""
        if isinstance(self.ledger, FakeLedger):
            return list(self.ledger.rejected)
        query = "SELECT event_id FROM rejected_entries"
        if self.url:
            with psycopg.connect(self.url) as connection:
                return [row[0] for row in connection.execute(query)]
        assert self.path is not None
        with closing(sqlite3.connect(self.path)) as file:
            return [row[0] for row in file.execute(query)]


@pytest.fixture(params=["sqlite", "postgres", "fake"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    if request.param == "fake":
        yield Subject(FakeLedger())
        return
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        store = PostgresLedger(url)
        yield Subject(store, url=url)
        store.close()
        return
    path = tmp_path / "new" / "ledger.db"
    ledger = SqliteLedger(path, busy_timeout_s=0.2)
    yield Subject(ledger, path)
    ledger.close()


@pytest.fixture
def ledger(subject: Subject) -> Ledger:
    return subject.ledger


def ids_of(ledger: Ledger, wanted: EventFilter = EVERYTHING) -> list[str]:
    return [row["event_id"] for row in ledger.rows(wanted)]


# What every ledger promises


def test_an_empty_ledger_sums_to_nothing(ledger: Ledger) -> None:
    assert ledger.total(EVERYTHING) == Total(Decimal(0), events=0, unpriced=0)
    assert ledger.count_attempts() == 0
    assert ids_of(ledger) == []


def test_an_entry_is_read_back_as_it_was_booked(ledger: Ledger) -> None:
    assert ledger.append([an_entry()]) == Appended(inserted=1, duplicates=0)

    (row,) = ledger.rows(EVERYTHING)

    assert row["event_id"] == event_id(1)
    assert row["seq"] == 1
    assert row["occurred_at_ns"] == NOON_NS
    assert row["owner_team"] == "team-support"
    assert row["principal_bound"] is True
    assert row["stream"] is False
    assert row["tenant_id_hash"] == TENANT
    assert row["user_id_hash"] == PERSON
    assert TENANT not in (row["tenant_ref"], row["user_ref"])
    assert row["usage"]["prompt_tokens_details"] == {"cached_tokens": 1200}
    assert row["sources"] == {"owner_team": "header", "service": "header"}
    assert row["violations"] == []
    assert row["meters"] == {"cache_read": 1200, "input": 2200, "output": 620}
    assert row["charge_lines"][0] == {
        "meter": "input",
        "quantity": 2200,
        "unit_price": "0.00000075",
        "cost": "0.00165",
    }
    assert row["cost"] == Decimal("0.00453")
    assert row["avoided_cost"] is None
    assert row["recorded_at_ns"] > 0
    assert "cost_e12" not in row


def test_nothing_to_append_is_nothing_done(ledger: Ledger) -> None:
    assert ledger.append([]) == Appended(inserted=0, duplicates=0)


def test_an_activation_is_read_back_and_is_no_attempt(ledger: Ledger) -> None:
    ledger.append([an_entry(1), Entry(an_activation(2, ended=True), no_charge())])

    (row,) = ledger.rows(EventFilter(equals={"kind": "activation"}))
    assert row["activation"] == {
        "override_id": "bg-support-outage",
        "role": "incident-commander",
        "activated_by": "a" * 64,
        "reason": "the flag service is down",
        "ticket": "INC-7",
        "from_ns": NOON_NS,
        "until_ns": NOON_NS + 8 * 3600 * SECOND_NS,
        "ended": True,
    }
    assert row["cost"] == 0
    assert ledger.count_attempts() == 1
    assert [row["activation"] for row in ledger.rows(EventFilter(limit=1))] == [None]


def test_the_same_facts_again_are_a_duplicate(ledger: Ledger) -> None:
    ledger.append([an_entry(1)])

    again = ledger.append([an_entry(1), an_entry(2), an_entry(2)])

    assert again == Appended(inserted=1, duplicates=2)
    assert ledger.total(EVERYTHING).cost == Decimal("0.00906")


def test_the_same_facts_under_a_newer_rule_book_are_a_duplicate(ledger: Ledger) -> None:
    ledger.append([an_entry(1, cost=None)])

    assert ledger.append([an_entry(1, cost="0.5")]) == Appended(inserted=0, duplicates=1)
    assert ledger.total(EVERYTHING) == Total(Decimal(0), events=1, unpriced=1)


def test_other_facts_under_a_known_id_are_a_conflict_and_the_first_stays(ledger: Ledger) -> None:
    ledger.append([an_entry(1)])
    other = an_entry(1, outcome=an_outcome(http_status=201))

    appended = ledger.append([other, an_entry(2), other])

    assert appended == Appended(inserted=1, duplicates=1, conflicts=(event_id(1),))
    assert [row["http_status"] for row in ledger.rows(EVERYTHING)] == [200, 200]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"tenant_id_hash": None}, id="without the tenant"),
        pytest.param({"tenant_id_hash": "hk1_" + "c" * 32}, id="of another tenant"),
        pytest.param({"tenant_id_hash": PERSON}, id="of a tenant known as a person"),
    ],
)
def test_the_same_attempt_of_somebody_else_is_a_conflict(
    ledger: Ledger, change: dict[str, str | None]
) -> None:
    ledger.append([an_entry(1)])

    appended = ledger.append([an_entry(1, ownership=an_ownership(**change))])

    assert appended.conflicts == (event_id(1),)


def test_a_person_is_found_again_under_one_surrogate(ledger: Ledger) -> None:
    ledger.append([an_entry(1)])
    ledger.append([an_entry(2), an_entry(3, ownership=an_ownership(user_id_hash=TENANT))])

    first, second, third = ledger.rows(EVERYTHING)

    assert first["user_ref"] == second["user_ref"] != first["tenant_ref"]
    assert third["user_ref"] == third["tenant_ref"] == first["tenant_ref"]


def test_a_forgotten_person_leaves_the_sums_as_they_were(subject: Subject) -> None:
    ledger = subject.ledger
    ledger.append([an_entry(1), an_entry(2)])
    before = ledger.total(EVERYTHING)

    subject.forget(PERSON)

    assert ledger.total(EVERYTHING) == before
    rows = list(ledger.rows(EVERYTHING))
    assert [row["user_id_hash"] for row in rows] == [None, None]
    assert [row["tenant_id_hash"] for row in rows] == [TENANT, TENANT]


def test_a_batch_that_comes_again_after_a_person_was_forgotten_is_a_duplicate(
    subject: Subject,
) -> None:
    subject.ledger.append([an_entry(1)])
    subject.forget(PERSON)

    assert subject.ledger.append([an_entry(1)]) == Appended(inserted=0, duplicates=1)
    assert next(iter(subject.ledger.rows(EVERYTHING)))["user_id_hash"] is None


def test_who_was_forgotten_and_comes_back_is_somebody_new(subject: Subject) -> None:
    ledger = subject.ledger
    ledger.append([an_entry(1)])
    subject.forget(PERSON)

    ledger.append([an_entry(2), an_entry(1)])

    before, after = ledger.rows(EVERYTHING)
    assert (before["user_id_hash"], after["user_id_hash"]) == (None, PERSON)
    assert before["user_ref"] != after["user_ref"]


def test_an_unpriced_entry_is_counted_and_not_summed(ledger: Ledger) -> None:
    ledger.append([an_entry(1, cost=None), an_entry(2, cost="1.25")])

    assert ledger.total(EVERYTHING) == Total(Decimal("1.25"), events=2, unpriced=1)
    assert [row["cost"] for row in ledger.rows(EVERYTHING)] == [None, Decimal("1.25")]


def test_an_unknown_attempt_counts_at_what_its_correction_says(ledger: Ledger) -> None:
    unknown = an_unknown(1)
    correction = an_event(2, kind=EventKind.CORRECTION, corrects_event_id=event_id(1))
    ledger.append([Entry(unknown, a_price(None))])
    assert ledger.total(EVERYTHING) == Total(Decimal(0), events=1, unpriced=1)

    ledger.append([Entry(correction, a_price("0.75"))])

    assert ledger.total(EVERYTHING) == Total(Decimal("0.75"), events=2, unpriced=0)
    assert ledger.count_attempts() == 1


def test_a_correction_without_a_price_is_counted_in_the_place_of_what_it_corrects(
    ledger: Ledger,
) -> None:
    correction = an_event(2, kind=EventKind.CORRECTION, corrects_event_id=event_id(1))

    ledger.append([Entry(an_unknown(1), a_price(None)), Entry(correction, a_price(None))])

    assert ledger.total(EVERYTHING) == Total(Decimal(0), events=2, unpriced=1)


def test_attempts_are_counted_without_cache_hits_refusals_and_corrections(ledger: Ledger) -> None:
    cache_hit = an_event(2, outcome=an_outcome(status=Status.CACHE_HIT))
    correction = an_event(4, kind=EventKind.CORRECTION, corrects_event_id=event_id(1))
    ledger.append(
        [
            an_entry(1),
            Entry(cache_hit, no_charge(avoided_cost=Decimal("0.1"))),
            Entry(a_refusal(3), no_charge()),
            Entry(correction, a_price("-0.001")),
        ]
    )

    assert ledger.count_attempts() == 1
    assert ledger.total(EVERYTHING).cost == Decimal("0.00353")


def test_sums_go_beyond_what_one_cell_holds(ledger: Ledger) -> None:
    ledger.append([an_entry(number, cost="9000000.000000000001") for number in range(1, 4)])

    assert ledger.total(EVERYTHING).cost == Decimal("27000000.000000000003")


def test_two_currencies_are_not_added_up(ledger: Ledger) -> None:
    euros = Entry(an_event(2), a_price("1", currency="EUR"))
    ledger.append([an_entry(1), euros, Entry(a_refusal(3), no_charge(currency="GBP"))])

    with pytest.raises(LedgerError, match="more than one currency"):
        ledger.total(EVERYTHING)
    assert ledger.total(EventFilter(equals={"currency": "EUR"})).cost == Decimal(1)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param(EventFilter(since_ns=NOON_NS + SECOND_NS), [2, 3], id="since, inclusive"),
        pytest.param(EventFilter(until_ns=NOON_NS + SECOND_NS), [1], id="until, exclusive"),
        pytest.param(EventFilter(call_id="call-2"), [2, 3], id="call"),
        pytest.param(EventFilter(trace_id="tr_other"), [3], id="trace"),
        pytest.param(EventFilter(equals={"owner_team": "team-x"}), [3], id="one column"),
        pytest.param(
            EventFilter(equals={"owner_team": "team-x", "status": "ok"}), [], id="two columns"
        ),
        pytest.param(EventFilter(equals={"workflow_id": ""}), [2], id="empty means not set"),
        pytest.param(EventFilter(equals={"model": "gpt-5.4-2026-03-05"}), [1, 2], id="any model"),
        pytest.param(EventFilter(equals={"model": "frontier"}), [1, 2], id="model group"),
        pytest.param(EventFilter(equals={"violation": "ownership_missing"}), [3], id="violation"),
        pytest.param(EventFilter(equals={"tenant_id_hash": TENANT}), [1, 3], id="tenant"),
        pytest.param(EventFilter(equals={"user_id_hash": "hk1_nobody"}), [], id="nobody"),
        pytest.param(EventFilter(limit=2), [1, 2], id="limit"),
        pytest.param(EventFilter(limit=0), [], id="none"),
        pytest.param(EventFilter(limit=2, newest_first=True), [3, 2], id="newest first"),
    ],
)
def test_rows_are_those_that_match_all_of_the_filter(
    ledger: Ledger, wanted: EventFilter, found: list[int]
) -> None:
    later, latest = NOON_NS + SECOND_NS, NOON_NS + 2 * SECOND_NS
    ledger.append(
        [
            an_entry(1),
            an_entry(
                2,
                call=a_call(call_id="call-2"),
                attempt=an_attempt(opened_at_ns=later),
                ownership=an_ownership(workflow_id=None, tenant_id_hash=None),
            ),
            Entry(
                a_refusal(
                    3,
                    call=a_call(call_id="call-2", trace_id="tr_other", started_at_ns=latest),
                    ownership=an_ownership(owner_team="team-x"),
                ),
                no_charge(),
            ),
        ]
    )

    assert ids_of(ledger, wanted) == [event_id(number) for number in found]
    if wanted.limit is None:
        assert ledger.total(wanted).events == len(found)


@pytest.mark.parametrize("name", ["cost_e12", "1=1 --", "owner_tem"])
def test_a_column_that_is_not_offered_is_refused(ledger: Ledger, name: str) -> None:
    ledger.append([an_entry()])

    with pytest.raises(ValueError, match="cannot be filtered by"):
        list(ledger.rows(EventFilter(equals={name: "x"})))


def test_usage_that_comes_again_under_its_id_never_is_a_conflict(ledger: Ledger) -> None:
    polled = an_entry(1, kind=EventKind.USAGE)
    elsewhere = an_entry(
        1,
        kind=EventKind.USAGE,
        writer_id="writer-2",
        ownership=an_ownership(owner_team="team-x"),
        outcome=an_outcome(settled_at_ns=NOON_NS + 9 * SECOND_NS),
    )

    assert ledger.append([polled, elsewhere]) == Appended(inserted=1, duplicates=1)
    assert ledger.append([elsewhere]) == Appended(inserted=0, duplicates=1)
    assert [row["owner_team"] for row in ledger.rows(EVERYTHING)] == ["team-support"]


def test_usage_under_the_id_of_an_attempt_is_a_conflict(ledger: Ledger) -> None:
    ledger.append([an_entry(1)])

    appended = ledger.append([an_entry(1, kind=EventKind.USAGE)])

    assert appended.conflicts == (event_id(1),)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(Entry(an_event(2), a_price("-1")), id="a negative cost"),
        pytest.param(an_entry(2, kind=EventKind.CORRECTION), id="a correction of nothing"),
        pytest.param(an_entry(2, call_count=0), id="no call at all"),
        pytest.param(an_entry(2, cost="92233720368547758.08"), id="more than a cell holds"),
    ],
)
def test_an_entry_that_breaks_a_rule_is_kept_aside_and_the_rest_is_booked(
    subject: Subject, broken: Entry
) -> None:
    batch = [an_entry(1), broken, *(an_entry(number) for number in range(3, 8)), an_entry(3)]

    assert subject.ledger.append(batch) == Appended(
        inserted=6, duplicates=1, rejected=(event_id(2),)
    )
    assert subject.ledger.append([broken]).rejected == (event_id(2),)

    assert ids_of(subject.ledger) == [event_id(number) for number in (1, 3, 4, 5, 6, 7)]
    assert subject.rejected() == [event_id(2)]


def test_rows_are_those_that_were_there_when_the_reading_began(ledger: Ledger) -> None:
    ledger.append([an_entry(1), an_entry(2)])
    rows = ledger.rows(EVERYTHING)
    first = next(rows)

    ledger.append([an_entry(3)])

    assert [first["event_id"], *(row["event_id"] for row in rows)] == [event_id(1), event_id(2)]
