from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import orjson
import pytest

from fakes.entries import an_entry, an_event, event_id, opened
from fakes.policy_folders import REGISTRY, path_without_opa, small_policies
from fakes.tampering import TamperingInSqlite
from tallygate.adapters.files.starter import starter_policies
from tallygate.adapters.spool.writer import SegmentSpool
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.bootstrap.doctor import Check, State, examine
from tallygate.bootstrap.drain_child import LOCK_NAME
from tallygate.bootstrap.gate import SystemClock
from tallygate.settings import Settings

NOW: Final = "2026-11-21T10:00:00Z"
CONFIG: Final = """\
model_list:
  - {model_name: gpt, litellm_params: {model: openai/gpt}}
litellm_settings:
  callbacks: %s
"""


def examined(base: Path, about: str, **settings: Any) -> list[Check]:
    chosen = Settings(policies=settings.pop("policies", base / "policies"), **settings)
    return [check for check in examine(chosen, base, NOW) if check.name == about]


def found(checks: list[Check]) -> str:
    return "\n".join(f"{check.state}: {check.found}" for check in checks)


@pytest.fixture(autouse=True)
def _no_opa(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path_factory.mktemp("no") / "bin"
    monkeypatch.setenv("PATH", path_without_opa(empty))


# The proxy's config.


@pytest.mark.parametrize(
    ("callbacks", "state", "words"),
    [
        pytest.param('["tallygate.proxy.handler"]', State.OK, "first", id="the only one"),
        pytest.param('["tallygate.proxy.handler", x]', State.OK, "first", id="the first"),
        pytest.param('[x, "tallygate.proxy.handler"]', State.WARNING, "not the first", id="second"),
        pytest.param("tallygate.proxy.handler", State.PROBLEM, "not a list", id="not a list"),
        pytest.param("[x]", State.PROBLEM, "not in callbacks", id="not there"),
        pytest.param("x", State.PROBLEM, "not in callbacks", id="another as text"),
        pytest.param("null", State.PROBLEM, "not in callbacks", id="none"),
    ],
)
def test_the_callback_stands_first_in_a_list(
    tmp_path: Path, callbacks: str, state: State, words: str
) -> None:
    (tmp_path / "litellm_config.yaml").write_text(CONFIG % callbacks)

    (check,) = examined(tmp_path, "config")

    assert check.state is state
    assert words in check.found
    assert check.remedy or state is State.OK


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param("", id="none"),
        pytest.param("litellm_settings:\n", id="empty"),
        pytest.param("litellm_settings: [a]\n", id="a list"),
    ],
)
def test_a_config_without_settings_does_not_name_it(tmp_path: Path, settings: str) -> None:
    (tmp_path / "config.yml").write_text(f"model_list: []\n{settings}")

    assert [check.state for check in examined(tmp_path, "config")] == [State.PROBLEM]


def test_a_config_that_strict_yaml_refuses_is_searched_as_text(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text('port: 010\ncallbacks: ["tallygate.proxy.handler"]\n')

    assert [check.state for check in examined(tmp_path, "config")] == [State.OK]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: 010\n", id="unreadable and not about us"),
        pytest.param("a: 1\n", id="somebody else's"),
        pytest.param("[1]\n", id="a list"),
    ],
)
def test_a_folder_without_a_litellm_config_is_noted(tmp_path: Path, text: str) -> None:
    (tmp_path / "other-config.yaml").write_text(text)

    assert [check.state for check in examined(tmp_path, "config")] == [State.NOTE]


# Policies.


def test_the_shipped_policies_are_in_order(tmp_path: Path) -> None:
    checks = examined(tmp_path, "policies", policies=starter_policies())

    assert [check.state for check in checks if check.state is State.OK], found(checks)
    assert not [check for check in checks if check.state is State.PROBLEM], found(checks)
    assert "revision sha256:" in found(checks)


def test_problems_are_told_and_a_long_list_is_cut(tmp_path: Path) -> None:
    services = "".join(f"  s{n}: {{owner_team: nobody-{n}}}\n" for n in range(9))
    registry = REGISTRY.replace("services:\n", f"services:\n{services}")
    small_policies(tmp_path / "policies", registry=registry)

    problems = [c for c in examined(tmp_path, "policies") if c.state is State.PROBLEM]

    assert len(problems) == 6
    assert problems[-1].found.startswith("and ")
    assert "tallygate policy check" in problems[-1].remedy


def test_policies_that_are_not_compiled_could_not_be_checked_whole(tmp_path: Path) -> None:
    small_policies(tmp_path / "policies")

    checks = examined(tmp_path, "policies")

    assert State.WARNING in {check.state for check in checks}
    assert "the cases were not run" in found(checks)


def test_an_opa_that_is_too_old_is_told_and_does_not_end_the_examination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opa = tmp_path / "bin" / "opa"
    opa.parent.mkdir()
    opa.write_text("#!/bin/sh\necho Version: 0.40.0\n")
    opa.chmod(0o755)
    monkeypatch.setenv("PATH", str(opa.parent))

    (check,) = examined(tmp_path, "opa", policies=starter_policies())

    assert check.state is State.WARNING
    assert "0.40.0" in check.found


def test_a_policies_folder_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    assert State.PROBLEM in {check.state for check in examined(tmp_path, "policies")}


def test_without_opa_only_rego_cannot_be_changed(tmp_path: Path) -> None:
    (check,) = examined(tmp_path, "opa")

    assert check.state is State.NOTE


# Spool and drain.


def a_spool(folder: Path) -> SegmentSpool:
    return SegmentSpool(
        folder, limit_bytes=256 * 1024 * 1024, sync_interval_s=60, clock=SystemClock()
    )


def test_a_spool_that_is_not_there_yet_is_no_problem(tmp_path: Path) -> None:
    assert [check.state for check in examined(tmp_path, "spool")] == [State.NOTE]
    assert not (tmp_path / ".tallygate").exists()


def test_a_spool_that_proxies_write_and_nobody_drains_is_a_problem(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "spool")
    spool.append(opened(an_event()))
    try:
        checks = examined(tmp_path, "spool", spool=tmp_path / "spool")
        (drain,) = examined(tmp_path, "drain", spool=tmp_path / "spool")
    finally:
        spool.close()

    assert "1 proxies write" in found(checks)
    assert drain.state is State.PROBLEM
    assert "0 ended and 1 live proxies" in drain.found


def test_records_that_ended_proxies_left_need_a_drain(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "spool")
    spool.append(opened(an_event()))
    spool.close()

    (drain,) = examined(tmp_path, "drain", spool=tmp_path / "spool")

    assert drain.state is State.PROBLEM
    assert "1 ended" in drain.found
    assert "tallygate drain" in drain.remedy


def test_a_drain_that_runs_is_seen(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "spool")
    spool.close()
    with (tmp_path / "spool" / LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (drain,) = examined(tmp_path, "drain", spool=tmp_path / "spool")

    assert (drain.state, drain.found) == (State.OK, "running")


def test_a_spool_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")

    (check,) = examined(tmp_path, "spool", spool=tmp_path / "spool")

    assert check.state is State.PROBLEM


# The ledger.


def test_a_ledger_that_is_not_there_yet_is_noted_and_not_made(tmp_path: Path) -> None:
    (check,) = examined(tmp_path, "ledger")

    assert check.state is State.NOTE
    assert not (tmp_path / ".tallygate").exists()


def test_a_ledger_is_counted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = SqliteLedger(url)
    ledger.append([an_entry(1), an_entry(2, cost=None)])
    ledger.close()

    (check,) = examined(tmp_path, "ledger", ledger_url=url)

    assert check.state is State.OK
    assert check.found.endswith("2 events, 1 unpriced")


def test_entries_that_were_kept_aside_are_a_problem(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = SqliteLedger(url)
    ledger.append([an_entry(1), an_entry(2, cost="-1")])
    ledger.close()

    counted, kept_aside = examined(tmp_path, "ledger", ledger_url=url)

    assert counted.found.endswith("1 events, 0 unpriced")
    assert kept_aside.state is State.PROBLEM
    assert kept_aside.found.startswith("1 entries break a rule")


def test_events_that_nobody_seals_are_a_problem(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = SqliteLedger(url)
    ledger.append([an_entry(1)])
    assert examined(tmp_path, "seals", ledger_url=url) == []
    ledger.close()
    TamperingInSqlite(tmp_path / "ledger.db").edit(event_id(1), recorded_at_ns=1)

    (check,) = examined(tmp_path, "seals", ledger_url=url)

    assert check.state is State.PROBLEM
    assert "no seal" in check.found
    assert "tallygate ledger seal" in check.remedy


def test_an_address_that_nobody_understands_is_a_problem(tmp_path: Path) -> None:
    (check,) = examined(tmp_path, "ledger", ledger_url="mongodb://user:password@host/db")

    assert check.state is State.PROBLEM
    assert "password" not in check.found


# What running gates found out.


@pytest.fixture(autouse=True)
def _locks() -> Iterator[None]:
    yield
    while LOCKS:
        LOCKS.pop().close()


LOCKS: list[IO[bytes]] = []
"""What living writers hold, until the test is over."""


def a_gate(folder: Path, name: str, *, alive: bool = True, **changes: Any) -> None:
    lock = folder / ".tallygate" / "spool" / f"{name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    if alive:
        LOCKS.append(lock.open("wb"))
        fcntl.flock(LOCKS[-1], fcntl.LOCK_EX)
    file = folder / ".tallygate" / "gates" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "pid": os.getpid(),
        "writer_id": name,
        "litellm": "1.106.2",
        "policy_revision": "sha256:1",
        "uncounted_attempts": 0,
        "findings": [{"name": "middleware_stack", "ok": True, "lost": ""}],
    }
    file.write_bytes(orjson.dumps({**content, **changes}))


def test_without_a_running_gate_doctor_says_so(tmp_path: Path) -> None:
    assert [check.state for check in examined(tmp_path, "gate")] == [State.NOTE]


@pytest.mark.parametrize(
    ("changes", "states"),
    [
        pytest.param({}, [State.OK], id="all is there"),
        pytest.param(
            {"findings": [{"name": "auth", "ok": False, "lost": "routes"}]},
            [State.WARNING],
            id="something is missing",
        ),
        pytest.param({"uncounted_attempts": 3}, [State.PROBLEM, State.OK], id="not counted"),
        pytest.param({"alive": False}, [State.NOTE], id="a worker that was killed"),
    ],
)
def test_a_worker_tells_what_it_found(
    tmp_path: Path, changes: dict[str, Any], states: list[State]
) -> None:
    a_gate(tmp_path, "w1", **changes)

    assert [check.state for check in examined(tmp_path, "gate")] == states


def test_workers_that_decide_by_different_revisions_are_a_problem(tmp_path: Path) -> None:
    a_gate(tmp_path, "w1")
    a_gate(tmp_path, "w2", policy_revision="sha256:2")

    checks = examined(tmp_path, "gate")

    assert checks[-1].state is State.PROBLEM
    assert "2 different policy revisions" in checks[-1].found


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"pid": 1}'])
def test_a_file_that_is_no_gates_is_passed_over(tmp_path: Path, content: bytes) -> None:
    a_gate(tmp_path, "w1")
    (tmp_path / ".tallygate" / "gates" / "w0.json").write_bytes(content)

    assert [check.state for check in examined(tmp_path, "gate")] == [State.OK]
