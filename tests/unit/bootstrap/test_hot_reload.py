"""The reloader of one worker: a real folder, a real watch, a real child, a real engine."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes.broken_policies import BREAKS, CONTRACT, REGISTRY, said
from fakes.clock import FakeClock, FakeIds
from fakes.contracts import hashed
from fakes.lines import a_request
from fakes.metrics import FakeMetrics
from fakes.policy_folders import path_without_opa
from fakes.spool import FakeSpool
from tallygate.adapters.engines.loading import LAST_GOOD_NAME, read_last_good
from tallygate.adapters.files.folder_content import read_content
from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.application.flow import RequestLine
from tallygate.application.reloading import InForce, Reloading
from tallygate.bootstrap import reloading as reloading_module
from tallygate.bootstrap.gate import policy_of
from tallygate.bootstrap.policy_reading import read_at_start
from tallygate.bootstrap.reloading import PolicyReloader, ReadingFailed, ReloadParts

Condition = Callable[[], Any]


class Worker:
    """What a worker holds, over a folder of its own."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = Path(shutil.copytree(starter_policies(), tmp_path / "policies"))
        self.state_folder = tmp_path / "state"
        clock = FakeClock()
        started = read_at_start(self.folder, self.state_folder, clock.now_ns())
        self.state = Reloading(
            InForce(
                revision=started.loaded.engine.revision,
                content=started.reading.content,
                loaded_at_ns=clock.now_ns(),
            )
        )
        self.line = RequestLine(
            policy=policy_of(started.loaded.engine, started.loaded.data),
            spool=FakeSpool(),
            clock=clock,
            new_id=FakeIds(),
            hasher=hashed,
        )
        self.metrics = FakeMetrics()
        self.reloader = PolicyReloader(
            ReloadParts(
                folder=self.folder,
                last_good=self.state_folder,
                line=self.line,
                state=self.state,
                metrics=self.metrics,
                build=policy_of,
                warn_about=lambda _: (),
            )
        )

    @property
    def revision(self) -> str:
        return self.line.policy.engine.revision

    async def until(self, condition: Condition, patience_s: float = 60) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < deadline, (self.state.told(), self.metrics.looks)
            await asyncio.sleep(0.02)

    async def settled(self) -> None:
        """Wait until what lies in the folder has been looked at."""
        digest = read_content(self.folder).digest
        await self.until(lambda: not self.state.is_news(digest))


@pytest.fixture(autouse=True)
def _no_opa(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_without_opa(tmp_path_factory.mktemp("no") / "bin"))


@asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[Worker]:
    worker = Worker(tmp_path)
    worker.reloader.start()
    try:
        await asyncio.sleep(0.7)
        yield worker
    finally:
        await worker.reloader.close()


def renamed(folder: Path, name: str) -> str:
    """Rename a team; returns the revision that this makes."""
    said(REGISTRY, "name: Customer Support", f"name: {name}")(folder)
    return read_policies(folder).revision


async def test_a_changed_folder_is_put_in_force_and_kept_for_the_next_start(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        expected = renamed(worker.folder, "Support Two")

        await worker.until(lambda: worker.revision == expected)

        kept = read_last_good(worker.state_folder)
        assert kept is not None
        assert kept.revision == expected
        assert worker.state.in_force.revision == expected
        assert worker.metrics.revisions == [expected]
        assert worker.metrics.looks == {"loaded": 1}
        assert (await worker.line.admit(a_request())).decision.policy_revision == expected


async def test_a_touch_reloads_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        before = worker.line.policy
        os.utime(worker.folder / CONTRACT)

        await worker.until(lambda: worker.metrics.looks["unchanged"])

        assert worker.line.policy is before
        assert worker.metrics.looks == {"unchanged": 1}


async def test_what_is_broken_is_refused_and_said_once_and_mended_when_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as worker:
        before, text = worker.line.policy, (worker.folder / REGISTRY).read_text()
        BREAKS["registry: a team that nobody knows"](worker.folder)
        await worker.until(lambda: worker.state.refused)
        for _ in range(2):
            looks = worker.metrics.looks.total()
            os.utime(worker.folder / REGISTRY)
            await worker.until(lambda looks=looks: worker.metrics.looks.total() > looks)

        assert worker.line.policy is before
        assert worker.metrics.is_refused
        assert worker.metrics.looks["refused"] == 1
        said_lines = [r.getMessage() for r in caplog.records if "policies_refused" in r.msg]
        assert len(said_lines) == 1
        lines = (worker.folder / REGISTRY).read_text().splitlines()
        line = lines.index("    owner_team: x") + 1
        assert f"{worker.folder / REGISTRY}:{line}:" in said_lines[0]
        assert "there is no team x" in worker.state.told()[0]

        (worker.folder / REGISTRY).write_text(text)
        await worker.until(lambda: worker.state.refused is None)

        assert not worker.metrics.is_refused
        assert worker.state.told() == ()
        assert worker.line.policy is before  # nothing else was ever in force


async def test_broken_and_good_contents_in_a_row_leave_the_last_good_one(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        good = {worker.revision}
        for number, name in enumerate(["contract: syntax", "case: no question", "folder: empty"]):
            shutil.rmtree(worker.folder)
            shutil.copytree(starter_policies(), worker.folder)
            good.add(renamed(worker.folder, f"Support {number}"))
            await worker.settled()
            in_force = worker.revision
            assert in_force in good
            BREAKS[name](worker.folder)
            await worker.settled()

            assert worker.state.refused is not None, name
            assert worker.revision == in_force, name

        kept = read_last_good(worker.state_folder)
        assert kept is not None
        assert kept.revision == worker.revision


async def test_a_change_during_a_reload_is_taken_up_after_it(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        renamed(worker.folder, "Support First")
        await worker.until(lambda: worker.reloader._child)  # reading has begun
        said(REGISTRY, "name: Support First", "name: Support Last")(worker.folder)
        newest = read_policies(worker.folder).revision

        await worker.until(lambda: worker.revision == newest)

        assert worker.metrics.looks["loaded"] <= 2


async def test_calls_on_the_loop_and_on_threads_are_decided_by_one_policy_each(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as worker:
        known = {worker.revision}
        answered: list[tuple[str | None, str]] = []
        done = threading.Event()

        def ask() -> None:
            decision = worker.line.observe(a_request()).decision
            answered.append((decision.policy_revision, decision.status))

        def ask_on_a_thread() -> None:
            while not done.is_set():
                ask()
                time.sleep(0.001)

        with ThreadPoolExecutor(2) as threads:
            asking = [threads.submit(ask_on_a_thread) for _ in range(2)]
            try:
                for number in range(2):
                    expected = renamed_again(worker.folder, number)
                    known.add(expected)
                    while worker.revision != expected:
                        ask()
                        await asyncio.sleep(0.001)
                await asyncio.sleep(0.3)
            finally:
                done.set()
            for each in asking:
                each.result()

        assert {revision for revision, _ in answered} == known
        assert {status for _, status in answered} <= {"decided", "remembered"}


def renamed_again(folder: Path, number: int) -> str:
    before = "Customer Support" if number == 0 else f"Support {number - 1}"
    said(REGISTRY, f"name: {before}\n", f"name: Support {number}\n")(folder)
    return read_policies(folder).revision


async def test_a_child_that_dies_is_tried_again_and_refuses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tallygate.application.reloading.FIRST_PAUSE_S", 0.1)
    async with running(tmp_path) as worker:
        worker.state._pause_s = 0.1
        monkeypatch.setattr(reloading_module, "MODULE", "tallygate.no_such_module")
        expected = renamed(worker.folder, "Support Two")
        await worker.until(lambda: worker.metrics.looks["failed"] >= 2)

        assert worker.state.refused is None
        assert "No module named" in worker.state.told()[0]
        assert len([r for r in caplog.records if "policies_not_judged" in r.msg]) == 1

        monkeypatch.undo()
        await worker.until(lambda: worker.revision == expected)
        assert worker.state.told() == ()


async def test_a_state_folder_that_takes_nothing_is_a_warning(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        shutil.rmtree(worker.state_folder)
        worker.state_folder.write_text("a file where the folder should be")
        expected = renamed(worker.folder, "Support Two")

        await worker.until(lambda: worker.revision == expected)

        assert "could not be kept" in worker.state.told()[0]


async def test_closing_in_the_middle_of_a_reading_ends_the_child(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        before = worker.revision
        renamed(worker.folder, "Support Two")
        await worker.until(lambda: worker.reloader._child)
        child = worker.reloader._child
        assert child is not None

        began = time.monotonic()
        await worker.reloader.close()

        assert time.monotonic() - began < 2
        await worker.until(lambda: child.poll() is not None)
        assert worker.revision == before


@pytest.mark.parametrize("is_before", [True, False])
async def test_closing_while_a_child_is_being_started_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_before: bool
) -> None:
    reloader = Worker(tmp_path).reloader
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def closed_meanwhile(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        started.append(start(*args, **kwargs))
        asyncio.run(reloader.close())
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", closed_meanwhile)
    if is_before:
        await reloader.close()

    with pytest.raises(ReadingFailed, match="closing"):
        await asyncio.to_thread(reloader._read_in_child, tmp_path / "bundle.zip")

    assert len(started) == (0 if is_before else 1)
    assert all(child.returncode is not None for child in started)


async def test_two_workers_on_one_state_folder_keep_one_whole_bundle(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        second = PolicyReloader(worker.reloader._parts)
        second.start()
        try:
            for number in range(2):
                expected = renamed_again(worker.folder, number)
                await worker.until(lambda expected=expected: worker.revision == expected)
                await asyncio.sleep(0.5)
        finally:
            await second.close()

        kept = read_last_good(worker.state_folder)
        assert kept is not None
        assert kept.revision == worker.revision
        assert [path.name for path in worker.state_folder.iterdir()] == [LAST_GOOD_NAME]
