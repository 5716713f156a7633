"""How the journal lets a call end: streams, caches, giving up, a spool that fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import litellm
import pytest
from litellm.types.utils import Usage

from fakes.journal import GRACE_S, SECRET, Call, a_failure, a_response
from fakes.lines import BrokenSpool, a_line, events_in, stages_in
from tallygate.domain.ledger.events import (
    EventKind,
    Stage,
    Status,
    UsageSource,
)
from tallygate.proxy.recorder import NO_OUTCOME, SETTLED_LATE
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


# Streams.


def test_a_stream_is_settled_by_what_litellm_logs_at_its_end(call: Call) -> None:
    call.begin()
    call.on_wire(stream=True)
    call.end()
    assert call.journal.lingering == 1
    call.log(None, async_complete_streaming_response=a_response(), response_cost=0.25)
    call.sweep_after(GRACE_S + 1)

    assert call.only_outcome.status is Status.OK
    assert call.only_outcome.usage_source is UsageSource.REPORTED
    assert call.only_outcome.litellm_cost == "0.25"
    assert call.journal.lingering == 0


def test_a_stream_that_breaks_off_keeps_the_usage_so_far_as_an_estimate(call: Call) -> None:
    call.begin()
    call.on_wire(stream=True)
    partial = Usage(prompt_tokens=5, completion_tokens=1, total_tokens=6)
    call.log_failed(a_failure(litellm.APIConnectionError), combined_usage_object=partial)

    assert call.only_outcome.status is Status.ERROR
    assert call.only_outcome.usage_source is UsageSource.ESTIMATED
    assert call.only_outcome.usage is not None
    assert call.only_outcome.usage_format == "litellm"


def test_a_stream_that_breaks_off_before_any_usage_has_none(call: Call) -> None:
    call.begin()
    call.on_wire(stream=True)
    call.log_failed(a_failure(litellm.APIConnectionError))

    assert call.only_outcome.usage is None
    assert call.only_outcome.usage_source is UsageSource.NONE


@pytest.mark.parametrize(
    ("client_gone", "metadata"),
    [
        pytest.param(True, {}, id="the tap saw it"),
        pytest.param(False, {"client_disconnected": True}, id="LiteLLM saw it"),
    ],
)
def test_a_client_that_went_away_cancels_its_stream_and_the_usage_is_an_estimate(
    call: Call, client_gone: bool, metadata: dict[str, Any]
) -> None:
    call.begin()
    call.on_wire(stream=True)
    call.state.client_gone = client_gone
    call.log(a_response(), litellm_params={"metadata": metadata})

    assert call.only_outcome.status is Status.CANCELLED
    assert call.only_outcome.usage_source is UsageSource.ESTIMATED


def test_litellms_499_is_a_cancelled_call(call: Call) -> None:
    call.begin()
    call.on_wire()
    gone = ValueError(SECRET)
    gone.status_code = 499  # type: ignore[attr-defined]  # as LiteLLM's exceptions have it
    call.log_failed(gone)

    assert call.only_outcome.status is Status.CANCELLED


@pytest.mark.parametrize(
    ("exception", "details"),
    [
        pytest.param("text", {}, id="no exception"),
        pytest.param(None, {}, id="none"),
        pytest.param(ValueError(), {"litellm_no_upstream_llm_call": True}, id="nothing was sent"),
    ],
)
def test_a_logged_failure_that_tells_nothing_settles_nothing(
    call: Call, exception: object, details: dict[str, Any]
) -> None:
    call.begin()
    call.on_wire()
    call.log_failed(exception, **details)

    assert call.settled == []


def test_of_two_streams_that_wait_a_late_log_means_the_one_of_its_deployment(call: Call) -> None:
    """Method: a stream is logged in the response's context, where no attempt was begun."""
    for deployment in ("dep-1", "dep-2"):
        call.begin(deployment)
        call.on_wire(stream=True)
    begun_attempt.set(None)
    call.log(a_response())  # DETAILS speaks of dep-1
    call.log(a_response(), litellm_params={})

    assert [e.attempt.deployment_id for e in call.settled if e.attempt] == ["dep-1", "dep-2"]


def test_of_two_attempts_that_wait_a_log_in_ones_own_context_means_that_one(call: Call) -> None:
    first = call.begin()
    call.on_wire()
    call.begin("dep-2")
    call.on_wire()
    begun_attempt.set(first)
    call.log(a_response(), litellm_params={"model_info": {"id": "dep-2"}})

    (event,) = call.settled
    assert first.event is not None
    assert event.event_id == first.event.event_id


def test_a_failure_of_one_try_never_settles_another_that_runs_beside_it(call: Call) -> None:
    """Method: comma models and health checks run tries at once, each in a context of its own."""
    call.begin("dep-1", model="openai/gpt-5.4")
    call.on_wire()
    call.begin("dep-2", model="openai/gpt-5.4-mini")
    call.on_wire()
    call.fail(a_failure())
    call.log_failed(a_failure())

    assert [e.attempt.deployment_id for e in call.settled if e.attempt] == ["dep-2"]


def test_a_try_at_one_model_is_not_booked_as_another_that_runs_beside_it(call: Call) -> None:
    call.begin("dep-1", model="anthropic/claude-sonnet-5-5")
    call.on_wire(model="gpt-5.4", custom_llm_provider="openai")
    call.answer(a_response())
    call.end()

    (event,) = call.settled
    assert event.attempt is not None
    assert event.attempt.provider == "anthropic"
    assert event.attempt.request_model == "claude-sonnet-5-5"


def test_a_log_after_everything_was_settled_is_dropped(call: Call) -> None:
    call.log(a_response())
    call.log_failed(ValueError())
    call.answer(a_response())
    call.fail(ValueError())

    assert events_in(call.line) == []


# Cache hits.


def test_a_cache_hit_is_an_event_without_a_provider(call: Call) -> None:
    call.begin()
    call.log(a_response(), cache_hit=True)
    call.log(a_response(), cache_hit=True)
    call.end()

    assert stages_in(call.line) == [Stage.SETTLED]
    assert call.only_outcome.status is Status.CACHE_HIT
    assert call.only_outcome.cache_policy == "litellm"
    assert call.only_outcome.usage is not None
    assert call.settled[0].attempt is not None
    assert call.settled[0].attempt.number == 1


def test_a_cache_hit_of_a_wrapper_is_one_event(call: Call) -> None:
    call.begin()
    call.begin()
    call.log(None, cache_hit=True, async_complete_streaming_response=a_response())
    call.log(a_response(), cache_hit=True)

    assert len(call.settled) == 1


def test_a_cache_hit_without_a_decision_or_an_attempt_is_not_written(call: Call) -> None:
    call.log(a_response(), cache_hit=True)
    call.begin()
    call.state.admission = None
    call.log(a_response(), cache_hit=True)

    assert events_in(call.line) == []


# Giving up, and what comes after.


@pytest.mark.parametrize(
    ("seconds", "is_given_up"),
    [
        pytest.param(GRACE_S, False, id="within the grace period"),
        pytest.param(GRACE_S + 0.001, True, id="past it"),
    ],
)
def test_what_has_no_outcome_for_the_grace_period_is_booked_as_unknown(
    call: Call, seconds: float, is_given_up: bool
) -> None:
    call.begin()
    call.on_wire()
    call.end()
    call.sweep_after(seconds)

    assert len(call.settled) == is_given_up
    assert call.journal.lingering == (not is_given_up)
    if is_given_up:
        assert call.only_outcome.status is Status.UNKNOWN
        assert call.only_outcome.detail == NO_OUTCOME


def test_at_the_end_nothing_waits_for_its_grace_period(call: Call) -> None:
    call.begin()
    call.on_wire()
    call.end()
    call.journal.sweep(at_end=True)

    assert call.only_outcome.status is Status.UNKNOWN


def test_a_call_whose_client_went_away_is_given_up_as_cancelled(call: Call) -> None:
    call.begin()
    call.on_wire()
    call.state.client_gone = True
    call.end()
    call.journal.sweep(at_end=True)

    assert call.only_outcome.status is Status.CANCELLED


@pytest.mark.parametrize("told_by", ["logged", "log_failed", "answered", "failed"])
def test_an_outcome_that_comes_after_giving_up_is_one_correction(call: Call, told_by: str) -> None:
    call.begin()
    call.on_wire()
    call.end()
    call.sweep_after(GRACE_S + 1)
    for _ in range(2):
        match told_by:
            case "logged":
                call.log(a_response())
            case "log_failed":
                call.log_failed(a_failure())
            case "answered":
                call.answer(a_response())
            case _:
                call.fail(a_failure())
    call.sweep_after(GRACE_S + 1)

    unknown, late = call.settled
    assert late.kind is EventKind.CORRECTION
    assert late.corrects_event_id == unknown.event_id
    assert late.outcome is not None
    assert late.outcome.detail == SETTLED_LATE
    assert late.outcome.status in {Status.OK, Status.ERROR}


# A spool that fails.


def test_a_settlement_that_cannot_be_written_is_counted_and_the_call_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    call = Call(a_line(spool=BrokenSpool()))
    call.begin()
    call.on_wire()
    call.answer(a_response())
    call.end()

    assert call.line.uncounted == 2  # the opening and the settlement
    assert [record.message for record in caplog.records] == ["settlement_not_written"]
    assert "Traceback" not in caplog.text
