"""Processes that die: writers by kill -9 in the middle of a load, drains between any two steps."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fakes.entries import an_event, opened, settled
from tallygate.adapters.spool import SegmentReader, SegmentSpool
from tallygate.adapters.spool import folder as places
from tallygate.application.ports import SpoolBatch
from tallygate.domain.ledger.events import SpoolRecord, Stage
from tallygate.errors import SegmentTorn

LOAD = """
import os, pathlib, sys, threading
from fakes.entries import an_event, opened, settled
from tallygate.adapters.spool import SegmentSpool
spool = SegmentSpool(pathlib.Path(sys.argv[1]), segment_bytes=65536, sync_interval_s=0.01)
def load(start):
    for number in range(start, start + 1_000_000):
        spool.append(opened(an_event(number)))
        os.write(1, b"%d opened\\n" % number)
        spool.append(settled(an_event(number)))
        os.write(1, b"%d settled\\n" % number)
for start in (1_000_000, 2_000_000, 3_000_000):
    threading.Thread(target=load, args=(start,)).start()
"""


def key(record: SpoolRecord) -> tuple[str, str]:
    return record.event.event_id, record.stage.value


def drain_into(ledger: list[SpoolRecord], reader: SegmentReader) -> bool:
    """Make one pass; return whether a writer was seen to be gone."""
    gone = False
    for batch in reader.batches(50):
        ledger += batch.records
        reader.acknowledge(batch, ())
        gone = gone or batch.writer_gone
    return gone


@pytest.mark.parametrize("seed", range(8))
def test_what_was_appended_before_a_kill_is_read_after_it(tmp_path: Path, seed: int) -> None:
    """A child writes from three threads and says what has returned; then it is killed."""
    chance = random.Random(seed)
    beside = seed % 2 == 1
    reader = SegmentReader(tmp_path)
    ledger: list[SpoolRecord] = []
    with subprocess.Popen(
        [sys.executable, "-c", LOAD, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        said = child.stdout.readline()
        end = time.monotonic() + chance.uniform(0.0, 0.4)
        os.set_blocking(child.stdout.fileno(), False)
        while time.monotonic() < end:
            said += child.stdout.read() or b""
            if beside:
                assert not drain_into(ledger, reader)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        os.set_blocking(child.stdout.fileno(), True)
        said += child.stdout.read()

    gone = drain_into(ledger, reader)
    idle = reader.is_idle()
    reader.close()

    found = [key(record) for record in ledger]
    returned = [
        line.split() for line in said.decode().splitlines(keepends=True) if line[-1] == "\n"
    ]
    promised = {(an_event(int(number)).event_id, stage) for number, stage in returned}
    assert gone
    assert idle
    assert len(found) == len(set(found))
    assert promised <= set(found)
    assert len(set(found) - promised) <= 3, "one record per thread may not have returned yet"
    assert {type(fault) for fault in reader.faults} <= {SegmentTorn}


class Crash(Exception):
    """The drain's process ended here."""


class Steps:
    """Lets calls that change the disk pass, until one is to be the last."""

    def __init__(self) -> None:
        self.left: int | None = None

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise Crash
            return call(*arguments, **named)

        return step


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    for name in ("unlink", "replace"):
        monkeypatch.setattr(Path, name, made.before(getattr(Path, name)))
    monkeypatch.setattr(places, "sync_folder", made.before(places.sync_folder))
    monkeypatch.setattr(os, "fsync", made.before(os.fsync))
    return made


class World:
    """Writers and drains over one folder, and what a ledger behind the drains would hold."""

    def __init__(self, folder: Path, chance: random.Random, steps: Steps) -> None:
        self.folder = folder
        self.chance = chance
        self.steps = steps
        self.writers: list[SegmentSpool] = []
        self.number = 0
        self.written: dict[tuple[str, str], SpoolRecord] = {}
        self.ledger: dict[tuple[str, str], SpoolRecord] = {}
        self.unknown: set[str] = set()

    def begin_writer(self) -> None:
        sizes = {"segment_bytes": 16_384, "limit_bytes": 10**7, "reserved_bytes": 4096}
        self.writers.append(SegmentSpool(self.folder, sync_interval_s=3600, **sizes))

    def end_writer(self) -> None:
        self.writers.pop(self.chance.randrange(len(self.writers))).close()

    def write(self) -> None:
        writer = self.chance.choice(self.writers)
        for _ in range(self.chance.randrange(1, 12)):
            self.number += 1
            event = an_event(self.number)
            for record in [opened(event), settled(event)][: self.chance.choice([1, 2, 2, 2])]:
                writer.append(record)
                self.written[key(record)] = record

    def drain(self, lifetime: int | None = None) -> None:
        """Read one pass, or until as many steps on the disk were made."""
        reader = SegmentReader(self.folder)
        self.steps.left = lifetime
        try:
            for batch in reader.batches(self.chance.randrange(1, 20)):
                still_open = self.book(batch, reader.open_records(batch.writer_id))
                if batch.writer_gone:
                    self.unknown.update(record.event.event_id for record in still_open)
                reader.acknowledge(batch, () if batch.writer_gone else still_open)
        except Crash:
            pass
        finally:
            self.steps.left = None
            reader.close()
        assert reader.faults == []

    def book(self, batch: SpoolBatch, open_before: Sequence[SpoolRecord]) -> list[SpoolRecord]:
        still_open = {record.event.event_id: record for record in open_before}
        for record in batch.records:
            self.ledger[key(record)] = record
            if record.stage is Stage.OPENED:
                still_open[record.event.event_id] = record
            else:
                still_open.pop(record.event.event_id, None)
        return list(still_open.values())


@pytest.mark.parametrize("seed", range(40))
def test_a_drain_may_die_between_any_two_steps(tmp_path: Path, seed: int, steps: Steps) -> None:
    """Writers come and go, a drain dies and starts again; the ledger has all, and knows it."""
    chance = random.Random(seed)
    world = World(tmp_path, chance, steps)
    for _ in range(30):
        if not world.writers or (len(world.writers) < 3 and chance.random() < 0.2):
            world.begin_writer()
        world.write()
        if chance.random() < 0.15:
            world.end_writer()
        if chance.random() < 0.7:
            world.drain(lifetime=chance.randrange(12))
    while world.writers:
        world.end_writer()

    world.drain()
    world.drain()

    never_settled = {
        event for event, stage in world.written if (event, "settled") not in world.written
    }
    assert world.ledger == world.written
    assert world.unknown == never_settled
    assert {path.name for path in tmp_path.iterdir()} == {"drain.lock"}
