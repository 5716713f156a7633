"""
What can happen to a proxy, its drain and its ledger while calls go on: each begins and ends.

Shapes  `begin` does it, `end` undoes it where it lasts; both may be called at any moment, and
        `end` also when the proxy is already dead.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import MappingProxyType

from e2e.faults.disk import SmallDisk
from e2e.faults.rig import Rig
from fakes.postgres import PostgresServer
from tallygate.adapters.stores.opening import ledger_at


class Trouble(ABC):
    """One kind of it, on one rig."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    @abstractmethod
    def begin(self, chance: random.Random) -> None: ...

    def end(self) -> None:  # noqa: B027 - what happens in an instant has no end
        pass


class DrainKilled(Trouble):
    def begin(self, chance: random.Random) -> None:
        self.rig.kill_drains()


class SecondDrain(Trouble):
    """Somebody starts one by hand; it gives way, or it was the only one."""

    def begin(self, chance: random.Random) -> None:
        by_hand = self.rig.drain_by_hand()
        gave_way = "another drain reads the spool folder" in by_hand.stderr
        no_ledger = "ledger" in by_hand.stderr
        assert by_hand.returncode == 0 or gave_way or no_ledger, by_hand.stderr


class WorkerKilled(Trouble):
    """One worker of several; with one alone it would be the end of the proxy."""

    def begin(self, chance: random.Random) -> None:
        workers = sorted(self.rig.workers())
        if len(workers) > 1:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)


class ClockSetBack(Trouble):
    def begin(self, chance: random.Random) -> None:
        self.rig.clock.shift(-chance.choice((2, 300, 86_400)))

    def end(self) -> None:
        self.rig.clock.shift(0)


class SpoolAtItsLimit(Trouble):
    def begin(self, chance: random.Random) -> None:
        self.rig.limit.reach()

    def end(self) -> None:
        self.rig.limit.leave()


class DiskFull(Trouble):
    def __init__(self, rig: Rig, disk: SmallDisk) -> None:
        super().__init__(rig)
        self._disk = disk

    def begin(self, chance: random.Random) -> None:
        self._disk.fill()

    def end(self) -> None:
        self._disk.give_back()


class LedgerLocked(Trouble):
    """Somebody else writes to the SQLite file, and takes his time."""

    _blocker: sqlite3.Connection | None = None

    def begin(self, chance: random.Random) -> None:
        self.end()
        with suppress(sqlite3.OperationalError):  # gone, or the drain is quicker
            blocker = sqlite3.connect(_file_of(self.rig), isolation_level=None, timeout=5)
            blocker.execute("BEGIN IMMEDIATE")
            self._blocker = blocker

    def end(self) -> None:
        if self._blocker is not None:
            self._blocker.close()
            self._blocker = None


class LedgerGone(Trouble):
    """The folder of the SQLite file is not there, as with a disk that was not mounted."""

    def begin(self, chance: random.Random) -> None:
        folder = _file_of(self.rig).parent
        if folder.is_dir():
            folder.rename(folder.with_name("away"))
            folder.write_text("not a folder: nothing can be made here")

    def end(self) -> None:
        folder = _file_of(self.rig).parent
        if folder.is_file():
            folder.unlink()
            folder.with_name("away").rename(folder)


class DatabaseStopped(Trouble):
    def __init__(self, rig: Rig, server: PostgresServer) -> None:
        super().__init__(rig)
        self._server = server
        self._is_down = False

    def begin(self, chance: random.Random) -> None:
        if not self._is_down:
            self._server.stop()
            self._is_down = True

    def end(self) -> None:
        if self._is_down:
            self._server.start()
            self._is_down = False


def _file_of(rig: Rig) -> Path:
    return Path(rig.ledger_url.removeprefix("sqlite:///"))


def troubles_of(
    rig: Rig, disk: SmallDisk | None, server: PostgresServer | None
) -> Mapping[str, Trouble]:
    """Make one of each kind that this rig can have."""
    with closing(ledger_at(rig.ledger_url)) as ledger:
        ledger.prepare()
    found: dict[str, Trouble] = {
        "drain killed": DrainKilled(rig),
        "second drain": SecondDrain(rig),
        "worker killed": WorkerKilled(rig),
        "clock set back": ClockSetBack(rig),
        "spool at its limit": SpoolAtItsLimit(rig),
    }
    if server is not None:
        found["ledger locked"] = found["ledger gone"] = DatabaseStopped(rig, server)
    else:
        found["ledger locked"] = LedgerLocked(rig)
        found["ledger gone"] = LedgerGone(rig)
    if disk is not None:
        found["disk full"] = DiskFull(rig, disk)
    return MappingProxyType(found)


KINDS = (
    "drain killed",
    "second drain",
    "worker killed",
    "clock set back",
    "spool at its limit",
    "ledger locked",
    "ledger gone",
    "disk full",
)
"""What a plan chooses from, whether this machine can do it or not: the same seed, the same plan."""
