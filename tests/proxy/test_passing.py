"""What LiteLLM only passes on: the address is believed, the caller's own body is not."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import orjson
import pytest

from fakes.entries import NOON_NS, SECOND_NS, an_attempt, an_event
from fakes.journal import GRACE_S, SECRET, Call
from fakes.lines import a_request, clock_of, decided
from tallygate.domain.ledger.events import AttemptFacts, Outcome, Status, UsageSource
from tallygate.domain.policy.question import CallShape
from tallygate.domain.usage.operations import (
    BILLED_OPERATIONS,
    FORWARDED,
    FREE_OPERATIONS,
    USAGE_APART,
)
from tallygate.proxy import passing
from tallygate.proxy.answers import Reader
from tallygate.proxy.routes import CUSTOM_PASS_THROUGH, UNKNOWN, RouteRule, rule_of
from tallygate.proxy.sending import Target
from tallygate.proxy.state import (
    Attempt,
    CallState,
    Session,
    begun_attempt,
    current_attempt,
    current_call,
)

OPENAI: Final = "https://api.openai.com/v1/chat/completions"
TARGET: Final = Target("POST", "api.openai.com", "/v1/chat/completions")
USAGE: Final = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
ANSWER: Final = orjson.dumps(
    {"id": "chatcmpl-1", "model": "gpt-5.4-2026-03-05", "usage": USAGE, "choices": [SECRET]}
)


@pytest.fixture(autouse=True)
def _no_call_around() -> Iterator[None]:
    tokens = current_attempt.set(None), begun_attempt.set(None), current_call.set(None)
    yield
    current_attempt.reset(tokens[0])
    begun_attempt.reset(tokens[1])
    current_call.reset(tokens[2])


def a_call(rule: RouteRule = CUSTOM_PASS_THROUGH) -> CallState:
    state = Call().state
    state.rule = rule
    return state


def facts_of(
    url: str = OPENAI,
    body: object = None,
    method: str | None = "POST",
    rule: RouteRule = CUSTOM_PASS_THROUGH,
    **details: Any,
) -> AttemptFacts:
    attempt = Attempt(1, NOON_NS, "pass_through_endpoint", call=a_call(rule))
    payload = {"url": url, "request_body": body, "request_method": method}
    told = {"passthrough_logging_payload": payload, **details}
    return passing.passed_facts(attempt, told, NOON_NS)


# Facts.


def test_the_address_and_the_bodys_model_are_the_facts() -> None:
    facts = facts_of(body={"model": "gpt-5.4", "stream": True, "service_tier": "flex"})

    assert (facts.operation, facts.provider, facts.request_model) == ("chat", "openai", "gpt-5.4")
    assert (facts.stream, facts.request_service_tier) == (True, "flex")


@pytest.mark.parametrize(
    ("url", "method", "operation", "provider", "model"),
    [
        pytest.param(
            "https://generativelanguage.googleapis.com/v1beta/models/g-3:generateContent?key=k",
            "POST",
            "generate_content",
            "gemini",
            "g-3",
            id="Gemini",
        ),
        pytest.param(
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/nova%3A0/converse",
            "POST",
            "chat",
            "bedrock",
            "nova:0",
            id="Bedrock",
        ),
        pytest.param(
            "https://api.openai.com/v1/files", "get", "list_files", "openai", "unknown", id="free"
        ),
        pytest.param(
            "https://things.example.com/make",
            "POST",
            FORWARDED,
            "things.example.com",
            "unknown",
            id="a service that nobody knows",
        ),
        pytest.param("", "POST", FORWARDED, "unknown", "unknown", id="nowhere"),
    ],
)
def test_where_a_request_goes_says_what_it_is(
    url: str, method: str, operation: str, provider: str, model: str
) -> None:
    facts = facts_of(url, method=method)

    assert (facts.operation, facts.provider, facts.request_model) == (operation, provider, model)
    assert facts.operation in BILLED_OPERATIONS | FREE_OPERATIONS


def test_the_route_names_the_provider_of_a_host_that_is_somebodys_own() -> None:
    facts = facts_of(
        "https://gateway.example.com/v1/messages", rule=rule_of("/anthropic/v1", "POST")
    )

    assert (facts.provider, facts.operation) == ("anthropic", "chat")


def test_the_hosts_provider_counts_before_the_routes() -> None:
    facts = facts_of(OPENAI, rule=rule_of("/anthropic/v1", "POST"))

    assert facts.provider == "openai"


def test_what_the_body_says_of_litellms_own_facts_is_not_believed() -> None:
    forged = {
        "custom_llm_provider": "forged",
        "model_info": {"id": "forged"},
        "metadata": {"model_group": "forged", "model_info": {"id": "forged"}},
        "litellm_metadata": {"model_group": "forged", "model_info": {"id": "forged"}},
        "aws_region_name": "forged",
        "deployment_id": "forged",
        "cost_per_request": 0,
    }

    facts = facts_of(
        body={"model": "gpt-5.4", **forged},
        model="forged",
        custom_llm_provider="forged",
        litellm_params={**forged, "passthrough": True},
        optional_params=forged,
    )

    assert facts == an_attempt(model_group=None, deployment_id=None)
    assert "forged" not in repr(facts)


@pytest.mark.parametrize(
    ("body", "model"),
    [
        ({"model": SECRET}, "unknown"),
        ({"model": "x" * 201}, "unknown"),
        ({"model": ["gpt-5.4"]}, "unknown"),
        (["gpt-5.4"], "unknown"),
        (SECRET, "unknown"),
        (None, "unknown"),
    ],
)
def test_a_model_is_a_name_or_is_not_known(body: object, model: str) -> None:
    facts = facts_of(body=body)

    assert facts.request_model == model
    assert SECRET not in repr(facts)


def test_without_a_call_or_details_the_facts_are_still_a_billed_request() -> None:
    facts = passing.passed_facts(Attempt(1, NOON_NS, "pass_through_endpoint"), {}, NOON_NS)

    assert (facts.operation, facts.provider) == (FORWARDED, "unknown")


@pytest.mark.parametrize(
    ("cost", "price"),
    [
        (0.25, "0.25"),
        (3, "3"),
        (0.00000005, "0.00000005"),
        (0, None),
        (-1, None),
        (True, None),
        ("0.25", None),
        (None, None),
        (float("nan"), None),
    ],
)
def test_a_declared_price_is_the_configs_own_as_plain_text(cost: object, price: str | None) -> None:
    details = {"passthrough_logging_payload": {"cost_per_request": cost}}

    assert passing.declared_price(details) == price
    assert price is None or Decimal(price) == Decimal(str(cost))
    assert passing.declared_price({}) is None


# Outcomes.


def an_open_attempt(**changes: Any) -> Attempt:
    attempt = Attempt(1, NOON_NS, "pass_through_endpoint", **changes)
    attempt.event = an_event(outcome=None)
    return attempt


def read(
    attempt: Attempt | None = None,
    *,
    status: int = 200,
    body: bytes = ANSWER,
    kind: bytes = b"application/json",
    ends: bool = True,
    client_gone: bool = False,
) -> Outcome:
    reader, state = Reader(), a_call()
    state.client_gone = client_gone
    if status:
        reader.starts(status, {b"content-type": kind})
        reader.part(body, NOON_NS + SECOND_NS)
    if ends:
        reader.ends()
    return passing.read(reader, attempt or an_open_attempt(), state, NOON_NS + 2 * SECOND_NS)


def test_an_answer_is_settled_by_what_went_by() -> None:
    outcome = read()

    assert outcome == Outcome(
        status=Status.OK,
        settled_at_ns=NOON_NS + 2 * SECOND_NS,
        http_status=200,
        latency_us=2_000_000,
        time_to_first_token_us=1_000_000,
        response_model="gpt-5.4-2026-03-05",
        response_id="chatcmpl-1",
        usage_source=UsageSource.REPORTED,
        usage=USAGE,
        usage_format="openai_chat",
    )


def test_an_answer_that_says_nothing_of_usage_has_none() -> None:
    outcome = read(body=b"{}")

    assert (outcome.status, outcome.usage, outcome.usage_format) == (Status.OK, None, None)
    assert outcome.usage_source is UsageSource.NONE


@pytest.mark.parametrize("status", [400, 429, 500])
def test_an_error_of_the_provider_is_one(status: int) -> None:
    outcome = read(status=status, body=b'{"error": {}}')

    assert (outcome.status, outcome.http_status) == (Status.ERROR, status)
    assert outcome.detail is None


def test_the_status_is_the_providers_where_it_was_seen() -> None:
    outcome = read(an_open_attempt(sent_to=TARGET, provider_status=503), status=200)

    assert (outcome.status, outcome.http_status) == (Status.ERROR, 503)


def test_what_was_sent_and_not_answered_is_unknown_whatever_the_client_got() -> None:
    outcome = read(an_open_attempt(sent_to=TARGET), status=500)

    assert (outcome.status, outcome.http_status) == (Status.UNKNOWN, None)
    assert outcome.detail == passing.NO_ANSWER


def test_no_response_at_all_is_unknown() -> None:
    outcome = read(status=0, ends=False)

    assert (outcome.status, outcome.detail) == (Status.UNKNOWN, passing.NO_ANSWER)


def test_a_client_that_went_away_leaves_what_was_seen_as_an_estimate() -> None:
    stream = b"data: " + orjson.dumps({"usage": USAGE}) + b"\n\n"
    outcome = read(body=stream, kind=b"text/event-stream", ends=False, client_gone=True)

    assert (outcome.status, outcome.usage) == (Status.CANCELLED, USAGE)
    assert outcome.usage_source is UsageSource.ESTIMATED


def test_an_answer_that_breaks_off_is_an_error_without_a_status_of_its_own() -> None:
    outcome = read(ends=False)

    assert (outcome.status, outcome.http_status) == (Status.ERROR, 200)
    assert outcome.error_type == "BrokenOff"
    assert outcome.usage_source is UsageSource.NONE


def test_a_stream_that_says_it_broke_leaves_an_estimate() -> None:
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 12}}}
    error = {"type": "error", "error": {"message": SECRET}}
    stream = b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in (start, error))
    outcome = read(body=stream, kind=b"text/event-stream")

    assert (outcome.status, outcome.error_type) == (Status.ERROR, "BrokenOff")
    assert (outcome.usage, outcome.usage_source) == ({"input_tokens": 12}, UsageSource.ESTIMATED)
    assert SECRET not in repr(outcome)


def test_what_the_request_counted_stands_in_for_a_provider_that_reports_nothing() -> None:
    counted = {"characters": 20}

    assert read(an_open_attempt(counted=counted), body=b"{}").usage_format == "counted"
    assert read(an_open_attempt(counted=counted)).usage == USAGE
    assert read(an_open_attempt(counted=counted), body=b"{}", status=500).usage is None


def test_a_declared_price_is_due_for_what_was_answered_beside_what_was_used() -> None:
    attempt = an_open_attempt(declared_price="0.25")

    answered, silent = read(attempt), read(attempt, body=b"")

    assert answered.usage_format == silent.usage_format == "declared"
    assert answered.usage == {"requests": 1, "unit_price": "0.25", "reported": USAGE}
    assert silent.usage == {"requests": 1, "unit_price": "0.25"}
    assert read(attempt, client_gone=True).usage_format == "declared"
    assert read(attempt, status=500, body=b"{}").usage is None


@pytest.mark.parametrize("name", ["model", "id", "service_tier"])
def test_a_name_that_is_a_text_is_left_out(name: str) -> None:
    outcome = read(body=orjson.dumps({name: SECRET, "usage": USAGE}))

    assert outcome.usage == USAGE
    assert SECRET not in repr(outcome)


# Sessions.


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (None, Status.OK),
        (1000, Status.OK),
        (1001, Status.OK),
        (1006, Status.ERROR),
        (1011, Status.ERROR),
    ],
)
def test_a_session_ends_as_its_socket_does(code: int | None, status: Status) -> None:
    outcome = passing.session_ended(Session(close_code=code), an_open_attempt(), NOON_NS)

    assert outcome.status is status
    assert (outcome.error_type is not None) == (status is Status.ERROR)


def test_a_session_whose_usage_stands_on_turns_says_so() -> None:
    def detail(turns: int) -> str | None:
        return passing.session_ended(Session(turns=turns), an_open_attempt(), NOON_NS).detail

    assert detail(1) == USAGE_APART
    assert detail(0) is None  # what it cost before its first turn ended, nobody knows


# Through the journal.


class Passed(Call):
    """A request that LiteLLM passes on, told as it tells it: once before, once after."""

    def __init__(self) -> None:
        super().__init__()
        self.state.rule, self.state.answer = CUSTOM_PASS_THROUGH, Reader()
        shape = CallShape("/{pass_through}", "pass_through_endpoint", None, stream=False)
        self.state.admission = decided(self.line, a_request(shape=shape))
        current_call.set(self.state)

    def leaves(self, cost: float | None = None) -> None:
        payload = {"url": OPENAI, "request_body": {"model": "gpt-5.4"}, "cost_per_request": cost}
        self.ready(passthrough_logging_payload=payload, model="forged")
        self.send(TARGET)
        self.journal.sends.on_status(TARGET, 200, {"x-request-id": "req_1"})

    def is_answered(self, body: bytes = ANSWER) -> None:
        assert self.state.answer is not None
        self.state.answer.starts(200, {b"content-type": b"application/json"})
        self.state.answer.part(body, self.line.clock.now_ns())
        self.state.answer.ends()


@pytest.mark.parametrize("is_logged_first", [True, False])
def test_what_is_passed_on_is_settled_once_by_its_own_body(*, is_logged_first: bool) -> None:
    call = Passed()
    call.leaves()
    if is_logged_first:
        call.log({"response": SECRET}, call_type="pass_through_endpoint")
    call.is_answered()
    call.end()
    call.log({"response": SECRET}, call_type="pass_through_endpoint")
    call.sweep_after(GRACE_S + 1)

    assert call.only_outcome.usage == USAGE
    assert call.only_outcome.provider_request_id == "req_1"
    (event,) = call.settled
    assert event.attempt is not None
    assert (event.attempt.request_model, event.attempt.operation) == ("gpt-5.4", "chat")
    assert SECRET not in repr(event)


def test_the_configs_price_comes_with_it() -> None:
    call = Passed()
    call.leaves(cost=0.5)
    call.is_answered(b"")
    call.end()

    assert call.only_outcome.usage == {"requests": 1, "unit_price": "0.5"}


def test_a_client_that_leaves_before_the_answer_is_told_apart() -> None:
    call = Passed()
    call.leaves()
    call.state.client_gone = True
    clock_of(call.line).go_on(seconds=1)
    call.end()

    assert call.only_outcome.status is Status.CANCELLED


def test_a_route_that_is_not_passed_on_reads_no_body() -> None:
    call = Call()
    assert call.state.rule is UNKNOWN
    call.begin()
    call.on_wire()
    call.end()

    assert call.outcomes == []
