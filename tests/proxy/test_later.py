"""Batches, answers made in the background, turns: billed once, whoever looks and how often."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import orjson
import pytest

from fakes.journal import GRACE_S, SECRET, Call, a_failure
from fakes.lines import a_request, clock_of
from tallygate.adapters.files.rule_books import RuleBookFolder
from tallygate.domain.kernel.ids import ns_of_uuid7
from tallygate.domain.ledger.events import Event, EventKind, Outcome, Status, UsageSource
from tallygate.domain.policy.question import CallShape
from tallygate.domain.usage.normalisers import normalise
from tallygate.domain.usage.operations import USAGE_APART
from tallygate.proxy.journal import Journal
from tallygate.proxy.later import is_under_way
from tallygate.proxy.sending import Target
from tallygate.proxy.state import begun_attempt, current_attempt, current_call

POLICIES: Final = Path(__file__).parents[2] / "policies"
DONE_S: Final = 1_795_000_000
READS_BATCH: Final = Target("GET", "api.openai.com", "/v1/batches/batch_1")
READS_ANSWER: Final = Target("GET", "api.openai.com", "/v1/responses/resp_1")


@pytest.fixture(autouse=True)
def _no_call_around() -> Iterator[None]:
    tokens = current_attempt.set(None), begun_attempt.set(None), current_call.set(None)
    yield
    current_attempt.reset(tokens[0])
    begun_attempt.reset(tokens[1])
    current_call.reset(tokens[2])


def a_batch(**changes: Any) -> SimpleNamespace:
    facts: dict[str, Any] = {
        "id": "batch_1",
        "status": "completed",
        "created_at": DONE_S - 100,
        "completed_at": DONE_S,
        "output_file_id": "file-out",
        "request_counts": SimpleNamespace(completed=3),
        "usage": None,
        "_hidden_params": {"batch_models": ["gpt-5.4"]},
    }
    return SimpleNamespace(**facts | changes)


def a_record(tokens: int = 10, model: str = "gpt-5.4", **usage: Any) -> bytes:
    counts = {"prompt_tokens": tokens, "completion_tokens": 2, "total_tokens": tokens + 2, **usage}
    body = {"model": model, "usage": counts, "choices": [{"message": {"content": SECRET}}]}
    return orjson.dumps({"custom_id": SECRET, "response": {"status_code": 200, "body": body}})


def a_result(tokens: int = 10, **usage: Any) -> bytes:
    """Write a line of Anthropic's results."""
    counts = {"input_tokens": tokens, "output_tokens": 2, **usage}
    message = {"model": "claude-sonnet-4-5", "usage": counts, "content": [{"text": SECRET}]}
    return orjson.dumps({"custom_id": SECRET, "result": {"type": "succeeded", "message": message}})


class Poll(Call):
    """A client looks at a batch; LiteLLM fetches the output of one that is done, to price it."""

    def looks(self, batch: object, *lines: bytes, file_id: str = "file-out") -> None:
        current_call.set(self.state)
        current_attempt.set(None)
        self.journal.begin(self.state, {"model_info": {"id": "dep-1"}}, "aretrieve_batch")
        self.ready(call_type="aretrieve_batch")
        self.send(READS_BATCH)
        self.journal.sends.on_status(READS_BATCH, 200, {})
        self.answer(batch)
        if lines:
            self.shows(*lines, file_id=file_id)
        self.log(batch, call_type="aretrieve_batch")
        self.end()

    def shows(self, *lines: bytes, file_id: str = "file-out") -> None:
        self.journal.begin(self.state, {"file_id": file_id}, "afile_content")
        self.log(SimpleNamespace(content=b"\n".join(lines)), call_type="afile_content")
        current_attempt.set(None)

    @property
    def usages(self) -> list[Event]:
        return [event for event in self.settled if event.kind is EventKind.USAGE]

    @property
    def counted(self) -> list[dict[str, Any]]:
        return [dict(_outcome(event).usage or {}) for event in self.usages]


def _outcome(event: Event) -> Outcome:
    assert event.outcome is not None
    return event.outcome


def _ids(call: Poll) -> list[str]:
    return [event.event_id for event in call.usages]


@pytest.fixture
def poll() -> Poll:
    return Poll()


# Batches.


def test_a_batch_is_billed_by_its_records(poll: Poll) -> None:
    poll.looks(a_batch(), a_record(10), a_record(30, prompt_tokens_details={"cached_tokens": 4}))

    (event,) = poll.usages
    assert poll.counted == [
        {
            "prompt_tokens": 40,
            "completion_tokens": 4,
            "total_tokens": 44,
            "prompt_tokens_details": {"cached_tokens": 4},
            "records": 2,
            "shortest_input_tokens": 10,
            "longest_input_tokens": 30,
        }
    ]
    outcome = _outcome(event)
    assert (outcome.usage_format, outcome.usage_source) == ("openai_chat", UsageSource.REPORTED)
    assert (outcome.response_model, outcome.response_id) == ("gpt-5.4", "batch_1")


def test_its_usage_names_the_attempt_that_looked_and_stands_at_the_batchs_end(poll: Poll) -> None:
    poll.looks(a_batch(), a_record())

    (event,) = poll.usages
    looked = next(event for event in poll.settled if event.kind is EventKind.ATTEMPT)
    assert event.attempt is not None
    assert event.attempt.parent_event_id == looked.event_id
    assert event.attempt.operation == "batch"
    assert event.occurred_at_ns == DONE_S * 1_000_000_000
    assert ns_of_uuid7(event.event_id) == DONE_S * 1_000_000_000
    assert event.call.call_type == "acreate_batch"
    assert event.ownership == looked.ownership
    assert _outcome(looked).usage is None


def test_usage_repeats_no_attempt_where_the_look_did(poll: Poll) -> None:
    poll.begin()
    poll.on_wire()
    poll.fail(a_failure())
    poll.looks(a_batch(), a_record())

    looked = [e.attempt for e in poll.settled if e.attempt and e.kind is EventKind.ATTEMPT][-1]
    assert looked.retry_of_event_id is not None
    assert [e.attempt.retry_of_event_id for e in poll.usages if e.attempt] == [None]


def test_whoever_looks_finds_the_same_events(poll: Poll) -> None:
    other = Poll()
    clock_of(other.line).go_on(seconds=3600)
    poll.looks(a_batch(), a_record(10), a_record(20, "gpt-5.4-mini"))
    other.looks(a_batch(), a_record(20, "gpt-5.4-mini"), a_record(10))

    assert len(set(_ids(poll))) == 2
    assert set(_ids(poll)) == set(_ids(other))


def test_a_process_writes_a_batch_once_however_often_it_is_polled(poll: Poll) -> None:
    poll.looks(a_batch(), a_record())
    again = Poll(poll.line, poll.journal)
    again.looks(a_batch(), a_record())
    again.looks(a_batch(usage={"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}))
    again.sweep_after(GRACE_S + 1)

    assert len(again.usages) == 1


def test_two_batches_are_two(poll: Poll) -> None:
    poll.looks(a_batch(), a_record())
    poll.looks(a_batch(id="batch_2"), a_record())

    assert len(set(_ids(poll))) == 2


def test_records_are_added_up_by_model_and_by_length(poll: Poll) -> None:
    lengths = [99_999, 100_000, 100_001, 200_000, 272_000, 272_001, 2_000_000]
    poll.looks(a_batch(), *(a_record(n) for n in lengths), a_record(5, "gpt-5.4-mini"))

    spans = sorted(
        (_outcome(event).response_model, c["shortest_input_tokens"], c["longest_input_tokens"])
        for event, c in zip(poll.usages, poll.counted, strict=True)
    )
    assert spans == [
        ("gpt-5.4", 99_999, 100_000),
        ("gpt-5.4", 100_001, 100_001),
        ("gpt-5.4", 200_000, 200_000),
        ("gpt-5.4", 272_000, 272_000),
        ("gpt-5.4", 272_001, 272_001),
        ("gpt-5.4", 2_000_000, 2_000_000),
        ("gpt-5.4-mini", 5, 5),
    ]
    assert len(set(_ids(poll))) == len(spans)


def test_no_step_of_a_rule_book_runs_through_the_records_that_are_added_up(poll: Poll) -> None:
    books = RuleBookFolder(POLICIES).books
    steps = {
        step.up_to
        for book in books
        for entry in book.models
        for step in entry.context
        if step.up_to is not None
    }
    assert steps
    poll.looks(a_batch(), *(a_record(n) for step in steps for n in (step, step + 1)))

    for step in steps:
        spans = [(c["shortest_input_tokens"], c["longest_input_tokens"]) for c in poll.counted]
        assert not any(shortest <= step < longest for shortest, longest in spans)


def test_what_a_prompt_read_from_a_cache_counts_to_anthropics_length(poll: Poll) -> None:
    poll.looks(a_batch(), a_result(10, cache_read_input_tokens=250_000), a_result(20))

    by_length = {c["longest_input_tokens"]: c for c in poll.counted}
    assert set(by_length) == {250_010, 20}
    assert by_length[20]["input_tokens"] == 20
    assert {_outcome(event).usage_format for event in poll.usages} == {"anthropic"}


def test_records_that_words_make_dearer_are_added_up_apart(poll: Poll) -> None:
    words = [{}, {"inference_geo": "us"}, {"inference_geo": "us", "speed": "fast"}]
    lines = [a_result(10, service_tier="batch", **each) for each in words]
    poll.looks(a_batch(), *lines, *lines)

    named = [{k: c[k] for k in ("inference_geo", "speed") if k in c} for c in poll.counted]
    assert sorted(named, key=len) == words
    assert [(c["input_tokens"], c["records"]) for c in poll.counted] == [(20, 2)] * 3
    assert len(set(_ids(poll))) == 3


def test_rounds_that_anthropic_counts_apart_are_added_up_with_their_like(poll: Poll) -> None:
    rounds = [{"type": "compaction", "input_tokens": 90, "output_tokens": 5}]
    own = {"type": "message", "input_tokens": 10, "output_tokens": 2}
    with_rounds = a_result(10, iterations=[*rounds, own])
    poll.looks(a_batch(), with_rounds, a_result(10), with_rounds)

    read = [normalise("anthropic", "anthropic", usage) for usage in poll.counted]
    assert sorted(found.counts.input_tokens for found in read) == [10, 200]
    assert sum(found.counts.output_tokens for found in read) == 16


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"response": null, "error": {"code": "x"}}', id="an error"),
        pytest.param(
            orjson.dumps(
                {"response": {"status_code": 400, "body": {"error": {"message": SECRET}}}}
            ),
            id="an answered error",
        ),
        pytest.param(b'{"result": {"type": "errored", "error": {}}}', id="Anthropic's error"),
        pytest.param(b'{"result": {"type": "expired"}}', id="expired"),
        pytest.param(b"[1]", id="a list"),
        pytest.param(b"{", id="no JSON"),
        pytest.param(b"", id="empty"),
        pytest.param(b'{"response": {"body": {"model": 7, "usage": {"a": 1}}}}', id="no model"),
        pytest.param(b'{"response": {"body": {"model": "m", "usage": [7]}}}', id="no usage"),
        pytest.param(b'{"response": "text"}', id="a text for an answer"),
    ],
)
def test_a_line_that_holds_no_answer_is_left_out(poll: Poll, line: bytes) -> None:
    poll.looks(a_batch(), line, a_record(10), line)

    assert [c["records"] for c in poll.counted] == [1]


def test_nothing_of_a_record_is_kept_but_counts(poll: Poll) -> None:
    poll.looks(a_batch(), a_record(10, note=SECRET), a_result(10, note=SECRET))

    assert len(poll.usages) == 2
    assert SECRET not in repr(poll.settled)


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling"])
def test_a_batch_under_way_is_not_billed(poll: Poll, status: str) -> None:
    poll.looks(a_batch(status=status, completed_at=None), a_record())

    assert poll.usages == []


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
def test_what_was_done_of_a_batch_that_ended_badly_is_billed(poll: Poll, status: str) -> None:
    poll.looks(a_batch(status=status, completed_at=None), a_record(10))

    assert [c["prompt_tokens"] for c in poll.counted] == [10]


def test_another_file_is_not_the_output_of_the_batch(poll: Poll) -> None:
    poll.looks(a_batch(), a_record(), file_id="file-in")

    assert poll.usages == []


@pytest.mark.parametrize(
    "odd",
    [{"id": None}, {"completed_at": None, "created_at": None}, {"completed_at": "today"}],
)
def test_a_batch_that_does_not_say_who_or_when_is_not_billed(
    poll: Poll, odd: dict[str, Any]
) -> None:
    poll.looks(a_batch(**odd), a_record())

    assert poll.usages == []
    assert len(poll.settled) == 1


# Its sum, where nobody shows the records.


SUM: Final = {"prompt_tokens": 40, "completion_tokens": 4, "total_tokens": 44}


def test_the_sum_stands_in_where_nobody_shows_the_records(poll: Poll) -> None:
    poll.looks(a_batch(usage=SUM))
    assert poll.usages == []
    assert poll.journal.lingering == 1
    poll.sweep_after(GRACE_S + 1)
    poll.sweep_after(GRACE_S + 1)

    assert poll.counted == [
        {**SUM, "records": 3, "shortest_input_tokens": 0, "longest_input_tokens": 40}
    ]
    assert _outcome(poll.usages[0]).response_model == "gpt-5.4"
    assert poll.journal.lingering == 0


def test_the_sum_has_one_id_too(poll: Poll) -> None:
    other = Poll()
    for each in (poll, other):
        each.looks(a_batch(usage=SUM))
        each.sweep_after(GRACE_S + 1)

    assert _ids(poll) == _ids(other)
    assert len(_ids(poll)) == 1


def test_a_sum_over_several_models_names_none(poll: Poll) -> None:
    several = {"batch_models": ["gpt-5.4", "gpt-5.4-mini"]}
    poll.looks(a_batch(usage=SUM, _hidden_params=several))
    poll.sweep_after(GRACE_S + 1)

    assert _outcome(poll.usages[0]).response_model is None


def test_records_that_come_in_time_leave_no_sum(poll: Poll) -> None:
    poll.looks(a_batch(usage=SUM))
    poll.shows(a_record(10), a_record(30))
    poll.sweep_after(GRACE_S + 1)

    assert [c["records"] for c in poll.counted] == [2]


def test_an_output_without_a_single_answer_leaves_the_sum(poll: Poll) -> None:
    poll.looks(a_batch(usage=SUM), b"{")
    poll.sweep_after(GRACE_S + 1)

    assert [c["prompt_tokens"] for c in poll.counted] == [40]


# Answers made in the background.


def an_answer(**changes: Any) -> SimpleNamespace:
    facts: dict[str, Any] = {
        "id": "resp_bGl0ZWxsbTpvd24",
        "status": "completed",
        "background": True,
        "created_at": DONE_S - 9.5,
        "completed_at": DONE_S,
        "model": "gpt-5.4",
        "output": [SECRET],
        "usage": {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12},
    }
    return SimpleNamespace(**facts | changes)


def read_back(answer: object, journal: Journal | None = None, call: Poll | None = None) -> Poll:
    """Read it as a client does: no deployment hook runs, and nobody had to decide on it."""
    made = call or Poll(journal=journal)
    current_call.set(made.state)
    shape = CallShape("/v1/responses/{response_id}", "unknown", None, stream=False)
    made.state.admission = made.line.observe(a_request(shape=shape))
    made.ready(call_type="aget_responses", litellm_params={})
    made.send(READS_ANSWER)
    made.journal.sends.on_status(READS_ANSWER, 200, {})
    made.log(answer, call_type="aget_responses")
    made.end()
    return made


def test_an_answer_of_the_background_is_billed_by_who_reads_it_first() -> None:
    first = read_back(an_answer())
    second = read_back(an_answer(id="resp_b3RoZXJz"))
    again = read_back(an_answer(), call=Poll(first.line, first.journal))

    (event,) = again.usages
    assert _ids(first) == _ids(second)
    assert event.attempt is not None
    assert event.attempt.operation == "chat"
    assert _outcome(event).response_id == "resp_1"  # the provider's own, not LiteLLM's
    assert event.occurred_at_ns == (DONE_S - 10) * 1_000_000_000  # when it was made
    assert SECRET not in repr(again.settled)


def test_an_answer_of_the_background_that_was_streamed_is_billed_once() -> None:
    streamed, elsewhere = Poll(), read_back(an_answer())
    streamed.begin()
    streamed.ready(call_type="aresponses")
    streamed.send()
    streamed.log(an_answer(id="resp_1"), call_type="aresponses")
    streamed.end()

    usage, made = streamed.settled
    assert [usage.event_id] == _ids(elsewhere)  # the ledger keeps one of them
    assert (_outcome(made).usage, _outcome(made).detail) == (None, USAGE_APART)
    assert _outcome(usage).usage == _outcome(elsewhere.usages[0]).usage


def test_who_asked_for_an_answer_pays_for_it_whoever_reads_it() -> None:
    asking = Poll()
    asking.begin()
    asking.ready(call_type="aresponses")
    asking.send()
    asking.answer(an_answer(id="resp_1", status="queued", usage=None))
    asking.end()
    reading = read_back(an_answer(), call=Poll(asking.line, asking.journal))

    (usage,) = reading.usages
    (made, _) = [event for event in reading.settled if event.kind is EventKind.ATTEMPT]
    assert usage.attempt is not None
    assert usage.attempt.parent_event_id == made.event_id
    assert usage.decision == made.decision
    assert _outcome(made).detail == USAGE_APART


def test_reading_it_back_is_itself_free() -> None:
    call = read_back(an_answer())

    (looked,) = [event for event in call.settled if event.kind is EventKind.ATTEMPT]
    assert looked.attempt is not None
    assert looked.attempt.operation == "retrieve_response"
    assert call.usages[0].attempt is not None
    assert call.usages[0].attempt.parent_event_id == looked.event_id


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"background": False}, id="not of the background"),
        pytest.param({"background": None}, id="nobody says"),
        pytest.param({"usage": None, "status": "in_progress"}, id="under way"),
        pytest.param({"completed_at": None, "created_at": None}, id="no instant"),
    ],
)
def test_what_is_no_finished_answer_of_the_background_is_not_billed(
    changes: dict[str, Any],
) -> None:
    assert read_back(an_answer(**changes)).usages == []


def test_an_answer_that_is_begun_in_the_background_has_its_usage_apart() -> None:
    call = Poll()
    call.begin()
    call.on_wire()
    call.answer(an_answer(status="queued", usage=None, completed_at=None))
    call.end()

    assert (call.only_outcome.status, call.only_outcome.detail) == (Status.OK, USAGE_APART)


def test_what_is_under_way_is_of_the_background_and_not_done() -> None:
    assert is_under_way({"background": True, "status": "queued"})
    assert is_under_way({"background": True, "status": "in_progress"})
    assert not is_under_way({"background": True, "status": "completed"})
    assert not is_under_way({"background": False, "status": "queued"})
    assert not is_under_way(None)
