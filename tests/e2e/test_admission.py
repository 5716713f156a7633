"""The gate as a client sees it: refusals, modes, overrides, bindings, traces, on a real proxy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from e2e.conftest import REPOSITORY, StartProxy
from e2e.gated import OWNED, copy_policies, rows, settled_rows, without
from e2e.proxy_process import RunningProxy, RunningStandin
from litellm_release import is_before

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_policies(tmp_path_factory.mktemp("admission"))


@pytest.fixture(scope="module")
def proxy(start_proxy: StartProxy, policies: Path) -> RunningProxy:
    return start_proxy(
        REPOSITORY / "litellm_config.yaml",
        {
            "TALLYGATE_POLICIES": str(policies),
            "TALLYGATE_DRAIN": "off",
            "TALLYGATE_HASH_KEY": "a secret of this machine",
        },
    )


@pytest.fixture
def ask(proxy: RunningProxy) -> Ask:
    def asked(key: str, headers: dict[str, str], **options: Any) -> Any:
        with openai.OpenAI(api_key=key, base_url=f"{proxy.url}/v1", max_retries=0) as client:
            options.setdefault("model", "gpt-5.4-mini")
            options.setdefault("messages", [{"role": "user", "content": "hello"}])
            return client.chat.completions.with_raw_response.create(
                extra_headers=headers, **options
            )

    return asked


def post(proxy: RunningProxy, headers: Any, body: Any = None) -> httpx.Response:
    """Send what no well-behaved client would."""
    return httpx.post(
        f"{proxy.url}/v1/chat/completions",
        headers=headers,
        json=body or {"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": "hello"}]},
        trust_env=False,
        timeout=30,
    )


def test_a_call_without_an_owner_is_refused_with_field_header_and_values(
    ask: Ask, standin: RunningStandin
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask("sk-demo-platform", {})

    error = caught.value
    assert error.code == "ownership_missing"
    assert error.param == "owner_team"
    assert "x-tallygate-owner-team" in error.message
    assert "team-support" in error.message
    assert isinstance(error.body, dict)
    named = {v["field"] for v in error.body["tallygate"]["violations"]}
    assert named == {"owner_team", "service", "environment"}
    headers = error.response.headers
    assert headers["x-tallygate-action"] == "reject"
    assert headers["x-tallygate-decision-id"] == error.body["tallygate"]["decision_id"]
    assert "ownership_missing:owner_team" in headers["x-tallygate-violations"]
    assert standin.calls() == []


def test_a_complete_call_passes_and_its_answer_names_the_decision(ask: Ask) -> None:
    headers = ask("sk-demo-support", dict(OWNED)).headers

    assert headers["x-tallygate-action"] == "admit"
    assert headers["x-tallygate-mode"] == "enforce"
    assert headers["x-tallygate-decision-id"]
    assert "x-tallygate-violations" not in headers


def test_a_team_cannot_bill_another_one_by_typing_its_name(ask: Ask) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        ask("sk-demo-support", {**OWNED, "x-tallygate-owner-team": "team-search"})

    assert caught.value.code == "ownership_conflict"
    assert caught.value.param == "owner_team"


def test_the_platforms_key_carries_supports_spend_to_support(
    ask: Ask, proxy: RunningProxy, policies: Path
) -> None:
    trace = {"x-tallygate-trace-id": "shared-right"}

    ask("sk-demo-platform", {**OWNED, **trace})

    (row,) = settled_rows(proxy, policies, 1, trace_id="shared-right")
    assert (row["owner_team"], row["principal_team"]) == ("team-support", "litellm-team-platform")


def test_the_platforms_key_cannot_charge_a_team_outside_its_binding(ask: Ask) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        ask("sk-demo-platform", {**OWNED, "x-tallygate-owner-team": "team-finance"})

    assert caught.value.code == "ownership_conflict"


def test_an_unbound_key_is_governed_by_the_contract_and_recorded_as_unproven(
    ask: Ask, proxy: RunningProxy, policies: Path
) -> None:
    answer = ask("sk-demo-unbound", {**without("owner_team"), "x-tallygate-trace-id": "unbound"})

    assert answer.headers["x-tallygate-mode"] == "report_only"
    assert "ownership_missing:owner_team" in answer.headers["x-tallygate-violations"]
    (row,) = settled_rows(proxy, policies, 1, trace_id="unbound")
    assert row["principal_bound"] is False
    assert row["would_action"] == "reject"
    assert row["action"] == "admit"


def test_an_active_override_excuses_and_an_expired_one_does_not(
    ask: Ask, proxy: RunningProxy, policies: Path
) -> None:
    ask("sk-demo-support", {**without("workflow_id"), "x-tallygate-trace-id": "waived"})
    with pytest.raises(openai.BadRequestError) as caught:
        ask("sk-demo-support", without("feature", "service") | {"x-tallygate-feature": ""})

    (row,) = settled_rows(proxy, policies, 1, trace_id="waived")
    assert [entry["override"] for entry in row["waived"]] == ["ovr-test-active"]
    assert caught.value.code == "ownership_missing"


def test_a_claim_may_come_by_alias_by_baggage_or_in_the_body(
    ask: Ask, proxy: RunningProxy, policies: Path
) -> None:
    headers = without("owner_team", "feature", "environment")
    headers |= {
        "x-team-id": "team-support",
        "baggage": "feature=reply-draft;ttl=1,vendor=x",
        "x-tallygate-trace-id": "sources",
    }

    ask("sk-demo-platform", headers, extra_body={"metadata": {"environment": "prod"}})

    (row,) = settled_rows(proxy, policies, 1, trace_id="sources")
    assert row["feature"] == "reply-draft"
    sources = row["sources"]
    assert sources["owner_team"] == "header"
    assert sources["feature"] == "baggage"
    assert sources["environment"] == "metadata"


def test_a_raw_tenant_id_is_hashed_and_goes_no_further(
    ask: Ask, proxy: RunningProxy, policies: Path
) -> None:
    headers = {**without("tenant_id_hash"), "x-tallygate-tenant-id": "ACME-0815"}

    ask("sk-demo-support", {**headers, "x-tallygate-trace-id": "hashed"})

    (row,) = settled_rows(proxy, policies, 1, trace_id="hashed")
    assert row["tenant_id_hash"].startswith("hk1_")
    for file in proxy.state.rglob("*"):
        if file.is_file():
            assert b"ACME-0815" not in file.read_bytes(), file
    assert "ACME-0815" not in proxy.log()


def test_anthropics_client_gets_its_own_error_shape(proxy: RunningProxy) -> None:
    client = anthropic.Anthropic(api_key="sk-demo-platform", base_url=proxy.url, max_retries=0)

    with client, pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(
            model="claude-sonnet-5-5", max_tokens=5, messages=[{"role": "user", "content": "hi"}]
        )

    body: Any = caught.value.body
    assert is_before("1.101.0") or body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert "x-tallygate-owner-team" in body["error"]["message"]


def test_a_trace_id_is_returned_and_forwarded_in_both_forms(
    ask: Ask, standin: RunningStandin
) -> None:
    w3c = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    answer = ask("sk-demo-support", {**OWNED, "x-tallygate-trace-id": "tr_9f4c"})
    ask("sk-demo-support", {**OWNED, "traceparent": w3c})

    assert answer.headers["x-tallygate-trace-id"] == "tr_9f4c"
    opaque, standard = (call["headers"] for call in standin.calls())
    assert opaque["x-tallygate-trace-id"] == "tr_9f4c"
    assert standard["traceparent"].split("-")[1] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert standard["traceparent"].split("-")[2] != "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("headers", "field", "status"),
    [
        pytest.param([("x-tallygate-feature", "a\x01b")], "feature", 400, id="control character"),
        # 64 kB, which the unit tests have, is where some servers end the connection themselves.
        pytest.param([("baggage", "k=v," * 15000)], "baggage", 400, id="60 kB of baggage"),
        pytest.param(
            [("x-tallygate-service", "batch-summaries")],
            "service",
            403,
            id="two values for a field",
        ),
        pytest.param(
            [("x-tallygate-user-id-hash", "jane@example.com")], "user_id_hash", 400, id="an e-mail"
        ),
        pytest.param([("x-team-id", "team-search")], "owner_team", 403, id="alias against header"),
        pytest.param(
            [("x-tallygate-feature", "no-such")], "feature", 403, id="differs from the first"
        ),
        pytest.param(
            [("x-tallygate-trace-id", "a b")], "trace_id", 400, id="a trace id with a blank"
        ),
    ],
)
def test_what_cannot_be_accepted_is_a_violation_that_names_the_field(
    proxy: RunningProxy, headers: list[tuple[str, str]], field: str, status: int
) -> None:
    sent = [("authorization", "Bearer sk-demo-support"), *OWNED.items(), *headers]
    if field == "feature" and status == 400:
        sent = [pair for pair in sent if pair != ("x-tallygate-feature", "ticket-triage")]

    answer = post(proxy, sent)

    assert answer.status_code == status, answer.text
    named = [v["field"] for v in answer.json()["error"]["tallygate"]["violations"]]
    assert field in named
    assert "jane@example.com" not in answer.text
    assert "jane@example.com" not in proxy.log()


def test_nothing_is_disclosed_before_authentication(proxy: RunningProxy) -> None:
    answer = post(proxy, {"authorization": "Bearer sk-nobody", "x-tallygate-service": "x"})

    assert answer.status_code == 401
    assert not [name for name in answer.headers if name.startswith("x-tallygate")]


def test_listing_models_needs_no_owner(proxy: RunningProxy) -> None:
    with openai.OpenAI(api_key="sk-demo-platform", base_url=f"{proxy.url}/v1") as client:
        assert [model.id for model in client.models.list()]


def test_repeated_refusals_share_an_event(ask: Ask, proxy: RunningProxy, policies: Path) -> None:
    """Method: 30 refusals in a loop; what is written alone and what is held back add up."""
    headers = {**OWNED, "x-tallygate-feature": "never-registered"}
    for _ in range(30):
        with pytest.raises(openai.BadRequestError):
            ask("sk-demo-support", headers)
    proxy.stop()

    settled_rows(proxy, policies, 0)
    unknown = [{"code": "ownership_unknown", "field": "feature"}]
    refused = [row for row in rows(proxy, kind="refusal") if row["violations"] == unknown]

    assert sum(row["call_count"] for row in refused) == 30
    assert len(refused) < 20
    assert {row["cost"] for row in refused} == {0}
    proxy.start()
