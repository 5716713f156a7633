"""A policies folder that changes under a real proxy that serves calls, and what it tells of it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from e2e.conftest import REPOSITORY, StartProxy
from e2e.gated import OWNED, drain, rows
from e2e.proxy_process import RunningProxy
from fakes.broken_policies import BREAKS, REGISTRY, said
from fakes.policy_folders import path_without_opa
from tallygate.adapters.files.policies import read_policies

SUPPORT = {"authorization": "Bearer sk-demo-support"}
BODY = {"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": "hello"}]}
PATIENCE_S = 60


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with the shipped policies, behind a link that can be swapped."""
    place = tmp_path_factory.mktemp("reload")
    shutil.copytree(REPOSITORY / "policies", place / "releases" / "0")
    (place / "policies").symlink_to("releases/0")
    return place / "policies"


@pytest.fixture(scope="module")
def proxy(
    start_proxy: StartProxy, policies: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunningProxy:
    return start_proxy(
        REPOSITORY / "litellm_config.yaml",
        {
            "TALLYGATE_POLICIES": str(policies),
            "TALLYGATE_DRAIN": "off",
            "TALLYGATE_HASH_KEY": "a secret of this machine",
            "PATH": path_without_opa(tmp_path_factory.mktemp("no") / "bin") + ":/usr/bin:/bin",
        },
    )


def get(proxy: RunningProxy, path: str, key: str | None = "sk-demo-support") -> httpx.Response:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return httpx.get(f"{proxy.url}{path}", headers=headers, trust_env=False, timeout=30)


def health(proxy: RunningProxy) -> dict[str, Any]:
    return dict(get(proxy, "/tallygate/health").json())


def until(condition: Callable[[], bool], told: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


def release(policies: Path, number: int, change: Callable[[Path], object]) -> Path:
    """Lay a changed release beside the others and swap the link, as a deployment does."""
    whole = policies.parent / "releases" / str(number)
    shutil.copytree(policies.resolve(), whole)
    change(whole)
    following = policies.with_name("next")
    following.symlink_to(whole)
    following.rename(policies)
    return whole


class Load:
    """Calls from a few threads, until it is told to end."""

    def __init__(self, proxy: RunningProxy) -> None:
        self.statuses: list[int] = []
        self._url = f"{proxy.url}/v1/chat/completions"
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with httpx.Client(trust_env=False, timeout=60) as client:
            while not self._done.is_set():
                answer = client.post(self._url, headers={**SUPPORT, **OWNED}, json=BODY)
                self.statuses.append(answer.status_code)


def test_own_routes_want_a_key_and_are_no_calls(proxy: RunningProxy) -> None:
    for path in ("/tallygate/health", "/tallygate/metrics"):
        assert get(proxy, path, key=None).status_code == 401
        assert get(proxy, path, key="sk-of-nobody").status_code == 401
        answer = get(proxy, path)

        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("x-tallygate")]


def test_health_and_metrics_tell_what_is_in_force(proxy: RunningProxy, policies: Path) -> None:
    said_so = health(proxy)
    revision = read_policies(policies).revision

    assert (said_so["status"], said_so["warnings"]) == ("ok", [])
    assert said_so["revision"] == revision
    until(lambda: len(health(proxy)["workers"]) == 1, lambda: health(proxy))
    metrics = get(proxy, "/tallygate/metrics").text
    assert f'tallygate_policy_info{{revision="{revision}"}} 1.0' in metrics
    assert "python_info" not in metrics


def test_under_load_every_call_is_decided_by_a_revision_that_existed(
    proxy: RunningProxy, policies: Path
) -> None:
    known = {read_policies(policies).revision}
    with Load(proxy) as load:
        for number in range(1, 4):
            rename = said(REGISTRY, "name: Customer Support", f"name: Customer Support{number}")
            whole = release(policies, number, rename)
            newest = read_policies(whole).revision
            known.add(newest)
            until(lambda newest=newest: health(proxy)["revision"] == newest, lambda: health(proxy))
        broken = release(policies, 4, BREAKS["registry: a key twice"])
        until(lambda: health(proxy)["status"] == "warning", lambda: health(proxy))
        refused = health(proxy)
        release(policies, 5, said(REGISTRY, "\nteams: {}\n", "\n"))
        until(lambda: health(proxy)["status"] == "ok", lambda: health(proxy))

    assert set(load.statuses) == {200}
    line = len((broken / REGISTRY).read_text().splitlines())
    assert f"{policies}/{REGISTRY}:{line}:1: teams: the key teams" in refused["warnings"][0]
    assert str(broken) not in refused["warnings"][0]  # it is named as the operator knows it
    drain(proxy, policies)
    found = {row["policy_revision"] for row in rows(proxy)}
    assert found == known
    metrics = get(proxy, "/tallygate/metrics").text
    assert 'tallygate_policy_reloads_total{result="refused"} 1.0' in metrics
    assert "tallygate_policy_reload_refused 0.0" in metrics
    assert 'service="support-assistant"' in metrics


# Whom LiteLLM lets reach routes that it does not know, with its checks of routes on.

KEYS = """
from litellm.proxy._types import LitellmUserRoles, ProxyException, UserAPIKeyAuth

KEYS = {
    "sk-admin": dict(user_role=LitellmUserRoles.PROXY_ADMIN),
    "sk-monitoring": dict(allowed_routes=["/tallygate/health", "/tallygate/metrics"]),
    "sk-anybody": dict(user_role=LitellmUserRoles.INTERNAL_USER),
}

async def authenticate(request, api_key):
    key = api_key.removeprefix("Bearer ").strip()
    if key not in KEYS:
        raise ProxyException(message="unknown key", type="auth_error", param="key", code=401)
    return UserAPIKeyAuth(api_key=key, **KEYS[key])
"""


@pytest.fixture(scope="module")
def guarded(
    start_proxy: StartProxy, policies: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunningProxy:
    place = tmp_path_factory.mktemp("guarded")
    (place / "keys_of_test.py").write_text(KEYS)
    config = (REPOSITORY / "litellm_config.yaml").read_text()
    old = "custom_auth: tallygate.proxy.demo_auth.authenticate"
    assert old in config
    new = "custom_auth: keys_of_test.authenticate\n  custom_auth_run_common_checks: true"
    (place / "litellm_config.yaml").write_text(config.replace(old, new))
    return start_proxy(
        place / "litellm_config.yaml",
        {"TALLYGATE_POLICIES": str(policies), "TALLYGATE_DRAIN": "off"},
    )


@pytest.mark.parametrize(
    ("key", "is_let_in"),
    [("sk-admin", True), ("sk-monitoring", True), ("sk-anybody", False)],
)
def test_only_administrators_and_keys_that_name_them_reach_own_routes(
    guarded: RunningProxy, key: str, is_let_in: bool
) -> None:
    for path in ("/tallygate/health", "/tallygate/metrics"):
        assert (get(guarded, path, key).status_code == 200) is is_let_in
