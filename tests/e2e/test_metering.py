"""
Every provider call is an attempt in the ledger, compared call by call with the stand-in's own book.

Method: each scenario sends what the official client sends, then the proxy's spool is drained; the
two books are joined by the provider's request id.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from e2e.conftest import REPOSITORY, StartProxy
from e2e.gated import OWNED, copy_policies, settled_rows
from e2e.proxy_process import RunningProxy, RunningStandin

MODEL = "gpt-5.4-mini"
CONFIG = (
    (REPOSITORY / "litellm_config.yaml")
    .read_text()
    .replace(
        "  request_timeout: 120\n",
        "  request_timeout: 3\n  cache: true\n  cache_params: {type: local}\n",
    )
)


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_policies(tmp_path_factory.mktemp("metering"))


@pytest.fixture(scope="module")
def proxy(start_proxy: StartProxy, policies: Path) -> RunningProxy:
    environment = {
        "TALLYGATE_POLICIES": str(policies),
        "TALLYGATE_DRAIN": "off",
        "TALLYGATE_SETTLE_GRACE_S": "4",
    }
    return start_proxy(CONFIG, environment)


@pytest.fixture
def client(proxy: RunningProxy) -> Iterator[openai.OpenAI]:
    base_url = f"{proxy.url}/v1"
    with openai.OpenAI(api_key="sk-demo-support", base_url=base_url, max_retries=0) as made:
        yield made


class Scenario:
    """Runs one call under a trace of its own and returns both books of it."""

    def __init__(
        self, client: openai.OpenAI, proxy: RunningProxy, standin: RunningStandin, policies: Path
    ) -> None:
        self._client, self._proxy = client, proxy
        self._standin, self._policies = standin, policies
        self.trace_id = f"tr-{time.time_ns()}"

    def chat(self, text: str, **options: Any) -> Any:
        headers = {**OWNED, "x-tallygate-trace-id": self.trace_id}
        options.setdefault("model", MODEL)
        # The cache is on for its own scenario; all others must reach the provider.
        options.setdefault("extra_body", {"cache": {"no-cache": True, "no-store": True}})
        return self._client.chat.completions.create(
            messages=[{"role": "user", "content": text}], extra_headers=headers, **options
        )

    def books(self, attempts: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        booked = settled_rows(self._proxy, self._policies, attempts, trace_id=self.trace_id)
        received = [call for call in self._standin.calls() if call["generates"]]
        return booked, received


@pytest.fixture
def scenario(
    client: openai.OpenAI, proxy: RunningProxy, standin: RunningStandin, policies: Path
) -> Scenario:
    return Scenario(client, proxy, standin, policies)


def statuses(booked: list[dict[str, Any]]) -> list[str]:
    return [row["status"] for row in booked]


def test_a_chat_is_one_priced_attempt_with_the_providers_own_numbers(scenario: Scenario) -> None:
    scenario.chat("[[standin: input=3400 cached=1200 output=620]] price me")

    (row,), (call,) = scenario.books(1)

    assert row["provider_request_id"] == call["provider_request_id"]
    assert (row["status"], row["usage_source"], row["price_status"]) == ("ok", "reported", "priced")
    assert (row["input_tokens"], row["cache_read_input_tokens"]) == (3400, 1200)
    assert row["output_tokens"] == 620
    # 2,200 uncached at 0.75, 1,200 read at 0.075, 620 out at 4.50 dollars per million.
    assert row["cost"] == Decimal("0.00453")
    assert row["litellm_cost"] is not None
    assert row["owner_team"] == "team-support"
    assert row["cost_center"] == "CC-1200"
    assert row["billing_rule_version"].startswith("openai-pricing-")


def test_a_stream_is_settled_with_the_usage_that_came_last(scenario: Scenario) -> None:
    for _ in scenario.chat("[[standin: input=50 output=20 chunks=4]] stream", stream=True):
        pass

    (row,), (call,) = scenario.books(1)

    assert row["provider_request_id"] == call["provider_request_id"]
    assert (row["status"], row["usage_source"], row["stream"]) == ("ok", "reported", True)
    assert (row["input_tokens"], row["output_tokens"]) == (50, 20)
    assert row["time_to_first_token_us"] > 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_anthropic_cache_reads_and_writes_are_priced_apart(
    scenario: Scenario, *, stream: bool
) -> None:
    text = "[[standin: input=1000 cached=300 cache_write_5m=200 cache_write_1h=100 output=50]] a"
    answer = scenario.chat(text, model="claude-sonnet-5-5", stream=stream)
    if stream:
        for _ in answer:
            pass

    (row,), (call,) = scenario.books(1)

    assert (row["provider"], row["status"], row["price_status"]) == ("anthropic", "ok", "priced")
    assert row["input_tokens"] == 1000
    assert row["cache_read_input_tokens"] == 300
    assert row["cache_creation_input_tokens"] == 300
    meters = {line["meter"]: line["quantity"] for line in row["charge_lines"]}
    assert meters == {
        "input": 400,
        "cache_read": 300,
        "cache_write_5m": 200,
        "cache_write_1h": 100,
        "output": 50,
    }
    assert call["ended"] == "complete"


def test_embeddings_are_metered(
    scenario: Scenario, client: openai.OpenAI, standin: RunningStandin
) -> None:
    client.embeddings.create(
        model="text-embedding-3-small",
        input=["one", "two"],
        extra_headers={**OWNED, "x-tallygate-trace-id": scenario.trace_id},
    )

    (row,), (call,) = scenario.books(1)

    assert (row["operation"], row["status"], row["price_status"]) == ("embeddings", "ok", "priced")
    assert row["provider_request_id"] == call["provider_request_id"]


def test_a_retry_is_an_attempt_of_its_own(scenario: Scenario) -> None:
    scenario.chat("[[standin: status=500 fail=2]] retried")

    booked, received = scenario.books(3)

    assert statuses(booked) == ["error", "error", "ok"]
    assert [row["attempt_number"] for row in booked] == [1, 2, 3]
    assert len({row["call_id"] for row in booked}) == 1
    assert booked[1]["retry_of_event_id"] == booked[0]["event_id"]
    assert [row["price_status"] for row in booked] == ["not_billed", "not_billed", "priced"]
    assert len(received) == 3


def test_exhausted_retries_are_all_there(scenario: Scenario) -> None:
    with pytest.raises(openai.InternalServerError):
        scenario.chat("[[standin: status=500]] exhausted")

    booked, received = scenario.books(3)

    assert statuses(booked) == ["error"] * 3
    assert [row["http_status"] for row in booked] == [500] * 3
    assert len(received) == 3


def test_a_fallback_is_booked_on_the_model_that_answered(scenario: Scenario) -> None:
    scenario.chat("[[standin: status=500 only=gpt-5.4]] fall back", model="gpt-5.4")

    booked, received = scenario.books(4)

    assert statuses(booked) == ["error", "error", "error", "ok"]
    assert [row["request_model"] for row in booked] == ["gpt-5.4"] * 3 + [MODEL]
    assert len(received) == 4


def test_a_timeout_may_be_billed_and_stays_unpriced(scenario: Scenario) -> None:
    with pytest.raises(openai.APIStatusError):
        scenario.chat("[[standin: delay=5]] slow", extra_body={"num_retries": 0})

    booked, received = scenario.books(1)

    assert len(booked) == len(received)
    assert set(statuses(booked)) == {"timeout"}
    assert {(row["price_status"], row["cost"]) for row in booked} == {("unpriced", None)}


def test_a_cache_hit_costs_nothing_and_says_what_it_avoided(scenario: Scenario) -> None:
    text = f"[[standin: input=100 output=10]] remember {scenario.trace_id}"
    scenario.chat(text, extra_body={})
    time.sleep(1)  # LiteLLM stores the answer after it has sent it
    scenario.chat(text, extra_body={})

    booked, received = scenario.books(2)

    assert statuses(booked) == ["ok", "cache_hit"]
    assert booked[1]["cost"] == 0
    assert booked[1]["avoided_cost"] == booked[0]["cost"] > 0
    assert len(received) == 1


def test_a_client_that_leaves_a_stream_leaves_a_cancelled_attempt(
    scenario: Scenario, proxy: RunningProxy
) -> None:
    headers = {
        **OWNED,
        "x-tallygate-trace-id": scenario.trace_id,
        "authorization": "Bearer sk-demo-support",
    }
    text = "[[standin: chunks=100 interval=0.05]] leave"
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": text}]}
    with (
        httpx.Client(trust_env=False) as http,
        http.stream("POST", f"{proxy.url}/v1/chat/completions", json=body, headers=headers) as sse,
    ):
        next(sse.iter_lines())

    (row,), received = scenario.books(1)

    assert row["status"] == "cancelled"
    assert row["usage_source"] in {"estimated", "none"}
    assert len(received) == 1


def test_a_stream_that_breaks_off_is_an_error_and_never_free(scenario: Scenario) -> None:
    with pytest.raises(openai.APIError):
        for _ in scenario.chat("[[standin: chunks=10 cut=3]] cut", stream=True):
            pass

    booked, received = scenario.books(1)

    assert len(booked) == len(received)
    assert booked[-1]["status"] in {"error", "unknown"}
    assert booked[-1]["cost"] is None or booked[-1]["usage_source"] == "estimated"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_usage_that_no_provider_reported_is_not_taken_for_reported(
    scenario: Scenario, *, stream: bool
) -> None:
    answer = scenario.chat("[[standin: no_usage]] silent", stream=stream)
    if stream:
        for _ in answer:
            pass

    (row,), _ = scenario.books(1)

    assert row["status"] == "ok"
    assert row["usage_source"] != "reported"


def test_no_log_from_a_caller_hides_nothing(scenario: Scenario) -> None:
    scenario.chat("no log", extra_body={"no-log": True, "cache": {"no-cache": True}})

    (row,), (call,) = scenario.books(1)

    assert row["provider_request_id"] == call["provider_request_id"]


def test_sixteen_clients_at_once_are_all_counted(scenario: Scenario) -> None:
    def run(worker: int) -> None:
        for turn in range(5):
            answer = scenario.chat(f"{worker} {turn}", stream=turn % 2 == 0)
            if turn % 2 == 0:
                for _ in answer:
                    pass

    threads = [threading.Thread(target=run, args=(worker,)) for worker in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    booked, received = scenario.books(80)

    assert len(booked) == len(received) == 80
    assert {row["provider_request_id"] for row in booked} == {
        c["provider_request_id"] for c in received
    }
    assert set(statuses(booked)) == {"ok"}


def test_models_asked_at_once_are_each_booked_as_they_ended(scenario: Scenario) -> None:
    """Method: a comma model is two provider calls of one request; the one fails, the other not."""
    text = "[[standin: status=400 only=gpt-5.4-mini]] both"
    with suppress(openai.APIError):
        scenario.chat(text, model="gpt-5.4-mini,gpt-5.4")

    booked, received = scenario.books(2)

    ended = {row["request_model"]: (row["status"], row["price_status"]) for row in booked}
    assert ended["gpt-5.4"] == ("ok", "priced")
    assert ended["gpt-5.4-mini"] == ("error", "not_billed")
    assert len(booked) == len(received)
