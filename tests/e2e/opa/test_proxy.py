"""A real proxy whose calls a real OPA decides, and what is lost when that is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest

from e2e.conftest import REPOSITORY, StartProxy
from e2e.gated import OWNED, copy_policies, settled_rows, without
from e2e.opa.conftest import Deploy
from e2e.opa.deployment import Deployment
from e2e.proxy_process import RunningProxy, RunningStandin
from fakes.opa_servers import wait_until
from tallygate.adapters.files.policies import read_policies

Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_policies(tmp_path_factory.mktemp("policies"))


@pytest.fixture(scope="module")
def deployed(deploy: Deploy, policies: Path) -> Deployment:
    return deploy(policies)


@pytest.fixture(scope="module")
def proxy(start_proxy: StartProxy, deployed: Deployment, policies: Path) -> RunningProxy:
    return start_proxy(
        REPOSITORY / "litellm_config.yaml",
        {
            "TALLYGATE_POLICIES": str(policies),
            "TALLYGATE_DRAIN": "off",
            "TALLYGATE_OPA_URL": deployed.opa.url,
            "TALLYGATE_OPA_TIMEOUT_MS": "1000",
        },
    )


@pytest.fixture
def ask(proxy: RunningProxy) -> Ask:
    def asked(headers: dict[str, str], key: str = "sk-demo-support") -> httpx.Response:
        return httpx.post(
            f"{proxy.url}/v1/chat/completions",
            headers={"authorization": f"Bearer {key}", **headers},
            json={"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": "hello"}]},
            trust_env=False,
            timeout=30,
        )

    return asked


def traced(trace_id: str, headers: Mapping[str, str] = OWNED) -> dict[str, str]:
    return {**headers, "x-tallygate-trace-id": trace_id}


def test_the_id_in_the_servers_log_is_the_one_in_the_answer_and_in_the_ledger(
    ask: Ask, proxy: RunningProxy, policies: Path, deployed: Deployment
) -> None:
    answer = ask(traced("opa-admitted"))

    (row,) = settled_rows(proxy, policies, 1, trace_id="opa-admitted")
    wait_until(lambda: deployed.logged(row["call_id"]))
    (line,) = deployed.logged(row["call_id"])
    decision_id = answer.headers["x-tallygate-decision-id"]
    assert answer.status_code == 200
    assert row["decision_id"] == line["decision_id"] == decision_id
    assert row["policy_revision"] == read_policies(policies).revision
    assert line["result"]["action"] == row["action"] == "admit"


def test_a_refusal_names_the_decision_that_the_server_logged(
    ask: Ask, deployed: Deployment, standin: RunningStandin
) -> None:
    answer = ask(without("service", "feature"))

    said = answer.json()["error"]["tallygate"]
    assert answer.status_code == 400
    wait_until(lambda: deployed.logged(answer.headers["x-tallygate-call-id"]))
    (line,) = deployed.logged(answer.headers["x-tallygate-call-id"])
    assert said["decision_id"] == line["decision_id"]
    assert line["result"]["action"] == "reject"
    assert standin.calls() == []


def test_the_same_call_again_is_asked_again(ask: Ask, deployed: Deployment) -> None:
    ids = [ask(dict(OWNED)).headers["x-tallygate-call-id"] for _ in range(5)]

    wait_until(lambda: all(deployed.logged(call_id) for call_id in ids))


def test_a_new_bundle_counts_at_once_and_the_event_says_so(
    ask: Ask, proxy: RunningProxy, policies: Path, deployed: Deployment
) -> None:
    """Method: a feature that the proxy's own folder does not know becomes one."""
    named = {**OWNED, "x-tallygate-feature": "brand-new"}
    assert ask(named).status_code == 400
    old, changed = deployed.host.bundle, copy_policies(deployed.folder / "changed")
    registry = changed / "registry" / "data.yaml"
    registry.write_text(registry.read_text().replace("features:\n", "features:\n  brand-new: {}\n"))

    deployed.host.bundle = deployed.bundle_of(changed)
    wait_until(lambda: ask(traced("opa-new", named)).status_code == 200)

    booked = settled_rows(proxy, policies, 1, trace_id="opa-new")
    (row,) = [row for row in booked if row["kind"] == "attempt"]
    assert row["policy_revision"] == read_policies(changed).revision
    wait_until(lambda: "opa_server_revision_differs" in proxy.log())
    deployed.host.bundle = old
    wait_until(lambda: ask(named).status_code == 400)


def test_without_its_server_it_is_blind_and_with_it_again_it_sees(
    ask: Ask, proxy: RunningProxy, policies: Path, deployed: Deployment
) -> None:
    deployed.opa.kill9()
    refused = [ask(traced("opa-gone")) for _ in range(8)]
    passed = ask(traced("opa-passed", {}), key="sk-demo-unbound")
    began = time.monotonic()
    deployed.opa.start()
    up_s = time.monotonic() - began
    wait_until(lambda: ask(dict(OWNED)).status_code == 200)

    for answer in refused:
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "decision_unavailable"
        assert answer.headers["x-should-retry"] == "false"
    assert passed.status_code == 200
    (row,) = settled_rows(proxy, policies, 1, trace_id="opa-passed")
    assert (row["decision_status"], row["mode"]) == ("unavailable", "report_only")
    assert row["policy_revision"] == read_policies(policies).revision
    assert "opa_server_failed reason=the OPA server could not be asked" in proxy.log()
    assert up_s < 15
