from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

import httpx
import litellm
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litellm.types.llms.openai import InputTokensDetails, ResponseAPIUsage, ResponsesAPIResponse
from litellm.types.utils import EmbeddingResponse, ModelResponse, Usage

from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.ledger.events import Outcome, Status, UsageSource
from tallygate.proxy import asking, wire
from tallygate.proxy.routes import UNKNOWN, rule_of
from tallygate.proxy.sending import Target
from tallygate.proxy.state import Attempt, CallState
from tallygate.proxy.usage import partial_usage, usage_of, usage_source_of

BEGAN_NS: Final = 1_000_000_000
NOW_NS: Final = 3_500_000_000
NAIVE: Final = datetime.fromisoformat("2026-01-01T00:00:00")
SECRET: Final = "the prompt of a person"


def a_chat_response(**changes: Any) -> ModelResponse:
    facts: dict[str, Any] = {
        "id": "chatcmpl-1",
        "model": "gpt-5.4-2026-03-05",
        "usage": Usage(prompt_tokens=3400, completion_tokens=620, total_tokens=4020),
    }
    return ModelResponse(**facts | changes)


def a_responses_response(usage: ResponseAPIUsage | None) -> ResponsesAPIResponse:
    return ResponsesAPIResponse(
        id="resp_1", created_at=1, model="gpt-5.4", object="response", output=[], usage=usage
    )


def a_call(path: str = "") -> CallState:
    rule = rule_of(path, "POST") if path else UNKNOWN
    return CallState("call-1", BEGAN_NS, (), Trace("tr", "received", "1" * 32), rule=rule)


def answered(response: object, **changes: Any) -> Outcome:
    return wire.answered(response, began_ns=BEGAN_NS, now_ns=NOW_NS, **changes)


# Usage.


@pytest.mark.parametrize(
    ("response", "usage", "usage_format"),
    [
        pytest.param(
            a_chat_response(),
            {"prompt_tokens": 3400, "completion_tokens": 620, "total_tokens": 4020},
            "litellm",
            id="a chat response",
        ),
        pytest.param(
            EmbeddingResponse(model="e", usage=Usage(prompt_tokens=9, total_tokens=9)),
            {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9},
            "litellm",
            id="an embedding response",
        ),
        pytest.param(
            a_responses_response(
                ResponseAPIUsage(
                    input_tokens=5,
                    output_tokens=2,
                    total_tokens=7,
                    input_tokens_details=InputTokensDetails(cached_tokens=3),
                )
            ),
            {
                "input_tokens": 5,
                "input_tokens_details": {"cached_tokens": 3},
                "output_tokens": 2,
                "total_tokens": 7,
            },
            "openai_responses",
            id="a Responses response",
        ),
        pytest.param(
            {"model": "claude", "usage": {"input_tokens": 8, "output_tokens": 1}},
            {"input_tokens": 8, "output_tokens": 1},
            "anthropic",
            id="an Anthropic message, a plain dict on LiteLLM's route",
        ),
        pytest.param(
            a_chat_response(
                usage=Usage(
                    prompt_tokens=10,
                    completion_tokens=1,
                    total_tokens=11,
                    cache_read_input_tokens=2,
                    server_tool_use={"web_search_requests": 4},
                )
            ),
            {
                "prompt_tokens": 10,
                "completion_tokens": 1,
                "total_tokens": 11,
                "prompt_tokens_details": {"cached_tokens": 2},
                "cache_read_input_tokens": 2,
                "server_tool_use": {"web_search_requests": 4},
            },
            "litellm",
            id="caches and tools",
        ),
    ],
)
def test_usage_is_read_as_the_providers_numbers_stand(
    response: object, usage: dict[str, Any], usage_format: str
) -> None:
    outcome = answered(response)

    assert outcome.usage == usage
    assert outcome.usage_format == usage_format
    assert outcome.usage_source is UsageSource.REPORTED


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(a_chat_response(usage=Usage()), id="zeros that LiteLLM filled in"),
        pytest.param(ModelResponse(), id="a response without usage"),
        pytest.param(a_responses_response(None), id="a Responses response without usage"),
        pytest.param({"usage": None}, id="null"),
        pytest.param({"usage": [1, 2]}, id="a list"),
        pytest.param({"usage": {}}, id="an empty object"),
        pytest.param({"usage": {"prompt_tokens": "12"}}, id="a count as text"),
        pytest.param({"usage": {"prompt_tokens": True}}, id="a truth value"),
        pytest.param({"usage": {"details": {"cached_tokens": 0}}}, id="zeros inside"),
        pytest.param({"usage": {"cost": 0.5}}, id="a price"),
        pytest.param(None, id="no response"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param(httpx.Response(200), id="a raw response"),
    ],
)
def test_no_counts_are_no_usage_never_zero(response: object) -> None:
    outcome = answered(response)

    assert outcome.usage is None
    assert outcome.usage_format is None
    assert outcome.usage_source is UsageSource.NONE
    assert outcome.status is Status.OK


def test_only_counts_and_short_names_are_kept() -> None:
    usage = {
        "prompt_tokens": 7,
        "whole": 3.0,
        "cost": 0.25,
        "nan": float("nan"),
        "infinite": float("inf"),
        "text": SECRET,
        "list": [1, 2],
        "flag": True,
        "nothing": None,
        "service_tier": "priority",
        "speed": "fast",
        "inference_geo": SECRET,
        "details": {"cached_tokens": 2, "note": SECRET},
        "empty": {"note": SECRET},
        3: 4,
        SECRET: 5,
        "": 6,
    }

    assert usage_of({"usage": usage}) == {
        "prompt_tokens": 7,
        "whole": 3,
        "service_tier": "priority",
        "speed": "fast",
        "details": {"cached_tokens": 2},
    }


def test_negative_counts_are_passed_on_for_the_normaliser_to_refuse() -> None:
    assert usage_of({"usage": {"prompt_tokens": -1, "completion_tokens": 2}}) == {
        "prompt_tokens": -1,
        "completion_tokens": 2,
    }


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    return [value]


@given(usage=anything)
def test_whatever_a_provider_reports_only_whole_numbers_pass(usage: object) -> None:
    kept = usage_of({"usage": usage})

    for leaf in leaves(kept or {"": 1}):
        assert type(leaf) is int


@pytest.mark.parametrize(
    ("usage", "source"),
    [
        pytest.param(
            {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
            UsageSource.ESTIMATED,
            id="bare totals may be LiteLLM's own estimate",
        ),
        pytest.param(
            {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}},
            UsageSource.REPORTED,
            id="details come from a provider",
        ),
        pytest.param(
            {"input_tokens": 3, "output_tokens": 1}, UsageSource.REPORTED, id="another convention"
        ),
    ],
)
def test_a_streams_estimate_is_told_from_a_count(usage: object, source: UsageSource) -> None:
    assert usage_source_of({"usage": usage}) is source


def test_usage_of_a_broken_stream_is_what_litellm_had_put_together() -> None:
    details = {"combined_usage_object": Usage(prompt_tokens=2, completion_tokens=1)}

    assert partial_usage(details) is not None
    assert partial_usage({}) is None


# What else an answer says.


def test_a_response_says_who_answered_and_how_fast() -> None:
    response = a_chat_response(service_tier="priority")
    response._hidden_params = {
        "additional_headers": {"llm_provider-x-request-id": "req_9"},
        "response_cost": 0.00453,
    }

    outcome = answered(response)

    assert outcome.status is Status.OK
    assert outcome.latency_us == 2_500_000
    assert outcome.settled_at_ns == NOW_NS
    assert outcome.response_model == "gpt-5.4-2026-03-05"
    assert outcome.provider_request_id == "req_9"
    assert outcome.service_tier == "priority"
    assert outcome.litellm_cost == "0.00453"


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        pytest.param({"id": "msg_1"}, "msg_1", id="its own id without the header"),
        pytest.param({"id": "two words"}, None, id="an id that is no id"),
        pytest.param({"id": "x" * 201}, None, id="an id that is too long"),
        pytest.param({"id": 7}, None, id="a number"),
        pytest.param({}, None, id="none"),
    ],
)
def test_a_request_id_is_short_and_printable_or_left_out(
    response: object, expected: str | None
) -> None:
    assert answered(response).provider_request_id == expected


def test_the_tier_may_stand_in_the_usage() -> None:
    response = {"usage": {"input_tokens": 1, "service_tier": "standard"}}

    assert answered(response).service_tier == "standard"


@pytest.mark.parametrize(
    ("hidden", "cost"),
    [
        pytest.param({"response_cost": 0.1 + 0.2}, "0.30000000000000004", id="as it was printed"),
        pytest.param({"response_cost": 0}, "0", id="nothing"),
        pytest.param({"response_cost": None}, None, id="null"),
        pytest.param({"response_cost": True}, None, id="a truth value"),
        pytest.param({"response_cost": "1"}, None, id="text"),
        pytest.param(None, None, id="no hidden parameters"),
    ],
)
def test_litellms_own_figure_is_kept_as_text(hidden: object, cost: str | None) -> None:
    assert wire.cost_of(SimpleNamespace(_hidden_params=hidden)) == cost
    assert wire.logged_cost(hidden if isinstance(hidden, dict) else {}) == cost


# Failures.


def an_exception(kind: type[Exception], **changes: Any) -> Exception:
    facts = {"message": SECRET, "model": "m", "llm_provider": "openai"}
    return kind(**facts | changes)


@pytest.mark.parametrize(
    ("exception", "status", "http_status", "error_type"),
    [
        pytest.param(
            an_exception(litellm.RateLimitError), Status.ERROR, 429, "RateLimitError", id="429"
        ),
        pytest.param(
            an_exception(litellm.Timeout), Status.TIMEOUT, 408, "Timeout", id="LiteLLM's timeout"
        ),
        pytest.param(TimeoutError(SECRET), Status.TIMEOUT, None, "TimeoutError", id="Python's"),
        pytest.param(ValueError(SECRET), Status.ERROR, None, "ValueError", id="anything"),
        pytest.param(
            SimpleNamespace(status_code="500"),
            Status.ERROR,
            None,
            "SimpleNamespace",
            id="a status that is no number",
        ),
    ],
)
def test_a_failure_is_told_by_class_and_status_never_by_text(
    exception: Any, status: Status, http_status: int | None, error_type: str
) -> None:
    outcome = wire.failed(exception, Attempt(1, BEGAN_NS, "acompletion"), NOW_NS)

    assert (outcome.status, outcome.http_status) == (status, http_status)
    assert outcome.error_type == error_type
    assert outcome.latency_us == 2_500_000
    assert SECRET not in repr(outcome)


@pytest.mark.parametrize("seen", [500, None])
def test_where_the_wire_was_watched_its_status_counts_not_litellms(seen: int | None) -> None:
    attempt = Attempt(1, BEGAN_NS, "acompletion", sent_to=Target("POST", "h", "/"))
    attempt.provider_status = seen

    outcome = wire.failed(an_exception(litellm.RateLimitError), attempt, NOW_NS)

    assert outcome.http_status == seen


def test_a_client_that_went_away_is_told_by_litellms_status() -> None:
    gone = ValueError()
    gone.status_code = 499  # type: ignore[attr-defined]  # as LiteLLM's exceptions have it

    assert wire.is_client_closed(gone)
    assert not wire.is_client_closed(ValueError())
    details = {"litellm_params": {"metadata": {"client_disconnected": True}}}
    assert wire.is_client_disconnect(details, a_call())
    assert not wire.is_client_disconnect({"litellm_params": None}, a_call())


def test_a_body_that_claims_a_disconnect_is_not_believed() -> None:
    details = {"litellm_params": {"metadata": {"client_disconnected": True}}}
    forging = a_call()
    forging.has_forged_disconnect = True

    assert not wire.is_client_disconnect(details, forging)


@pytest.mark.parametrize(
    ("path", "group"),
    [
        pytest.param("/v1/chat/completions", "ours", id="where metadata is LiteLLM's"),
        pytest.param("/v1/messages", "theirs", id="where metadata is the provider's"),
    ],
)
def test_litellms_own_metadata_is_read_not_the_clients_beside_it(path: str, group: str) -> None:
    params = {"metadata": {"model_group": "ours"}, "litellm_metadata": {"model_group": "theirs"}}
    attempt = Attempt(1, BEGAN_NS, "acompletion", call=a_call(path))

    facts = wire.attempt_facts(attempt, {"litellm_params": params}, NOW_NS, None)

    assert facts.model_group == group


# What LiteLLM says before and around a call.


def test_an_attempts_facts_are_read_as_it_goes_on_the_wire() -> None:
    details = {
        "model": "claude-haiku",
        "custom_llm_provider": "bedrock",
        "stream": True,
        "messages": [{"content": SECRET}],
        "optional_params": {"aws_region_name": "eu-west-1", "service_tier": "flex"},
        "litellm_params": {
            "metadata": {"model_group": "standard", "model_info": {"id": "dep-7"}},
        },
    }

    facts = wire.attempt_facts(Attempt(2, BEGAN_NS, "aresponses"), details, NOW_NS, "evt-1")

    assert (facts.number, facts.opened_at_ns, facts.retry_of_event_id) == (2, NOW_NS, "evt-1")
    assert (facts.operation, facts.provider) == ("chat", "bedrock")
    assert (facts.request_model, facts.model_group) == ("claude-haiku", "standard")
    assert (facts.deployment_id, facts.region) == ("dep-7", "eu-west-1")
    assert facts.stream
    assert facts.request_service_tier == "flex"
    assert SECRET not in repr(facts)


@pytest.mark.parametrize(
    "details",
    [
        pytest.param({}, id="nothing"),
        pytest.param(
            {"model": None, "litellm_params": None, "optional_params": "x", "stream": "yes"},
            id="other types",
        ),
        pytest.param({"model": SECRET, "custom_llm_provider": ["x"]}, id="texts that are no names"),
    ],
)
def test_what_cannot_be_read_is_unknown(details: dict[str, Any]) -> None:
    facts = wire.attempt_facts(Attempt(1, BEGAN_NS, "acreate_batch"), details, NOW_NS, None)

    assert (facts.provider, facts.request_model) == ("unknown", "unknown")
    assert facts.operation == "create_batch"
    assert not facts.stream
    assert facts.deployment_id is None


@pytest.mark.parametrize(
    ("kwargs", "deployment"),
    [
        pytest.param({"model_info": {"id": "dep-1"}}, "dep-1", id="a router's kwargs"),
        pytest.param({"metadata": {"model_info": {"id": "dep-2"}}}, "dep-2", id="in metadata"),
        pytest.param(
            {"litellm_metadata": {"model_info": {"id": "dep-3"}}},
            "dep-3",
            id="in the metadata of a route whose metadata is the provider's",
        ),
        pytest.param({}, None, id="nowhere"),
    ],
)
def test_a_deployment_is_known_by_litellms_id(kwargs: dict[str, Any], deployment: str) -> None:
    assert wire.deployment_of(kwargs) == deployment


@pytest.mark.parametrize(
    ("began", "first", "expected"),
    [
        pytest.param(NAIVE, NAIVE + timedelta(seconds=1), 1_000_000, id="naive"),
        pytest.param(NAIVE, NAIVE - timedelta(seconds=1), None, id="backwards"),
        pytest.param(NAIVE, NAIVE.replace(tzinfo=UTC), None, id="mixed"),
        pytest.param(
            NAIVE.replace(tzinfo=UTC),
            NAIVE.replace(tzinfo=UTC) + timedelta(microseconds=5),
            5,
            id="with zones",
        ),
        pytest.param(None, NAIVE, None, id="not begun"),
        pytest.param(NAIVE, 7, None, id="no instant"),
    ],
)
def test_the_first_token_is_timed_by_litellms_own_two_instants(
    began: object, first: object, expected: int | None
) -> None:
    details = {"api_call_start_time": began, "completion_start_time": first}

    assert wire.time_to_first_token_us(details) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            {
                "proxy_server_request": {"body": {"metadata": {"feature": "a"}}},
                "metadata": {"x": 1},
            },
            {"feature": "a"},
            id="the client's own, not LiteLLM's mix",
        ),
        pytest.param({"proxy_server_request": {"body": {"metadata": "text"}}}, {}, id="text"),
        pytest.param({"proxy_server_request": {"body": [1]}}, {}, id="a list as body"),
        pytest.param({}, {}, id="no request"),
    ],
)
def test_the_bodys_metadata_is_the_clients(data: dict[str, Any], expected: object) -> None:
    assert asking.body_metadata(data) == expected
