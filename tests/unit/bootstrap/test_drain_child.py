"""The drain child with a stand-in for Python: a script that notes how it was started."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from tallygate.bootstrap import drain_child
from tallygate.bootstrap.drain_child import LOCK_NAME, DrainChild


class FakeTime:
    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


class World:
    """A folder with a Python that is none, and the child that starts it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = FakeTime()
        self.started = folder / "started"
        self.spool = folder / "spool"
        self.spool.mkdir()
        self._python = folder / "python"
        self.behave("exit 0")
        monkeypatch.setattr(drain_child, "time", self.time)
        monkeypatch.setattr(drain_child, "sys", SimpleNamespace(executable=str(self._python)))
        self.child = DrainChild(
            spool_folder=self.spool,
            ledger_url="postgresql://user:password@ledger/db",
            policies_folder=folder / "policies",
            log_file=folder / "state" / "drain.log",
        )
        self.log_file = folder / "state" / "drain.log"

    def behave(self, last: str) -> None:
        script = f'#!/bin/sh\necho "$@" >> "{self.started}"\nenv\n{last}\n'
        self._python.write_text(script, encoding="utf-8")
        self._python.chmod(0o755)

    def tick(self, seconds: float = 1.0) -> None:
        self.time.now_s += seconds
        self.child.keep_alive()

    def wait(self) -> None:
        process = self.child._process
        assert process is not None
        process.wait(timeout=30)

    @property
    def starts(self) -> int:
        return len(self.started.read_text().splitlines()) if self.started.exists() else 0


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("TALLYGATE_HASH_KEY", "also-secret")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    made = World(tmp_path, monkeypatch)
    yield made
    process = made.child._process
    if process is not None and process.poll() is None:
        process.kill()
        process.wait(timeout=30)


def test_one_drain_is_started_and_left_alone_while_it_runs(world: World) -> None:
    world.behave("exec sleep 60")

    for _ in range(3):
        world.tick()

    process = world.child._process
    assert process is not None
    assert process.poll() is None
    assert os.getsid(process.pid) == process.pid  # a session of its own: it outlives the proxy
    os.killpg(process.pid, signal.SIGKILL)
    world.wait()
    assert world.starts <= 1


def test_the_drain_gets_its_places_and_nothing_that_is_secret_to_it(world: World) -> None:
    world.tick()
    world.wait()

    arguments, output = world.started.read_text(), world.log_file.read_text()
    assert arguments == "-m tallygate drain --follow --until-idle\n"
    assert "TALLYGATE_LEDGER_URL=postgresql://user:password@ledger/db" in output
    assert f"TALLYGATE_SPOOL={world.spool}" in output
    assert "TALLYGATE_POLICIES=" in output
    assert "PGSSLMODE=verify-full" in output
    assert "secret" not in output


def test_a_drain_that_left_because_all_was_done_is_started_again_at_once(world: World) -> None:
    for _ in range(3):
        world.tick()
        world.wait()

    assert world.starts == 3


def test_a_drain_that_fails_is_tried_less_and_less_often(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.behave("exit 3")
    started_at = []
    for second in range(200):
        before = world.starts
        world.tick()
        if world.child._process is not None and world.child._process.returncode is None:
            world.wait()
        if world.starts > before:
            started_at.append(second)

    pauses = [later - earlier for earlier, later in pairwise(started_at)]
    assert pauses == [2, 3, 5, 9, 17, 33, 61, 61]
    assert len(caplog.records) == len(started_at) - (world.child._process is not None)
    assert "exit_code=3" in caplog.text
    assert "password" not in caplog.text


def test_after_a_good_end_the_pause_is_short_again(world: World) -> None:
    def end_with(code: int) -> None:
        world.behave(f"exit {code}")
        world.tick(100)  # starts one
        world.wait()
        world.tick(0)  # notices how it ended; after a good end the next one starts at once

    for code in (3, 3, 3, 0):
        end_with(code)
    world.wait()
    end_with(3)
    starts = world.starts
    world.tick(1)
    world.wait()

    assert world.starts == starts + 1


def test_where_another_workers_drain_holds_the_folder_none_is_started(world: World) -> None:
    with (world.spool / LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        world.tick()
        assert world.child._process is None
        fcntl.flock(lock, fcntl.LOCK_UN)
    world.tick()
    world.wait()

    assert world.starts == 1


def test_a_spool_folder_that_is_not_there_does_not_keep_the_drain_from_saying_so(
    world: World,
) -> None:
    world.spool.rmdir()
    world.tick()
    world.wait()

    assert world.starts == 1


def test_the_lock_is_looked_at_and_not_kept(world: World) -> None:
    world.tick()
    world.wait()

    with (world.spool / LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
