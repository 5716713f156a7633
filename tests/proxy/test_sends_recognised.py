"""
What no hook of LiteLLM's speaks of, told by what is sent: each request one attempt, no more.

Files, batches, threads and token counts are settled by their status; a stream may leave from
another context than the one that made it ready.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Final

import pytest

from fakes.journal import GRACE_S, PROVIDER, SECRET, Call, a_failure, a_response
from fakes.lines import a_request, events_in, stages_in
from tallygate.domain.ledger.events import AttemptFacts, Event, Stage, Status
from tallygate.domain.policy.question import CallShape
from tallygate.domain.usage.operations import FREE_OPERATIONS
from tallygate.proxy.routes import rule_of
from tallygate.proxy.sending import Target
from tallygate.proxy.state import begun_attempt, current_attempt, current_call

HOST: Final = "api.openai.com"
BATCHES: Final = Target("POST", HOST, "/v1/batches")
FILES: Final = Target("POST", HOST, "/v1/files")
RUNS: Final = Target("POST", HOST, "/v1/threads/th_1/runs")
CHAT: Final = PROVIDER
LOGS: Final = Target("POST", "logs.example.com", "/api/public/ingestion")


@pytest.fixture(autouse=True)
def _no_call_around() -> Iterator[None]:
    tokens = current_attempt.set(None), begun_attempt.set(None), current_call.set(None)
    yield
    current_attempt.reset(tokens[0])
    begun_attempt.reset(tokens[1])
    current_call.reset(tokens[2])


@pytest.fixture
def call() -> Call:
    """Make a call that runs in this context."""
    made = Call()
    current_call.set(made.state)
    return made


def says(call: Call, target: Target, status: int, **headers: str) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    call.journal.sends.on_status(target, status, named)


def facts_of(event: Event) -> AttemptFacts:
    assert event.attempt is not None
    return event.attempt


# Recognised by the path.


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", "/v1/files", "create_file"),
        ("GET", "/v1/files/file-1/content", "file_content"),
        ("POST", "/v1/threads", "create_thread"),
        ("POST", "/v1/messages/count_tokens", "count_tokens"),
        ("GET", "/v1/models", "list_models"),
    ],
)
@pytest.mark.parametrize(("status", "ended"), [(200, Status.OK), (404, Status.ERROR)])
def test_what_is_free_is_settled_by_its_status(
    call: Call, method: str, path: str, operation: str, status: int, ended: Status
) -> None:
    target = Target(method, HOST, path)
    assert call.journal.sends.is_awaiting_send(target)
    call.send(target)
    assert stages_in(call.line) == [Stage.OPENED]
    says(call, target, status, x_request_id="req_1")

    (event,) = call.settled
    assert facts_of(event).operation == operation
    assert operation in FREE_OPERATIONS
    assert (facts_of(event).provider, facts_of(event).request_model) == ("openai", "unknown")
    assert (call.only_outcome.status, call.only_outcome.http_status) == (ended, status)
    assert call.only_outcome.provider_request_id == "req_1"


def test_what_may_be_billed_is_settled_with_the_response_and_never_as_free(call: Call) -> None:
    call.send(RUNS)
    says(call, RUNS, 200)
    assert stages_in(call.line) == [Stage.OPENED]
    call.end()

    assert call.only_outcome.status is Status.OK
    assert call.only_outcome.usage is None
    assert facts_of(call.settled[0]).operation == "invoke_agent"


def test_what_may_be_billed_and_fails_is_settled_at_once(call: Call) -> None:
    call.send(RUNS)
    says(call, RUNS, 500)

    assert (call.only_outcome.status, call.only_outcome.http_status) == (Status.ERROR, 500)


def test_what_is_never_answered_is_unknown(call: Call) -> None:
    call.send(FILES)
    call.end()
    call.sweep_after(GRACE_S + 1)

    assert call.only_outcome.status is Status.UNKNOWN


@pytest.mark.parametrize("target", [LOGS, Target("POST", "oauth2.googleapis.com", "/token")])
def test_other_peoples_traffic_is_no_attempt(call: Call, target: Target) -> None:
    assert not call.journal.sends.is_awaiting_send(target)
    call.send(target)
    says(call, target, 200)
    call.end()

    assert events_in(call.line) == []


def test_without_a_call_or_a_decision_nothing_is_recognised() -> None:
    call = Call()
    assert not call.journal.sends.is_awaiting_send(FILES)
    call.send(FILES)
    call.state.admission = None
    current_call.set(call.state)
    call.send(FILES)

    assert events_in(call.line) == []


def test_who_pays_is_found_out_where_nobody_had_to_decide(call: Call) -> None:
    shape = CallShape("/v1/files", "unknown", None, stream=False)
    call.state.admission = None
    call.state.rule = rule_of("/v1/files", "GET")
    call.state.observe = lambda _: call.line.observe(a_request(shape=shape))
    call.send(FILES)
    says(call, FILES, 200)

    assert call.settled[0].decision.mode_source == "observed"


def test_each_request_is_an_attempt_and_they_count_on(call: Call) -> None:
    for target in (FILES, BATCHES, Target("GET", HOST, "/v1/batches/b_1")):
        call.send(target)
        says(call, target, 200)
    call.end()

    assert sorted(facts_of(event).number for event in call.settled) == [1, 2, 3]


def test_a_configured_host_serves_the_provider_whose_dialect_it_speaks(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_BASE", "https://gateway.example.com/base")
    call.send(Target("POST", "gateway.example.com", "/v1/messages/count_tokens"))
    call.send(Target("POST", "elsewhere.example.com", "/v1/messages/count_tokens"))

    assert [facts_of(event).provider for event in events_in(call.line)][:2] == [
        "anthropic",
        "unknown",
    ]


@pytest.mark.parametrize(
    "path", ["/files/cat.jpg", "/v1/files/f/content", "/videos/v", "/assistants/a"]
)
def test_what_is_fetched_from_where_no_model_is_served_is_no_attempt(call: Call, path: str) -> None:
    target = Target("GET", "cdn.example.com", path)

    assert not call.journal.sends.is_awaiting_send(target)
    call.send(target)

    assert events_in(call.line) == []


def test_an_undecided_call_is_not_observed_where_it_has_to_be_decided(call: Call) -> None:
    call.state.admission = None
    call.state.rule = rule_of("/v1/files", "POST")
    call.state.observe = lambda _: call.line.observe(a_request())

    assert call.state.admitted() is None


# Filled in by the hooks.


def test_a_batch_that_is_made_is_one_attempt_that_the_hook_has_told_of(call: Call) -> None:
    call.journal.begin(
        call.state,
        {"model": "gpt-5.4", "custom_llm_provider": "openai", "model_info": {"id": "dep-1"}},
        "acreate_batch",
    )
    call.send(BATCHES)
    says(call, BATCHES, 200)
    assert stages_in(call.line) == [Stage.OPENED]
    call.answer(SimpleNamespace(id="batch_1", status="validating", model=None))
    call.log(SimpleNamespace(id="batch_1"), call_type="acreate_batch")
    call.end()

    (event,) = call.settled
    facts = facts_of(event)
    assert (facts.operation, facts.request_model, facts.deployment_id) == (
        "create_batch",
        "gpt-5.4",
        "dep-1",
    )
    assert call.only_outcome.response_id == "batch_1"
    assert len(call.state.attempts) == 1


def test_a_hook_that_speaks_of_something_else_is_left_to_it(call: Call) -> None:
    begun = call.begin()
    call.send(FILES)
    says(call, FILES, 200)
    call.on_wire()
    call.answer(a_response())
    call.end()

    upload, chat = call.settled
    assert [facts_of(event).operation for event in (upload, chat)] == ["create_file", "chat"]
    assert begun.event is not None
    assert begun.event.event_id == chat.event_id


def test_what_was_sent_is_not_counted_again_when_litellm_says_that_it_will_be(call: Call) -> None:
    call.journal.begin(call.state, {"model": "gpt-5.4"}, "acreate_batch")
    call.send(BATCHES)
    call.ready(call_type="acreate_batch")
    says(call, BATCHES, 200)
    call.answer(SimpleNamespace(id="batch_1", status="validating"))
    call.end()

    assert stages_in(call.line) == [Stage.OPENED, Stage.SETTLED]


def test_a_batch_that_fails_is_settled_once(call: Call) -> None:
    call.journal.begin(call.state, {"model": "gpt-5.4"}, "acreate_batch")
    call.send(BATCHES)
    says(call, BATCHES, 400)
    failure = a_failure()
    call.fail(failure)
    call.log_failed(failure)
    call.end()

    assert (call.only_outcome.status, call.only_outcome.http_status) == (Status.ERROR, 400)
    assert SECRET not in repr(events_in(call.line))


# Streams and further rounds.


def test_a_stream_that_leaves_from_another_context_is_the_attempt_that_was_ready(
    call: Call,
) -> None:
    elsewhere = contextvars.copy_context()
    call.begin()
    call.ready(stream=True)
    elsewhere.run(call.send, CHAT)
    elsewhere.run(says, call, CHAT, 200, x_request_id="req_1")
    call.log(None, async_complete_streaming_response=a_response())
    call.end()

    assert stages_in(call.line) == [Stage.OPENED, Stage.SETTLED]
    assert call.only_outcome.usage is not None
    assert (call.only_outcome.http_status, call.only_outcome.provider_request_id) == (200, "req_1")
    assert facts_of(call.settled[0]).deployment_id == "dep-1"


def test_from_another_context_only_what_asks_for_the_same_is_meant(call: Call) -> None:
    elsewhere = contextvars.copy_context()
    call.begin()
    call.ready(stream=True)
    elsewhere.run(call.send, FILES)

    assert [facts_of(event).operation for event in events_in(call.line)] == ["create_file"]
    assert call.state.attempts[0].event is None


def test_a_client_librarys_request_to_another_path_is_an_attempt_of_its_own(call: Call) -> None:
    call.begin()
    call.on_wire()
    says(call, CHAT, 200)
    call.send(RUNS)
    says(call, RUNS, 200)
    call.answer(a_response())
    call.end()

    by_operation = {facts_of(event).operation: event.outcome for event in call.settled}
    assert set(by_operation) == {"chat", "invoke_agent"}
    chat, run = by_operation["chat"], by_operation["invoke_agent"]
    assert chat is not None
    assert run is not None
    assert chat.usage is not None
    assert run.usage is None


def test_a_client_librarys_look_at_its_own_run_is_free(call: Call) -> None:
    look = Target("GET", HOST, "/v1/threads/th_1/runs/run_1")
    call.begin()
    call.on_wire()
    for _ in range(3):
        call.send(look)
        says(call, look, 200)
    call.answer(a_response())
    call.end()

    operations = [facts_of(event).operation for event in call.settled]
    assert operations == ["retrieve_run"] * 3 + ["chat"]


def test_a_status_goes_to_the_request_that_it_answers(call: Call) -> None:
    first, second = Target("GET", HOST, "/v1/files/a"), Target("GET", HOST, "/v1/files/b")
    call.send(first)
    call.send(second)
    says(call, first, 404)
    says(call, second, 200)

    found = {facts_of(event).number: event.outcome for event in call.settled}
    assert {number: each.http_status for number, each in found.items() if each} == {1: 404, 2: 200}


def test_of_two_alike_each_gets_a_status(call: Call) -> None:
    for _ in range(2):
        call.send(FILES)
    for status in (200, 429):
        says(call, FILES, status)

    assert sorted(outcome.http_status or 0 for outcome in call.outcomes) == [200, 429]


def test_what_it_is_for_shows_where_it_goes(call: Call) -> None:
    shape = CallShape("/v1/responses/{response_id}", "unknown", None, stream=False)
    call.state.admission = call.line.observe(a_request(shape=shape))
    call.ready(litellm_params={})
    call.send(Target("GET", HOST, "/v1/responses/resp_1"))

    assert facts_of(events_in(call.line)[0]).operation == "retrieve_response"


def test_what_is_billed_stays_what_the_hooks_say_it_is(call: Call) -> None:
    """Bridges send one kind of call as another; the hook knows which."""
    call.journal.begin(call.state, {"model": "gpt-5.4"}, "aembedding")
    call.ready()
    call.send(CHAT)

    assert facts_of(events_in(call.line)[0]).operation == "embeddings"


# By itself, and by tools.


@pytest.mark.parametrize("mock", ["mock_response", "mock_tool_calls", "mock_timeout"])
@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_mocked_answer_is_an_attempt_that_was_not_sent(
    call: Call, mock: str, *, is_streamed: bool
) -> None:
    call.begin(**{mock: "as if"})
    call.ready(stream=is_streamed)
    if not is_streamed:
        call.answer(a_response())
    call.log(a_response())
    call.end()

    assert stages_in(call.line) == [Stage.SETTLED]
    assert (call.only_outcome.status, call.only_outcome.detail) == (Status.OK, "not_sent")
    assert call.only_outcome.usage is None


def test_a_mock_that_fails_was_not_sent_either(call: Call) -> None:
    call.begin(mock_timeout=True, model="gpt-5.4", custom_llm_provider="openai")
    call.ready()
    call.fail(a_failure())
    call.end()

    (event,) = call.settled
    assert (facts_of(event).provider, facts_of(event).request_model) == ("openai", "gpt-5.4")
    assert call.only_outcome.detail == "not_sent"


def test_no_request_id_of_a_provider_is_a_text(call: Call) -> None:
    for value in ("x" * 201, "line\nfeed"):
        call.send(FILES)
        says(call, FILES, 200, x_request_id=value)

    assert [outcome.provider_request_id for outcome in call.outcomes] == [None, None]


@pytest.mark.parametrize(
    "name", ["x_request_id", "request_id", "x_amzn_requestid", "apim_request_id"]
)
def test_every_providers_name_for_its_request_id_is_known(call: Call, name: str) -> None:
    call.send(FILES)
    says(call, FILES, 200, **{name: "req_1"})

    assert call.only_outcome.provider_request_id == "req_1"
