"""boto3 and LiteLLM cannot tell the stand-in from Bedrock's runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import boto3
import botocore.exceptions
import httpx
import pytest
from botocore.config import Config
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer

from tallygate.standin.event_stream import event, message

MODEL = "us.anthropic.claude-sonnet-5-5-v1:0"
ARN = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/ab12"
OWNED = {"owner_team": "search", "feature": "ranking"}
TOLD = "[[standin: input=1000 cached=600 cache_write_5m=200 output=9 chunks=3]]"
KEYS = {
    "aws_access_key_id": "AKIAEXAMPLE",
    "aws_secret_access_key": "not-a-secret",
    "region_name": "eu-west-1",
}


@pytest.fixture
def runtime(standin_url: str, book: httpx.Client) -> Iterator[Any]:
    config = Config(retries={"total_max_attempts": 1}, read_timeout=20)
    client = boto3.client("bedrock-runtime", endpoint_url=standin_url, config=config, **KEYS)
    yield client
    client.close()


def _last_call(book: httpx.Client) -> dict[str, Any]:
    return book.get("/calls").json()[-1]


def _said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": text}]}]


def _invoked(text: str) -> str:
    return json.dumps(
        {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": text}],
        }
    )


def test_converse_answers_with_usage_and_the_request_s_id(runtime: Any, book: httpx.Client) -> None:
    answer = runtime.converse(modelId=MODEL, messages=_said(TOLD), requestMetadata=OWNED)

    assert answer["output"]["message"]["content"] == [{"text": "This answer comes"}]
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"] == {
        "inputTokens": 200,
        "outputTokens": 9,
        "totalTokens": 1009,
        "cacheReadInputTokens": 600,
        "cacheWriteInputTokens": 200,
        "cacheDetails": [{"ttl": "5m", "inputTokens": 200}],
    }
    call = _last_call(book)
    assert call["provider_request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert call["request_metadata"] == OWNED
    assert (call["operation"], call["model"], call["ended"]) == ("chat", MODEL, "complete")
    assert (call["usage"], call["billed"]["input"]) == (answer["usage"], 1000)


def test_a_model_may_be_an_arn(runtime: Any, book: httpx.Client) -> None:
    runtime.converse(modelId=ARN, messages=_said("hi"))

    assert _last_call(book)["model"] == ARN


def test_a_gateway_s_prefix_is_no_part_of_a_model_s_name(runtime: Any, book: httpx.Client) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="model identifier is invalid"):
        runtime.converse(modelId=f"converse/{MODEL}", messages=_said("hi"))
    with pytest.raises(botocore.exceptions.ClientError, match="model identifier is invalid"):
        runtime.invoke_model(modelId=f"converse/{MODEL}", body=_invoked("hi"))

    assert [call["billed"] for call in book.get("/calls").json()] == [None, None]


def test_a_converse_stream_has_its_usage_in_the_last_event(
    runtime: Any, book: httpx.Client
) -> None:
    stream = runtime.converse_stream(modelId=MODEL, messages=_said(TOLD), requestMetadata=OWNED)
    events = list(stream["stream"])

    assert [next(iter(event)) for event in events] == [
        "messageStart",
        *["contentBlockDelta"] * 3,
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert events[-1]["metadata"]["usage"]["totalTokens"] == 1009
    call = _last_call(book)
    assert call["usage"] == events[-1]["metadata"]["usage"]
    assert (call["request_metadata"], call["stream"], call["chunks_sent"]) == (OWNED, True, 3)


def test_invoke_says_usage_in_the_body_and_in_headers(runtime: Any, book: httpx.Client) -> None:
    answer = runtime.invoke_model(
        modelId=MODEL, body=_invoked(TOLD), requestMetadata=json.dumps(OWNED)
    )
    body = json.loads(answer["body"].read())

    assert body["usage"]["cache_read_input_tokens"] == 600
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-bedrock-input-token-count"] == "200"
    assert headers["x-amzn-bedrock-output-token-count"] == "9"
    assert headers["x-amzn-bedrock-cache-read-input-token-count"] == "600"
    call = _last_call(book)
    assert (call["response_id"], call["usage"]) == (body["id"], body["usage"])
    assert call["request_metadata"] == OWNED


def test_an_invoked_stream_ends_with_the_invocation_s_metrics(
    runtime: Any, book: httpx.Client
) -> None:
    stream = runtime.invoke_model_with_response_stream(modelId=MODEL, body=_invoked(TOLD))
    events = [json.loads(part["chunk"]["bytes"]) for part in stream["body"]]

    assert [event["type"] for event in events].count("content_block_delta") == 3
    assert events[-1]["amazon-bedrock-invocationMetrics"] == {
        "inputTokenCount": 200,
        "outputTokenCount": 9,
        "cacheReadInputTokenCount": 600,
        "cacheWriteInputTokenCount": 200,
        "invocationLatency": 1,
        "firstByteLatency": 1,
    }
    assert _last_call(book)["usage"]["output_tokens"] == 9


def test_titan_embeds_and_tokens_are_counted(runtime: Any, book: httpx.Client) -> None:
    body = json.dumps({"inputText": "three words here", "dimensions": 8})
    answer = runtime.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=body)
    counted = runtime.count_tokens(
        modelId=MODEL, input={"converse": {"messages": _said("just these words")}}
    )

    embedded = json.loads(answer["body"].read())
    assert (len(embedded["embedding"]), embedded["inputTextTokenCount"]) == (8, 3)
    assert counted["inputTokens"] == 3
    first, second = book.get("/calls").json()
    assert first["billed"]["input"] == 3
    assert (second["generates"], second["billed"]) == (False, None)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ],
)
def test_an_error_on_demand_has_the_service_s_code(
    runtime: Any, book: httpx.Client, status: int, code: str
) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        runtime.converse(
            modelId=MODEL, messages=_said(f"[[standin: status={status}]]"), requestMetadata=OWNED
        )

    assert raised.value.response["Error"]["Code"] == code
    call = _last_call(book)
    assert (call["ended"], call["billed"]) == ("error", None)
    assert call["request_metadata"] == OWNED


def test_metadata_outside_the_service_s_limits_is_refused(runtime: Any, book: httpx.Client) -> None:
    for wrong in ({"team": "pâté"}, {f"k{n}": "v" for n in range(17)}):
        with pytest.raises(botocore.exceptions.ClientError, match="requestMetadata"):
            runtime.converse(modelId=MODEL, messages=_said("hi"), requestMetadata=wrong)

    assert [call["request_metadata"] for call in book.get("/calls").json()] == [None, None]


def test_faults_inside_a_stream(runtime: Any, book: httpx.Client) -> None:
    def events(wish: str) -> list[Any]:
        stream = runtime.converse_stream(modelId=MODEL, messages=_said(f"[[standin: {wish}]]"))
        with closing(stream["stream"]) as opened:
            return list(opened)

    with pytest.raises(botocore.exceptions.EventStreamError, match="The model failed"):
        events("error_after=2")
    with pytest.raises(ChecksumMismatch):
        events("malformed")
    with pytest.raises(Exception, match="ended prematurely"):
        events("cut=2")

    ended = [call["ended"] for call in book.get("/calls").json()]
    assert ended == ["error", "malformed", "cut"]


def test_a_message_of_the_event_stream_is_read_back_to_the_byte() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(event("messageStart", {"role": "assistant"}) + message({}, b""))
    first, second = buffer

    assert first.headers == {
        ":event-type": "messageStart",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    assert (first.payload, second.headers, second.payload) == (b'{"role":"assistant"}', {}, b"")
