"""Each input is written once by a process, and never lost by what goes wrong on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from fakes.engines import ADMIT
from fakes.entries import a_decision, an_attempt, an_event, an_outcome, opened, settled
from fakes.lines import (
    HEADERS,
    REJECT,
    BrokenSpool,
    a_line,
    a_request,
    clock_of,
    decided,
    events_in,
)
from fakes.spool import FakeSpool, FakeSpoolFolder
from tallygate.application.flow import RequestLine
from tallygate.application.inputs_kept import InputsKept
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.attribution.ownership import Claims
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.policy.question import CallShape, call_bucket_of
from tallygate.domain.policy.recorded_input import digest_of_input
from tallygate.errors import EngineFailed

STRANGER = (b"x-tallygate-service", b"jane-doe")


def inputs_of(line: RequestLine) -> list[Mapping[str, Any] | None]:
    return [event.decision.input for event in events_in(line)]


def pass_a_call(line: RequestLine, **changes: Any) -> None:
    event = line.open(decided(line, a_request(**changes)), an_attempt())
    line.settle(event, an_outcome())


def test_every_event_names_the_digest_of_its_input_and_the_bucket_of_its_call() -> None:
    line = a_line()
    admission = decided(line, a_request(call_id="call-7"))

    event = line.open(admission, an_attempt())

    assert admission.recorded is not None
    assert event.decision.input_digest == digest_of_input(admission.recorded)
    assert event.decision.input == admission.recorded
    assert event.decision.call_bucket == call_bucket_of("call-7")
    assert admission.decision.input is None


def test_an_input_is_written_until_an_event_with_it_has_settled() -> None:
    line = a_line()
    first = line.open(decided(line), an_attempt())
    second = line.open(decided(line, a_request(call_id="call-2")), an_attempt())
    line.settle(second, an_outcome())

    third = line.open(decided(line, a_request(call_id="call-3")), an_attempt())
    line.settle(first, an_outcome())
    line.settle(third, an_outcome())

    assert [kept is not None for kept in inputs_of(line)] == [True, True, True, False, True, False]
    assert len({event.decision.input_digest for event in events_in(line)}) == 1


def test_calls_that_say_something_else_have_inputs_of_their_own() -> None:
    line = a_line()

    for headers in (HEADERS, HEADERS[:1], HEADERS):
        pass_a_call(line, claims=Claims(headers))

    assert [kept is not None for kept in inputs_of(line)] == [True, True, True, True, False, False]


def test_an_admission_that_comes_to_nothing_loses_nothing() -> None:
    line = a_line()
    decided(line)

    pass_a_call(line)

    assert None not in inputs_of(line)


def test_what_the_spool_did_not_take_is_not_taken_for_written() -> None:
    line = a_line(lambda _: REJECT, spool=BrokenSpool())
    decided(line)

    line.spool = FakeSpool()
    decided(line)

    (kept,) = inputs_of(line)
    assert kept is not None


def test_without_room_nothing_is_taken_for_written() -> None:
    folder = FakeSpoolFolder(limit=0)
    line = a_line(spool=FakeSpool(folder), contract={"spool_full": "pass"})
    pass_a_call(line)
    folder.limit = None

    pass_a_call(line)

    assert None not in inputs_of(line)


def test_refusals_that_are_held_back_keep_the_input_of_the_kind() -> None:
    line = a_line(lambda _: REJECT)
    for number in range(9):
        decided(line, a_request(call_id=f"call-{number}"))

    clock_of(line).go_on(seconds=60)
    line.write_held_refusals()

    *alone, aggregate = events_in(line)
    assert [event.decision.input is not None for event in alone] == [True, *[False] * 4]
    assert aggregate.call_count == 4
    assert aggregate.decision.input_digest == alone[0].decision.input_digest


def test_of_what_is_forgotten_the_input_is_written_again() -> None:
    kept = InputsKept(capacity=2)
    records = [
        settled(an_event(decision=a_decision(input_digest=f"sha256:{n}", input={"n": n})))
        for n in range(3)
    ]

    for record in records:
        kept.note(record)

    assert len(kept) == 2
    decisions = [a_decision(input_digest=f"sha256:{n}") for n in range(3)]
    shown = [kept.shown(decision, {"n": 1}).input for decision in decisions]
    assert shown == [{"n": 1}, None, None]


def test_an_opened_event_is_not_enough() -> None:
    kept = InputsKept()
    event = an_event(decision=a_decision(input_digest="sha256:1", input={"n": 1}))

    kept.note(opened(event))

    assert len(kept) == 0


# What an input does not hold.


def test_the_value_of_a_field_that_was_not_accepted_is_not_in_it() -> None:
    unknown = [{"code": "ownership_unknown", "field": "service"}]
    line = a_line(lambda _: {**ADMIT, "violations": unknown, "action": "admit"})

    recorded = decided(line, a_request(claims=Claims([STRANGER]))).recorded

    assert recorded is not None
    assert "jane-doe" not in str(recorded)
    assert recorded["claims"]["service"].startswith("?")


def test_an_excused_value_is_not_in_it_either() -> None:
    waived = [{"code": "ownership_malformed", "field": "service", "override": "ovr-1"}]
    line = a_line(lambda _: {**ADMIT, "waived": waived})

    recorded = decided(line, a_request(claims=Claims([STRANGER]))).recorded

    assert "jane-doe" not in str(recorded)


def test_what_nobody_judged_is_in_it_only_where_the_gate_itself_knows_it() -> None:
    def broken(_: Mapping[str, Any]) -> Mapping[str, Any]:
        raise EngineFailed("down")

    headers = [
        STRANGER,
        (b"x-tallygate-environment", b"prod"),
        (b"x-tallygate-workflow-id", b"nightly-digest"),
        (b"x-tallygate-feature", b"jane-doe"),
    ]
    admission = decided(a_line(broken), a_request(claims=Claims(headers)))

    assert admission.decision.status == "unavailable"
    assert admission.recorded is not None
    claims = admission.recorded["claims"]
    assert "jane-doe" not in str(admission.recorded)
    assert (claims["environment"], claims["workflow_id"]) == ("prod", "nightly-digest")
    assert claims["service"] == claims["feature"]


def test_a_pattern_that_nobody_judged_and_that_does_not_fit_is_not_in_it() -> None:
    line = a_line(lambda _: None)

    recorded = decided(
        line, a_request(claims=Claims([(b"x-tallygate-workflow-id", b"Jane-Doe")]))
    ).recorded

    assert "Jane" not in str(recorded)


def test_where_the_claims_were_not_read_there_is_no_input() -> None:
    admission = a_line().admit_blind(a_request())

    assert admission.recorded is None
    assert admission.decision.input_digest is None
    assert admission.decision.call_bucket == call_bucket_of("call-1")


@pytest.mark.parametrize("is_own", [False, True])
def test_an_observed_call_says_so(is_own: bool) -> None:
    recorded = a_line().observe(a_request(is_own=is_own)).recorded

    assert recorded is not None
    assert recorded["is_observed"] is True
    assert recorded.get("is_own", False) is is_own
    assert (recorded["claims"] == {}) is is_own


def test_what_is_no_json_has_no_input_and_is_decided_all_the_same() -> None:
    line = a_line()

    admission = decided(line, a_request(principal=Principal(team="\ud800")))

    assert admission.admitted
    assert admission.recorded is None
    assert line.open(admission, an_attempt()).decision.input_digest is None


def test_nothing_of_a_trace_or_an_identifier_is_in_it() -> None:
    shape = CallShape("/v1/chat/completions", "acompletion", "my-secret-model", stream=False)

    trace = Trace("tr_secret", "received", "1" * 32)
    recorded = decided(a_line(), a_request(shape=shape, trace=trace)).recorded

    assert "secret" not in str(recorded)
    assert "acme" not in str(recorded)
    assert "0123456789abcdef" not in str(recorded)
