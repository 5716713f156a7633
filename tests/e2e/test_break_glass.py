"""Break-glass on a real proxy: who may, what it excuses, its end, what the ledger says of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from e2e.conftest import REPOSITORY, StartProxy
from e2e.gated import copy_policies, rows, without
from e2e.proxy_process import RunningProxy
from tallygate.adapters.files.activations import ActivationFolder
from tallygate.bootstrap.books import DrainPlaces, drain_what_is_there
from tallygate.cli import main
from tallygate.domain.kernel.instants import NS_PER_SECOND, ns_from_text
from tallygate.domain.policy.break_glass import Activation

Post = Callable[..., httpx.Response]

ID = "bg-support-outage"
COMMANDER = "sk-demo-platform"
WISH = {"reason": "the flag service is down", "ticket": "INC-7", "hours": 2}


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_policies(tmp_path_factory.mktemp("break-glass"))
    (folder / "overrides" / "data.yaml").write_text("")
    glass = folder / "break_glass" / "data.yaml"
    glass.write_text(glass.read_text().replace("2027-06-30T", "2099-06-30T"))
    return folder


@pytest.fixture(scope="module")
def proxy(start_proxy: StartProxy, policies: Path) -> RunningProxy:
    """LiteLLM's own checks of routes are on, as they are for keys of its database."""
    config = (REPOSITORY / "litellm_config.yaml").read_text()
    checked = config.replace(
        "general_settings:\n", "general_settings:\n  custom_auth_run_common_checks: true\n"
    )
    assert checked != config
    return start_proxy(checked, {"TALLYGATE_POLICIES": str(policies), "TALLYGATE_DRAIN": "off"})


@pytest.fixture
def post(proxy: RunningProxy) -> Iterator[Post]:
    with httpx.Client(base_url=proxy.url, trust_env=False, timeout=30) as client:

        def posted(key: str | None, path: str, **content: Any) -> httpx.Response:
            headers = {"authorization": f"Bearer {key}"} if key else {}
            return client.post(f"/tallygate/overrides/{path}", headers=headers, **content)

        yield posted
        posted(COMMANDER, f"{ID}/end")


def call(proxy: RunningProxy) -> httpx.Response:
    """Make the call of an agent console that sends no workflow just now."""
    headers = {**without("workflow_id"), "authorization": "Bearer sk-demo-support"}
    return httpx.post(
        f"{proxy.url}/v1/chat/completions",
        headers=headers,
        json={"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": "hello"}]},
        trust_env=False,
        timeout=30,
    )


def test_an_activation_lets_calls_pass_and_its_end_refuses_them(
    proxy: RunningProxy, post: Post
) -> None:
    before = call(proxy)
    activated = post(COMMANDER, f"{ID}/activate", json=WISH)
    during = call(proxy)
    ended = post(COMMANDER, f"{ID}/end", json={"reason": "it is back"})
    after = call(proxy)

    assert (before.status_code, during.status_code, after.status_code) == (400, 200, 400)
    assert activated.status_code == ended.status_code == 200
    told = activated.json()
    assert told["id"] == ID
    assert told["activated_by"] == hashlib.sha256(COMMANDER.encode()).hexdigest()
    hours_ns = ns_from_text(told["until"]) - ns_from_text(told["from"])
    assert hours_ns == 2 * 3600 * NS_PER_SECOND
    assert list((proxy.state / "activations").glob("*.json")) == []


REFUSED = [
    pytest.param(None, ID, WISH, 401, None, id="nobody"),
    pytest.param("sk-unknown", ID, WISH, 401, None, id="an unknown key"),
    pytest.param("sk-demo-research", ID, WISH, 403, "role_not_held", id="without the role"),
    pytest.param("sk-demo-unbound", ID, WISH, 403, "role_not_held", id="without a team"),
    pytest.param(COMMANDER, "bg-gone", WISH, 404, "override_unknown", id="an unknown id"),
    pytest.param(COMMANDER, "ovr-2026-0007", WISH, 404, "override_unknown", id="an override's id"),
    pytest.param(
        COMMANDER, ID, {**WISH, "hours": 9}, 422, "activation_invalid", id="too many hours"
    ),
    pytest.param(
        COMMANDER, ID, {**WISH, "hours": "2"}, 422, "activation_invalid", id="hours as text"
    ),
    pytest.param(
        COMMANDER, ID, {**WISH, "hours": True}, 422, "activation_invalid", id="hours as truth"
    ),
    pytest.param(COMMANDER, ID, {**WISH, "until": "x"}, 422, "activation_invalid", id="more keys"),
    pytest.param(COMMANDER, ID, {}, 422, "activation_invalid", id="no reason"),
]


@pytest.mark.parametrize(("key", "override_id", "body", "status", "code"), REFUSED)
def test_what_is_not_right_activates_nothing(
    proxy: RunningProxy,
    post: Post,
    key: str | None,
    override_id: str,
    body: Any,
    status: int,
    code: str | None,
) -> None:
    answer = post(key, f"{override_id}/activate", json=body)

    assert answer.status_code == status, answer.text
    if code is not None:
        assert answer.json()["error"]["code"] == code
    assert list((proxy.state / "activations").glob("*.json")) == []


def test_only_who_may_activate_an_entry_is_offered_its_id(post: Post) -> None:
    path = "bg-suport-outage/activate"

    assert ID in post(COMMANDER, path, json=WISH).json()["error"]["message"]
    assert "bg-" not in post("sk-demo-research", path, json=WISH).json()["error"]["message"]


def test_it_is_active_once_and_ended_once(post: Post) -> None:
    answers = [
        post(COMMANDER, f"{ID}/activate", json=WISH),
        post(COMMANDER, f"{ID}/activate", json=WISH),
        post("sk-demo-research", f"{ID}/end"),
        post(COMMANDER, f"{ID}/end"),
        post(COMMANDER, f"{ID}/end"),
    ]

    assert [answer.status_code for answer in answers] == [200, 409, 403, 200, 409]


def test_the_command_line_asks_proxies_with_a_key(
    proxy: RunningProxy, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMMANDER_KEY", COMMANDER)
    monkeypatch.setenv("OTHER_KEY", "sk-demo-research")
    asked = ["override", "activate", ID, "--reason", "down", "--ticket", "INC-9"]
    asked += ["--proxy", proxy.url, "--proxy", f"{proxy.url}/", "--key-env"]

    refused = CliRunner().invoke(main, [*asked, "OTHER_KEY"])
    mixed = CliRunner().invoke(main, [*asked, "COMMANDER_KEY"])
    during = call(proxy)
    ended = CliRunner().invoke(
        main, ["override", "end", ID, "--proxy", proxy.url, "--key-env", "COMMANDER_KEY"]
    )

    assert refused.exit_code == 1
    assert "403: " in refused.stderr
    assert mixed.exit_code == 1
    assert f"{proxy.url}: {ID} is active until " in mixed.stdout
    assert "409: " in mixed.stderr
    assert during.status_code == 200
    assert ended.exit_code == 0
    assert f"{ID} was ended at " in ended.stdout
    assert list((proxy.state / "activations").glob("*.json")) == []


def test_what_another_process_activated_counts_and_ends_by_itself(proxy: RunningProxy) -> None:
    now_ns = time.time_ns() // NS_PER_SECOND * NS_PER_SECOND
    night = Activation(
        override_id=ID,
        role="incident-commander",
        activated_by="incident-commander",
        reason="the flag service is down",
        ticket="INC-8",
        from_ns=now_ns,
        until_ns=now_ns + 5 * NS_PER_SECOND,
    )
    folder = ActivationFolder(proxy.state / "activations")
    folder.keep(replace(night, until_ns=now_ns + 9 * 3600 * NS_PER_SECOND))
    time.sleep(1.2)
    longer = call(proxy)
    folder.keep(night)
    time.sleep(1.2)
    during = call(proxy)
    while time.time_ns() < night.until_ns:
        time.sleep(0.01)
    after = call(proxy)
    folder.let_go(ID)

    assert (longer.status_code, during.status_code, after.status_code) == (400, 200, 400)


def test_the_ledger_says_who_why_and_which_calls(proxy: RunningProxy, policies: Path) -> None:
    url = f"sqlite:///{proxy.state / 'ledger.db'}"
    drain_what_is_there(DrainPlaces(proxy.state / "spool", url, policies))

    activations = rows(proxy, kind="activation")
    attempts = rows(proxy, kind="attempt")

    first, second = activations[:2]
    assert first["activation"]["reason"] == "the flag service is down"
    assert first["activation"]["ended"] is False
    assert first["principal_team"] == "litellm-team-platform"
    assert second["activation"]["ended"] is True
    assert second["activation"]["reason"] == "it is back"
    assert all(row["cost"] == 0 and row["attempt_number"] is None for row in activations)
    assert {entry["override"] for row in attempts for entry in row["waived"]} == {ID}
    assert len(attempts) == 3
    assert "gate_hook_failed" not in proxy.log()
