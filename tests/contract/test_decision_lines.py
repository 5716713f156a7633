"""One suite for the port DecisionLines: a database, a file that was exported, and the fake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fakes.decision_lines import LedgerLines
from fakes.entries import (
    NOON_NS,
    SECOND_NS,
    a_call,
    a_decision,
    a_price,
    a_refusal,
    an_attempt,
    an_event,
    an_ownership,
    event_id,
    no_charge,
)
from fakes.ledger import FakeLedger
from tallygate.adapters.files.recorded_export import write_recorded_inputs
from tallygate.adapters.files.recorded_inputs import RecordedInputsFile
from tallygate.adapters.stores.decision_lines import SqlDecisionLines
from tallygate.adapters.stores.postgres import PostgresLedger
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.ports import EventFilter, Ledger, Total
from tallygate.application.recording import recorded_groups
from tallygate.application.replay_ports import DecisionLines, RecordedCalls
from tallygate.domain.ledger.events import Entry, Event, EventKind
from tallygate.domain.policy.recorded_input import digest_of_input
from tallygate.errors import LedgerError

HOUR_NS = 3600 * SECOND_NS
SINCE_NS, UNTIL_NS = NOON_NS - 24 * HOUR_NS, NOON_NS + 24 * HOUR_NS
CHAT = {"call": {"models": ["gpt-5.4"]}, "claims": {"service": "support-assistant"}}
BATCH = {"call": {"models": ["?12345678"]}, "claims": {"service": "batch-summaries"}}


@dataclass
class Subject:
    """A ledger, and how its decisions are read back."""

    ledger: Ledger
    kind: str
    folder: Path

    def lines(self) -> DecisionLines:
        if isinstance(self.ledger, FakeLedger):
            stored: DecisionLines = LedgerLines(self.ledger)
        else:
            assert isinstance(self.ledger, SqliteLedger | PostgresLedger)
            stored = SqlDecisionLines(self.ledger)
        if self.kind != "file":
            return stored
        path = self.folder / "inputs.jsonl.zst"
        groups = recorded_groups(stored, SINCE_NS, UNTIL_NS)
        total = Total(Decimal(0), 0, 0)
        write_recorded_inputs(path, SINCE_NS, UNTIL_NS, total, groups, stored.decision_inputs)
        return RecordedInputsFile(path)

    def calls(
        self, *, by_call_bucket: bool = False, cuts_ns: Sequence[int] = ()
    ) -> list[RecordedCalls]:
        found = self.lines().recorded_calls(
            SINCE_NS, UNTIL_NS, by_call_bucket=by_call_bucket, cuts_ns=cuts_ns
        )
        return list(found)


@pytest.fixture(params=["sqlite", "postgres", "file", "fake"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    ledger: SqliteLedger | PostgresLedger
    if request.param == "fake":
        yield Subject(FakeLedger(), "fake", tmp_path)
        return
    if request.param == "postgres":
        ledger = PostgresLedger(request.getfixturevalue("postgres_url"))
    else:
        ledger = SqliteLedger(tmp_path / "ledger.db")
    yield Subject(ledger, request.param, tmp_path)
    ledger.close()


def decided(number: int, recorded: dict[str, Any] | None = CHAT, **changes: Any) -> Any:
    facts: dict[str, Any] = {
        "decision_id": event_id(1000 + number),
        "input_digest": recorded and digest_of_input(recorded),
        "input": recorded,
        "call_bucket": None if recorded is None else number % 100,
    }
    return a_decision(**facts | changes)


def an_attempt_at(number: int, at_ns: int = NOON_NS, **changes: Any) -> Event:
    """One attempt of a call of its own, which came in at that instant."""
    facts: dict[str, Any] = {
        "call": a_call(call_id=f"call-{number}", started_at_ns=at_ns),
        "decision": decided(number),
        "attempt": an_attempt(opened_at_ns=at_ns),
    }
    return an_event(number, **facts | changes)


def priced(event: Event, cost: str | None = "0.5") -> Entry:
    return Entry(event, a_price(cost, lines=(), usage=None))


def a_refusal_at(number: int, count: int = 1, **changes: Any) -> Entry:
    refusal = a_refusal(
        number,
        call=a_call(call_id=f"call-{number}"),
        decision=decided(number, action="reject", would_action="reject"),
        call_count=count,
    )
    return Entry(replace(refusal, **changes), no_charge())


def test_an_empty_ledger_has_no_calls(subject: Subject) -> None:
    assert subject.calls() == []
    assert list(subject.lines().decision_inputs()) == []


def test_alike_calls_are_one_line(subject: Subject) -> None:
    subject.ledger.append([priced(an_attempt_at(n, NOON_NS + n)) for n in (1, 2, 3)])

    (found,) = subject.calls()

    assert found == RecordedCalls(
        input_digest=digest_of_input(CHAT),
        call_bucket=None,
        span=0,
        service="support-assistant",
        owner_team="team-support",
        environment="prod",
        action="admit",
        would_action="admit",
        mode="enforce",
        calls=3,
        cost=Decimal("1.5"),
        unpriced=0,
        first_at_ns=NOON_NS + 1,
        last_at_ns=NOON_NS + 3,
        samples=found.samples,
    )
    assert 1 <= len(found.samples) <= 3
    assert set(found.samples) <= {event_id(1000 + n) for n in (1, 2, 3)}


def test_a_call_with_several_attempts_counts_once_and_costs_all_of_them(subject: Subject) -> None:
    first = an_attempt_at(1)
    again = replace(first, event_id=event_id(2), attempt=an_attempt(number=2))
    subject.ledger.append([priced(first), priced(again)])

    (found,) = subject.calls()

    assert (found.calls, found.cost) == (1, Decimal(1))


def test_refusals_count_as_many_calls_as_they_stand_for(subject: Subject) -> None:
    subject.ledger.append([a_refusal_at(1), a_refusal_at(2, count=40)])

    (found,) = subject.calls()

    assert (found.action, found.calls, found.cost) == ("reject", 41, Decimal(0))


def test_usage_that_comes_apart_adds_cost_and_no_call(subject: Subject) -> None:
    attempt = an_attempt_at(1)
    usage = replace(attempt, event_id=event_id(2), kind=EventKind.USAGE)
    subject.ledger.append([priced(attempt), priced(usage, "2")])

    (found,) = subject.calls()

    assert (found.calls, found.cost) == (1, Decimal("2.5"))


def test_a_correction_is_counted_in_place_of_what_it_corrects(subject: Subject) -> None:
    lost, other = an_attempt_at(1), an_attempt_at(2)
    late = replace(
        lost, event_id=event_id(3), kind=EventKind.CORRECTION, corrects_event_id=lost.event_id
    )
    subject.ledger.append([priced(lost, None), priced(other, None), priced(late, "3")])

    (found,) = subject.calls()

    assert (found.calls, found.cost, found.unpriced) == (2, Decimal(3), 1)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"decision": decided(2, BATCH)}, id="what was asked"),
        pytest.param({"decision": decided(2, None)}, id="a line older than inputs"),
        pytest.param({"decision": decided(2, mode="report_only")}, id="mode"),
        pytest.param({"decision": decided(2, action="quarantine")}, id="action"),
        pytest.param({"decision": decided(2, would_action="reject")}, id="what enforce would do"),
        pytest.param({"ownership": an_ownership(service="batch-summaries")}, id="service"),
        pytest.param({"ownership": an_ownership(owner_team=None)}, id="team"),
        pytest.param({"ownership": an_ownership(environment=None)}, id="environment"),
    ],
)
def test_calls_that_differ_are_two_lines(subject: Subject, changes: dict[str, Any]) -> None:
    subject.ledger.append([priced(an_attempt_at(1)), priced(an_attempt_at(2, **changes))])

    found = subject.calls()

    assert [calls.calls for calls in found] == [1, 1]


def test_what_no_policy_can_change_alone_does_not_part_calls(subject: Subject) -> None:
    asked_again = decided(2, status="remembered", latency_us=7, policy_revision="sha256:2")
    subject.ledger.append(
        [priced(an_attempt_at(1)), priced(an_attempt_at(2, decision=asked_again))]
    )

    assert [calls.calls for calls in subject.calls()] == [2]


# By bucket and by time


def test_by_bucket_each_call_stands_under_its_own(subject: Subject) -> None:
    subject.ledger.append([priced(an_attempt_at(n)) for n in (3, 7, 103)])

    found = subject.calls(by_call_bucket=True)

    assert [(calls.call_bucket, calls.calls, calls.cost) for calls in found] == [
        (3, 2, Decimal(1)),
        (7, 1, Decimal("0.5")),
    ]
    assert found[1].samples == (event_id(1007),)


def test_groups_that_differ_in_their_bucket_alone_come_one_after_the_other(
    subject: Subject,
) -> None:
    entries = [
        priced(an_attempt_at(n, decision=decided(n, (CHAT, BATCH)[n % 2]))) for n in range(1, 9)
    ]
    subject.ledger.append(entries)

    digests = [calls.input_digest for calls in subject.calls(by_call_bucket=True)]

    assert len(digests) == 8
    assert digests[0:4] == [digests[0]] * 4
    assert digests[4:8] == [digests[4]] * 4


def test_cuts_part_calls_by_when_they_came_in(subject: Subject) -> None:
    cuts_ns = (NOON_NS - 2 * HOUR_NS, NOON_NS, NOON_NS + HOUR_NS)
    at_ns = [NOON_NS - 3 * HOUR_NS, NOON_NS - 1, NOON_NS, NOON_NS + 5, NOON_NS + 2 * HOUR_NS]
    subject.ledger.append([priced(an_attempt_at(n, at)) for n, at in enumerate(at_ns, start=1)])

    found = subject.calls(cuts_ns=cuts_ns)

    assert [(calls.span, calls.calls) for calls in found] == [(0, 1), (1, 1), (2, 2), (3, 1)]
    assert [calls.first_at_ns for calls in found] == [at_ns[0], at_ns[1], at_ns[2], at_ns[4]]


def test_very_many_cuts_are_no_burden(subject: Subject) -> None:
    cuts_ns = range(NOON_NS - 1000 * HOUR_NS, NOON_NS + 1000 * HOUR_NS, HOUR_NS)
    subject.ledger.append([priced(an_attempt_at(1))])

    assert [calls.span for calls in subject.calls(cuts_ns=cuts_ns)] == [1001]


def test_all_attempts_of_a_call_lie_where_it_came_in(subject: Subject) -> None:
    first = an_attempt_at(1, NOON_NS - 1)
    late = replace(
        first, event_id=event_id(2), attempt=an_attempt(number=2, opened_at_ns=NOON_NS + 1)
    )
    subject.ledger.append([priced(first), priced(late)])

    (found,) = subject.calls(cuts_ns=(NOON_NS,))

    assert (found.span, found.calls, found.cost) == (0, 1, Decimal(1))


def test_the_time_is_half_open(subject: Subject) -> None:
    if subject.kind == "file":
        pytest.skip("a file holds whole hours of the time that it was exported for")
    at_ns = [NOON_NS - 1, NOON_NS, NOON_NS + 1]
    subject.ledger.append([priced(an_attempt_at(n, at)) for n, at in enumerate(at_ns, start=1)])
    lines = subject.lines()

    (found,) = lines.recorded_calls(NOON_NS, NOON_NS + 1, by_call_bucket=False)
    (later,) = lines.recorded_calls(NOON_NS, None, by_call_bucket=False)
    (earlier,) = lines.recorded_calls(None, NOON_NS, by_call_bucket=False)

    assert (found.calls, later.calls, earlier.calls) == (1, 2, 1)


def test_the_lines_add_up_to_what_the_ledger_says(subject: Subject) -> None:
    entries = [
        *(priced(an_attempt_at(n, NOON_NS + n), f"0.{n:012}") for n in range(1, 30)),
        priced(an_attempt_at(30), None),
        priced(an_attempt_at(31, decision=decided(31, None)), "9000000"),
        a_refusal_at(32, count=9),
    ]
    subject.ledger.append(entries)
    total = subject.ledger.total(EventFilter())

    found = subject.calls(by_call_bucket=True, cuts_ns=(NOON_NS + 7,))

    assert sum(calls.cost for calls in found) == total.cost
    assert sum(calls.unpriced for calls in found) == total.unpriced == 1
    assert sum(calls.calls for calls in found) == 31 + 9


def test_costs_in_two_currencies_are_not_summed(subject: Subject) -> None:
    if subject.kind == "fake":
        pytest.skip("the ledger in memory knows no currencies")
    euros = Entry(an_attempt_at(2), a_price("1", currency="EUR"))
    subject.ledger.append([priced(an_attempt_at(1)), euros])

    with pytest.raises(LedgerError, match="more than one currency"):
        subject.calls()


# Inputs and single decisions


def test_an_input_is_kept_once_and_read_back(subject: Subject) -> None:
    subject.ledger.append([priced(an_attempt_at(1)), priced(an_attempt_at(2))])
    batch = priced(an_attempt_at(3, decision=decided(3, BATCH)))
    subject.ledger.append([batch, priced(an_attempt_at(4))])
    lines = subject.lines()

    assert dict(lines.decision_inputs()) == {
        digest_of_input(CHAT): CHAT,
        digest_of_input(BATCH): BATCH,
    }
    assert list(lines.decision_inputs([digest_of_input(BATCH), "sha256:none"])) == [
        (digest_of_input(BATCH), BATCH)
    ]
    assert list(lines.decision_inputs([])) == []


def test_an_input_that_comes_later_or_under_anothers_digest_changes_nothing(
    subject: Subject,
) -> None:
    without = priced(an_attempt_at(1, decision=replace(decided(1), input=None)))
    subject.ledger.append([without])
    assert list(subject.lines().decision_inputs()) == []

    forged = replace(decided(2), input=BATCH)
    subject.ledger.append([priced(an_attempt_at(2, decision=forged)), priced(an_attempt_at(3))])

    assert list(subject.lines().decision_inputs()) == [(digest_of_input(CHAT), CHAT)]


def test_the_input_of_an_entry_that_is_refused_is_kept_all_the_same(subject: Subject) -> None:
    broken = priced(an_attempt_at(1, call_count=0))

    appended = subject.ledger.append(
        [broken, priced(an_attempt_at(2, decision=replace(decided(2), input=None)))]
    )

    assert appended.rejected == (event_id(1),)
    assert dict(subject.lines().decision_inputs()) == {digest_of_input(CHAT): CHAT}


def test_more_inputs_than_a_page_are_all_read(subject: Subject) -> None:
    inputs = [{"claims": {"n": n}} for n in range(2100)]
    subject.ledger.append(
        [priced(an_attempt_at(n, decision=decided(n, each))) for n, each in enumerate(inputs, 1)]
    )
    lines = subject.lines()

    found = dict(lines.decision_inputs())

    assert found == {digest_of_input(each): each for each in inputs}
    assert dict(lines.decision_inputs(list(found))) == found


def test_a_decision_is_found_with_what_it_was_about(subject: Subject) -> None:
    first = an_attempt_at(1)
    again = replace(first, event_id=event_id(2), attempt=an_attempt(number=2))
    subject.ledger.append([priced(again), priced(first), priced(an_attempt_at(3))])

    found = subject.lines().decision_line(event_id(1001))

    assert found is not None
    assert (found.decision_id, found.call_bucket) == (event_id(1001), 1)
    assert (found.input_digest, found.recorded) == (digest_of_input(CHAT), CHAT)
    assert found.event["service"] == "support-assistant"
    if subject.kind != "file":
        assert found.decided_at_ns == NOON_NS
        assert found.event["attempt_number"] in (1, 2)


@pytest.mark.parametrize("recorded", [None, CHAT])
def test_a_decision_whose_input_is_not_there_is_found_without(
    subject: Subject, recorded: dict[str, Any] | None
) -> None:
    decision = replace(decided(1, recorded), input=None, decision_id="dec-1")
    subject.ledger.append([priced(an_attempt_at(1, decision=decision))])

    found = subject.lines().decision_line("dec-1")

    assert found is not None
    assert found.recorded is None
    assert found.decided_at_ns == NOON_NS


def test_a_decision_that_nobody_took_is_not_found(subject: Subject) -> None:
    subject.ledger.append([priced(an_attempt_at(1))])

    assert subject.lines().decision_line(event_id(5)) is None
    assert subject.lines().decision_line("nonsense") is None
