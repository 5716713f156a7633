"""What reaches providers and LiteLLM's own tools of a call: trace and owner, nothing raw."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import yaml

from e2e.conftest import StartProxy
from e2e.gated import OWNED, copy_policies, settled_rows, without
from e2e.proxy_process import RunningProxy, RunningStandin
from e2e.routes.proxy_config import config_for

KEY = "sk-demo-support"
MESSAGES = [{"role": "user", "content": "Whose ticket is it?"}]


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_policies(tmp_path_factory.mktemp("onward"))


@pytest.fixture(scope="module")
def proxy(start_proxy: StartProxy, shared_standin: RunningStandin, policies: Path) -> RunningProxy:
    config = yaml.safe_load(config_for(shared_standin.url))
    config["litellm_settings"]["bedrock_request_metadata_fields"] = ["spend_logs_metadata"]
    environment = {
        "TALLYGATE_POLICIES": str(policies),
        "TALLYGATE_DRAIN": "off",
        "TALLYGATE_HASH_KEY": "0123456789abcdef0123456789abcdef",
        "ANTHROPIC_API_BASE": shared_standin.url,
    }
    return start_proxy(yaml.safe_dump(config), environment)


@pytest.fixture
def http(proxy: RunningProxy) -> Iterator[httpx.Client]:
    bearer = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=proxy.url, headers=bearer, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def trace_id() -> str:
    return f"tr-{time.time_ns()}"


def only_call(standin: RunningStandin) -> dict[str, Any]:
    (call,) = standin.calls()
    return call


def test_a_raw_identifier_is_hashed_and_does_not_leave_with_what_is_passed_through(
    http: httpx.Client, proxy: RunningProxy, standin: RunningStandin, policies: Path, trace_id: str
) -> None:
    headers = {
        **without("tenant_id_hash"),
        "x-tallygate-trace-id": trace_id,
        "x-tallygate-tenant-id": "acme-industries",
        "baggage": "tenant_id=acme-industries",
        "anthropic-version": "2023-06-01",
    }
    body = {"model": "claude-sonnet-5-5", "max_tokens": 9, "messages": MESSAGES}

    answer = http.post("/anthropic/v1/messages", headers=headers, json=body)

    assert answer.status_code == 200, answer.text
    call = only_call(standin)
    assert {"x-tallygate-tenant-id", "baggage"} & set(call["header_names"]) == set()
    (row,) = settled_rows(proxy, policies, 1, trace_id=trace_id)
    assert row["tenant_id_hash"].startswith("hk1_")
    assert "acme" not in repr(row)
    assert "acme" not in proxy.log()


def test_the_trace_goes_on_where_a_request_is_passed_through(
    http: httpx.Client, proxy: RunningProxy, standin: RunningStandin, policies: Path
) -> None:
    body = {"model": "claude-sonnet-5-5", "max_tokens": 9, "messages": MESSAGES}
    headers = {**OWNED, "anthropic-version": "2023-06-01"}

    answer = http.post("/anthropic/v1/messages", headers=headers, json=body)

    sent = only_call(standin)["headers"]["traceparent"]
    assert sent.split("-")[1] == answer.headers["x-tallygate-trace-id"]
    assert settled_rows(proxy, policies, 1, trace_id=answer.headers["x-tallygate-trace-id"])


def test_a_call_that_the_official_client_repeats_names_the_one_before(
    proxy: RunningProxy, policies: Path, trace_id: str
) -> None:
    headers = {**OWNED, "x-tallygate-trace-id": trace_id}
    text = f"[[standin: status=503 fail=3]] {trace_id}"
    with openai.OpenAI(
        api_key=KEY, base_url=f"{proxy.url}/v1", max_retries=1, default_headers=headers
    ) as client:
        client.chat.completions.create(
            model="gpt-5.4-mini", messages=[{"role": "user", "content": text}]
        )

    *failed, answered = settled_rows(proxy, policies, 4, trace_id=trace_id)

    assert {row["retry_of_call_id"] for row in failed} == {None}
    assert answered["retry_of_call_id"] == failed[0]["call_id"] != answered["call_id"]
    assert (failed[0]["client_retry_count"], answered["client_retry_count"]) == (0, 1)


def test_bedrock_is_told_the_owner_whatever_the_caller_writes_there(
    http: httpx.Client, standin: RunningStandin, trace_id: str
) -> None:
    forged = {"x-litellm-spend-logs-metadata": '{"owner_team": "team-search"}'}
    headers = {**OWNED, **forged, "x-tallygate-trace-id": trace_id}
    body = {
        "model": "nova",
        "messages": MESSAGES,
        "metadata": {"spend_logs_metadata": {"owner_team": "team-search"}},
    }

    answer = http.post("/v1/chat/completions", headers=headers, json=body)

    assert answer.status_code == 200, answer.text
    told = only_call(standin)["request_metadata"]
    assert told["owner_team"] == "team-support"
    assert told["cost_center"] == "CC-1200"
    assert told["trace_id"] == trace_id
