"""What the gate was asked reaches the ledger, and can be asked again from there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.engines import ADMIT
from fakes.entries import NOON_NS, an_attempt, an_outcome
from fakes.lines import HEADERS, REJECT, a_line, a_request, clock_of, decided, engine_of
from tallygate.adapters.spool.reader import SegmentReader
from tallygate.adapters.spool.writer import SegmentSpool
from tallygate.adapters.stores.decision_lines import SqlDecisionLines
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.drain import drain_once
from tallygate.application.flow import RequestLine
from tallygate.application.ports import EventFilter
from tallygate.domain.attribution.ownership import Claims
from tallygate.domain.ledger.events import EventKind
from tallygate.domain.policy.recorded_input import question_from_recorded
from tallygate.domain.pricing.rule_book import RuleBook
from tallygate.errors import NoRuleBook


class NoBooks:
    def in_force(self, provider: str, at_ns: int) -> RuleBook:
        raise NoRuleBook(f"no rule book for {provider} at {at_ns}")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with closing(SqliteLedger(tmp_path / "ledger.db")) as ledger:
        yield ledger


def a_line_with_a_spool(folder: Path, *, rejects: bool = False) -> tuple[RequestLine, SegmentSpool]:
    line = a_line(lambda _: REJECT if rejects else ADMIT)
    spool = SegmentSpool(folder, limit_bytes=64 * 1024 * 1024)
    line.spool = spool
    return line, spool


def drain(folder: Path, ledger: SqliteLedger) -> None:
    with closing(SegmentReader(folder)) as reader:
        drain_once(reader, ledger, NoBooks())


def test_an_admitted_call_can_be_asked_again_from_the_ledger(
    tmp_path: Path, ledger: SqliteLedger
) -> None:
    line, spool = a_line_with_a_spool(tmp_path / "spool")
    for number in range(3):
        admission = decided(line, a_request(call_id=f"call-{number}"))
        line.settle(line.open(admission, an_attempt()), an_outcome())
    spool.close()

    drain(tmp_path / "spool", ledger)

    lines = SqlDecisionLines(ledger)
    (calls,) = lines.recorded_calls(None, None, by_call_bucket=False)
    assert calls.input_digest is not None
    inputs = dict(lines.decision_inputs([calls.input_digest]))
    asked, *_ = engine_of(line).questions
    policy = line.policy
    assert calls.calls == 3
    assert asked == question_from_recorded(
        inputs[calls.input_digest],
        policy.contract,
        policy.registry,
        call_bucket=None,
        at_ns=NOON_NS,
    )


def test_an_attempt_that_nobody_settled_brings_its_input_too(
    tmp_path: Path, ledger: SqliteLedger
) -> None:
    line, spool = a_line_with_a_spool(tmp_path / "spool")
    line.open(decided(line), an_attempt())
    spool.close()

    drain(tmp_path / "spool", ledger)

    (row,) = ledger.rows(EventFilter())
    assert row["status"] == "unknown"
    assert [digest for digest, _ in SqlDecisionLines(ledger).decision_inputs()] == [
        row["input_digest"]
    ]


def test_counted_refusals_and_late_ends_keep_the_input_of_their_call(
    tmp_path: Path, ledger: SqliteLedger
) -> None:
    line, spool = a_line_with_a_spool(tmp_path / "spool", rejects=True)
    for number in range(20):
        decided(line, a_request(call_id=f"call-{number}"))
    clock_of(line).go_on(seconds=60)
    line.write_held_refusals()
    observed = line.observe(a_request(call_id="call-x", claims=Claims(HEADERS[:2])))
    event = line.open(observed, an_attempt())
    line.settle_late(event, an_outcome())
    line.record_usage(
        replace(event, kind=EventKind.USAGE, event_id=line.new_id(), outcome=an_outcome())
    )
    spool.close()

    drain(tmp_path / "spool", ledger)

    lines = SqlDecisionLines(ledger)
    inputs = dict(lines.decision_inputs())
    found = list(lines.recorded_calls(None, None, by_call_bucket=False))
    assert sorted((calls.action, calls.calls) for calls in found) == [("admit", 1), ("reject", 20)]
    assert {calls.input_digest for calls in found} == set(inputs)
    assert [recorded.get("is_observed", False) for recorded in inputs.values()].count(True) == 1
