"""What the tests of faults share: rigs that leave no process behind, a disk that can get full."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.faults.disk import SmallDisk
from e2e.faults.rig import Rig, Setup
from e2e.proxy_process import RunningStandin
from fakes.postgres import PostgresServer

MakeRig = Callable[[Setup], Rig]


@pytest.fixture
def make_rig(tmp_path: Path, standin: RunningStandin) -> Iterator[MakeRig]:
    with ExitStack() as ends:

        def make(setup: Setup) -> Rig:
            rig = Rig(tmp_path, standin, setup)
            ends.callback(rig.leave_nothing)
            return rig

        yield make


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk | None]:
    """Give a disk that can be filled; None where this user may not mount one."""
    disk = SmallDisk.mounted(tmp_path / "disk")
    yield disk
    if disk is not None:
        disk.close()


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()
