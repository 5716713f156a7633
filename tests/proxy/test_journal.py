"""The journal with a real request line under it: one attempt, many, and when they leave."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import litellm
import pytest

from fakes.journal import GRACE_S, PROVIDER, SECRET, Call, a_failure, a_response
from fakes.lines import clock_of, events_in, stages_in
from tallygate.domain.ledger.events import (
    NOT_SENT,
    Stage,
    Status,
)
from tallygate.proxy.sending import Target
from tallygate.proxy.sends import SENT_AGAIN
from tallygate.proxy.state import begun_attempt, current_attempt


@pytest.fixture(autouse=True)
def _no_attempt_around() -> Iterator[None]:
    token, begun = current_attempt.set(None), begun_attempt.set(None)
    yield
    current_attempt.reset(token)
    begun_attempt.reset(begun)


@pytest.fixture
def call() -> Call:
    return Call()


# One attempt.


def test_an_attempt_is_opened_on_the_wire_and_settled_before_the_response_leaves(
    call: Call,
) -> None:
    call.begin()
    assert stages_in(call.line) == []
    call.on_wire()
    assert stages_in(call.line) == [Stage.OPENED]
    clock_of(call.line).go_on(seconds=1.5)
    response = a_response()
    call.answer(response)
    assert stages_in(call.line) == [Stage.OPENED]
    response._hidden_params["response_cost"] = 0.5  # LiteLLM adds it after the hook
    call.journal.write_answers(call.state)
    call.end()

    assert stages_in(call.line) == [Stage.OPENED, Stage.SETTLED]
    assert call.only_outcome.latency_us == 1_500_000
    assert call.only_outcome.litellm_cost == "0.5"
    assert call.only_outcome.usage is not None
    assert call.only_outcome.usage["prompt_tokens"] == 12
    assert call.journal.lingering == 0


def test_an_answer_is_written_once_however_often_it_is_told(call: Call) -> None:
    call.begin()
    call.on_wire()
    call.answer(a_response())
    call.log(a_response())
    call.log(a_response())
    call.answer(a_response())
    call.end()
    call.sweep_after(GRACE_S + 1)

    assert len(call.settled) == 1


def test_a_failure_is_settled_at_once_without_its_text(call: Call) -> None:
    call.begin()
    call.on_wire()
    call.journal.sends.on_status(PROVIDER, 429, {})
    failure = a_failure()
    call.fail(failure)
    call.log_failed(failure)

    assert call.only_outcome.status is Status.ERROR
    assert call.only_outcome.http_status == 429
    assert call.only_outcome.error_type == "RateLimitError"
    assert SECRET not in repr(events_in(call.line))


def test_a_timeout_is_told_apart(call: Call) -> None:
    call.begin()
    call.on_wire()
    call.fail(a_failure(litellm.Timeout))

    assert call.only_outcome.status is Status.TIMEOUT


# Retries, fallbacks, wrappers.


def test_every_retry_is_an_attempt_of_its_own_and_names_the_one_before(call: Call) -> None:
    for _ in range(2):
        call.begin()
        call.on_wire()
        call.fail(a_failure())
    call.begin("dep-2")
    call.on_wire()
    call.answer(a_response())
    call.end()

    first, second, third = call.settled
    facts = [event.attempt for event in call.settled if event.attempt is not None]
    assert [attempt.number for attempt in facts] == [1, 2, 3]
    assert [a.retry_of_event_id for a in facts] == [None, first.event_id, second.event_id]
    assert [a.deployment_id for a in facts] == ["dep-1", "dep-1", "dep-2"]
    assert [outcome.status for outcome in call.outcomes] == [Status.ERROR, Status.ERROR, Status.OK]
    assert third.call == first.call


def test_a_wrapper_around_another_call_is_no_attempt(call: Call) -> None:
    wrapper = call.begin()
    inner = call.begin()
    call.on_wire()
    call.answer(a_response())
    call.answer(a_response(99))  # the wrapper's own answer, bridged
    call.log(a_response(99))
    call.end()

    assert inner.parent is wrapper
    assert len(call.settled) == 1
    assert call.outcomes[0].usage is not None
    assert call.outcomes[0].usage["prompt_tokens"] == 12
    assert call.journal.lingering == 0


def test_after_a_wrapped_failure_the_retry_is_wrapped_no_deeper(call: Call) -> None:
    wrapper = call.begin()
    call.begin()
    call.on_wire()
    call.fail(a_failure())
    retry = call.begin()

    assert retry.parent is wrapper


def test_a_request_that_goes_on_the_wire_without_a_hook_is_an_attempt(call: Call) -> None:
    call.on_wire()
    call.log(a_response())

    assert call.settled[0].attempt is not None
    assert call.settled[0].attempt.number == 1


def test_a_second_request_of_one_hook_is_a_second_attempt(call: Call) -> None:
    call.begin()
    call.on_wire()
    call.on_wire()

    assert [event.attempt.number for event in events_in(call.line) if event.attempt] == [1, 2]


def test_an_attempt_that_is_put_on_the_wire_by_a_thread_is_the_one_that_was_begun(
    call: Call,
) -> None:
    call.begin()
    context = contextvars.copy_context()
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(context.run, call.on_wire).result()
    call.answer(a_response())
    call.end()

    assert stages_in(call.line) == [Stage.OPENED, Stage.SETTLED]
    assert len(call.state.attempts) == 1


def test_the_requested_tier_is_kept_where_it_is_a_short_word(call: Call) -> None:
    assert call.begin(service_tier="flex").request_service_tier == "flex"
    assert call.begin(service_tier=7).request_service_tier is None
    assert call.begin(service_tier="tell me a secret").request_service_tier is None
    assert call.begin(service_tier="x" * 33).request_service_tier is None


# The moment of sending.


def test_an_attempt_is_opened_as_its_first_byte_leaves(call: Call) -> None:
    assert not call.journal.sends.is_awaiting_send(PROVIDER)
    call.begin()
    assert not call.journal.sends.is_awaiting_send(PROVIDER)
    call.ready()
    assert call.journal.sends.is_awaiting_send(PROVIDER)
    assert stages_in(call.line) == []
    call.send()

    assert stages_in(call.line) == [Stage.OPENED]


def test_what_failed_before_a_byte_left_was_not_sent(call: Call) -> None:
    call.begin()
    call.ready()
    call.fail(a_failure())

    assert (call.only_outcome.status, call.only_outcome.detail) == (Status.ERROR, NOT_SENT)
    assert call.only_outcome.http_status is None


def test_what_was_sent_behind_our_back_is_opened_late_and_that_kind_early_from_there_on(
    call: Call,
) -> None:
    call.begin()
    call.ready()
    call.answer(a_response())
    call.end()
    second = Call(call.line, call.journal)
    second.begin()
    second.ready()

    assert stages_in(call.line) == [Stage.OPENED, Stage.SETTLED, Stage.OPENED]


def test_what_litellm_answers_by_itself_reached_no_provider_and_costs_nothing(call: Call) -> None:
    call.begin(mock_response="as if")
    call.ready()
    call.answer(a_response())
    call.end()
    second = Call(call.line, call.journal)
    second.begin()
    second.ready()

    (event,) = call.settled
    assert event.outcome is not None
    assert (event.outcome.status, event.outcome.detail) == (Status.OK, NOT_SENT)
    assert event.outcome.usage is None
    assert stages_in(call.line) == [Stage.SETTLED]


def test_the_providers_own_status_counts_not_litellms(call: Call) -> None:
    call.begin()
    call.ready()
    call.send()
    call.journal.sends.on_status(Target("GET", "elsewhere", "/"), 200, {})
    call.journal.sends.on_status(PROVIDER, 503, {})
    call.fail(a_failure())

    assert call.only_outcome.http_status == 503


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(500, Status.ERROR, id="answered with an error"),
        pytest.param(None, Status.UNKNOWN, id="not answered"),
    ],
)
def test_a_retry_by_the_providers_client_library_is_an_attempt_of_its_own(
    call: Call, status: int | None, expected: Status
) -> None:
    call.begin()
    call.ready()
    call.send()
    if status is not None:
        call.journal.sends.on_status(PROVIDER, status, {})
    call.send()
    call.answer(a_response())
    call.end()

    before, after = call.settled
    assert before.event_id != after.event_id
    assert before.outcome is not None
    assert (before.outcome.status, before.outcome.http_status) == (expected, status)
    assert before.outcome.detail == SENT_AGAIN
    assert after.attempt is not None
    assert (after.attempt.number, after.attempt.retry_of_event_id) == (2, before.event_id)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(Target("GET", "api.openai.com", "/v1/chat/completions"), id="another method"),
        pytest.param(Target("POST", "oauth.example.com", "/token"), id="a token from elsewhere"),
    ],
)
def test_another_request_within_an_attempt_is_no_attempt(call: Call, target: Target) -> None:
    call.begin()
    call.ready()
    call.send()
    call.send(target)

    assert stages_in(call.line) == [Stage.OPENED]


def test_a_send_that_belongs_to_no_attempt_is_not_ours(call: Call) -> None:
    call.send()
    call.journal.sends.on_status(PROVIDER, 200, {})
    call.begin()
    call.send()

    assert events_in(call.line) == []
