"""
What happens when a process dies in the middle, and when a proxy cannot start at all.

Method: real processes, real signals. After each death the spool is drained and the provider
stand-in's count is compared with the attempts in the ledger.
"""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
import openai
import pytest

from e2e.conftest import REPOSITORY
from e2e.gated import OWNED, copy_policies, drain, rows
from e2e.proxy_process import NotReady, RunningProxy, RunningStandin

CONFIG = REPOSITORY / "litellm_config.yaml"


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_policies(tmp_path_factory.mktemp("deaths"))


class Load:
    """Clients that go on until they are told to stop, whatever they are answered."""

    def __init__(self, proxy: RunningProxy, clients: int = 8) -> None:
        self._proxy = proxy
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(clients)]
        self.answered = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, worker: int) -> None:
        client = openai.OpenAI(
            api_key="sk-demo-support", base_url=f"{self._proxy.url}/v1", max_retries=0, timeout=10
        )
        turn = 0
        while not self._stop.is_set():
            turn += 1
            with suppress(openai.APIError, OSError, httpx.HTTPError):
                answer: Any = client.chat.completions.create(
                    model="gpt-5.4-mini",
                    messages=[
                        {
                            "role": "user",
                            "content": f"[[standin: delay=0.05 interval=0.01]] {worker} {turn}",
                        }
                    ],
                    stream=turn % 2 == 0,
                    extra_headers=dict(OWNED),
                )
                if turn % 2 == 0:
                    for _ in answer:
                        pass
                self.answered += 1
            if not self._proxy.process.alive:
                return
        client.close()


def received(standin: RunningStandin) -> int:
    """Wait until the stand-in has noticed every cut connection, then ask how many calls it got."""
    count = int(standin.count()["generating"])
    while True:
        time.sleep(0.5)
        again = int(standin.count()["generating"])
        if again == count:
            return count
        count = again


def running(
    tmp_path: Path, standin: RunningStandin, policies: Path, **environment: str
) -> RunningProxy:
    return RunningProxy(
        CONFIG,
        tmp_path,
        standin_url=standin.url,
        environment={"TALLYGATE_POLICIES": str(policies), **environment},
    )


@pytest.fixture
def no_stray_drains(tmp_path: Path) -> Iterator[None]:
    """Wait for the drain, which outlives its proxy on purpose, until the spool is empty."""
    yield
    lock = tmp_path / "state" / "spool" / "drain.lock"
    deadline = time.monotonic() + 20
    while lock.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
        with lock.open() as file:
            import fcntl  # noqa: PLC0415 - for this wait only

            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return


def test_kill_9_under_load_loses_no_attempt_and_the_child_drain_books_them_all(
    tmp_path: Path, standin: RunningStandin, policies: Path, no_stray_drains: None
) -> None:
    proxy = running(tmp_path, standin, policies).start()

    with Load(proxy) as load:
        time.sleep(4)
        proxy.kill9()
    expected = received(standin)
    booked = booked_by_the_child(proxy, expected)

    assert load.answered > 20
    attempts = [row for row in booked if row["kind"] == "attempt"]
    assert len(attempts) == expected
    assert {row["status"] for row in attempts} <= {"ok", "unknown", "cancelled"}
    assert any(row["status"] == "unknown" for row in attempts), "nothing was cut"
    cut = [row for row in attempts if row["status"] == "unknown"]
    assert {(row["price_status"], row["cost"]) for row in cut} == {("unpriced", None)}
    assert len({row["event_id"] for row in attempts}) == expected


def booked_by_the_child(proxy: RunningProxy, attempts: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 30
    while True:
        found = rows(proxy) if (proxy.state / "ledger.db").exists() else []
        done = sum(row["kind"] == "attempt" for row in found)
        if done >= attempts or time.monotonic() > deadline:
            return found
        time.sleep(0.3)


def test_sigterm_under_load_settles_what_is_in_flight(
    tmp_path: Path, standin: RunningStandin, policies: Path
) -> None:
    proxy = running(tmp_path, standin, policies, TALLYGATE_DRAIN="off").start()

    with Load(proxy):
        time.sleep(3)
        proxy.process.signal(signal.SIGTERM)
        proxy.stop(60)
    expected = received(standin)
    drain(proxy, policies)

    attempts = [row for row in rows(proxy) if row["kind"] == "attempt"]
    assert len(attempts) == expected
    assert "writer_gone" not in {row["detail"] for row in attempts}, "the gate settles all itself"
    assert "Traceback" not in proxy.log()


def test_a_locked_ledger_is_waited_for(
    tmp_path: Path, standin: RunningStandin, policies: Path, no_stray_drains: None
) -> None:
    proxy = running(tmp_path, standin, policies)
    with proxy:
        ask(proxy)
        booked_by_the_child(proxy, 1)
        blocker = sqlite3.connect(proxy.state / "ledger.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        ask(proxy)
        time.sleep(8)
        blocker.execute("ROLLBACK")
        blocker.close()

        booked = booked_by_the_child(proxy, 2)

    assert [row["status"] for row in booked] == ["ok", "ok"]
    assert "ledger_unavailable" in (proxy.state / "drain.log").read_text()


def ask(proxy: RunningProxy, **options: Any) -> Any:
    with openai.OpenAI(
        api_key="sk-demo-support", base_url=f"{proxy.url}/v1", max_retries=0
    ) as client:
        return client.chat.completions.with_raw_response.create(
            model="gpt-5.4-mini",
            messages=[{"role": "user", "content": "hello"}],
            extra_headers=dict(OWNED),
            **options,
        )


def start_fails(proxy: RunningProxy) -> str:
    with pytest.raises(NotReady):
        proxy.start()
    return proxy.log()


def test_a_start_with_broken_policies_names_file_and_line(
    tmp_path: Path, standin: RunningStandin
) -> None:
    policies = copy_policies(tmp_path)
    registry = policies / "registry" / "data.yaml"
    registry.write_text(registry.read_text() + "teams: {}\n")

    log = start_fails(running(tmp_path, standin, policies))

    line = len(registry.read_text().splitlines())
    assert f"{registry}:{line}" in log
    assert "teams stands twice" in log


def test_a_later_start_with_broken_policies_falls_back_to_the_last_good_ones(
    tmp_path: Path, standin: RunningStandin
) -> None:
    policies = copy_policies(tmp_path)
    proxy = running(tmp_path, standin, policies, TALLYGATE_DRAIN="off")
    with proxy:
        good = ask(proxy).headers["x-tallygate-mode"]
    (policies / "contract" / "data.yaml").unlink()

    with proxy:
        fallen_back = ask(proxy).headers["x-tallygate-mode"]

    assert good == fallen_back == "enforce"
    assert "THE POLICIES FOLDER IS NOT IN FORCE" in proxy.log()


def test_a_spool_that_cannot_be_written_stops_the_start_with_a_remedy(
    tmp_path: Path, standin: RunningStandin, policies: Path
) -> None:
    (tmp_path / "occupied").write_text("a file, not a folder")

    log = start_fails(
        running(tmp_path, standin, policies, TALLYGATE_SPOOL=str(tmp_path / "occupied"))
    )

    assert "SpoolUnusable" in log
    assert "TALLYGATE_SPOOL" in log


def test_a_misspelt_variable_stops_the_start(
    tmp_path: Path, standin: RunningStandin, policies: Path
) -> None:
    log = start_fails(running(tmp_path, standin, policies, TALLYGATE_SPOOL_LIMT_MB="300"))

    assert "Did you mean TALLYGATE_SPOOL_LIMIT_MB?" in log
