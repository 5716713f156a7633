"""A small disk that can be filled, a spool folder at its limit, a clock that can be set."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

_BALLAST: Final = "ballast"
_LIMIT_BYTES: Final = 256 * 1024 * 1024
"""The least that TALLYGATE_SPOOL_LIMIT_MB can be."""


class SmallDisk:
    """A tmpfs of its own, where this user may mount one; else None from `mounted`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._ballast = place / _BALLAST

    @classmethod
    def mounted(cls, place: Path, megabytes: int = 40) -> SmallDisk | None:
        place.mkdir(parents=True)
        options = f"size={megabytes}m,mode=0700"
        try:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tallygate-faults", str(place)],
                check=True,
                capture_output=True,
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return cls(place)

    def fill(self) -> None:
        """Take every byte that is left."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1024 * 1024, 4096, 1):
                try:
                    while file.write(b"\0" * size):
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def give_back(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.place)], check=True, capture_output=True)


class SpoolLimit:
    """Brings a spool folder to its limit with a file that takes no room on the disk."""

    environment: Mapping[str, str] = {"TALLYGATE_SPOOL_LIMIT_MB": "256"}

    def __init__(self, spool: Path) -> None:
        self._ballast = spool / _BALLAST

    def reach(self) -> None:
        with self._ballast.open("wb") as file:
            os.ftruncate(file.fileno(), _LIMIT_BYTES)

    def leave(self) -> None:
        self._ballast.unlink(missing_ok=True)


class ShiftedClock:
    """
    The wall clock of a process that was started with `environment`.

    Python runs `sitecustomize` before anything else; ours adds what stands in a shared file to
    each answer of `time.time` and `time.time_ns`. The product knows nothing of it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._file.write_bytes(struct.pack("<q", 0))
        modules = folder / "clock-modules"
        modules.mkdir(exist_ok=True)
        (modules / "sitecustomize.py").write_text(_SITECUSTOMIZE)
        self.environment = {"PYTHONPATH": str(modules), "FAULTS_CLOCK": str(self._file)}

    def shift(self, seconds: float) -> None:
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("<q", int(seconds * 1_000_000_000)))


_SITECUSTOMIZE: Final = """
import mmap, os, struct, time

with open(os.environ["FAULTS_CLOCK"], "rb") as file:
    shared = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
real_ns, read = time.time_ns, struct.Struct("<q").unpack_from

def time_ns():
    return real_ns() + read(shared)[0]

def seconds():
    return time_ns() / 1_000_000_000

time.time_ns, time.time = time_ns, seconds
"""


def processes_of(spool: Path) -> list[int]:
    """Find the drains, by whomever they were started, that have this spool in their environment."""
    wanted = f"TALLYGATE_SPOOL={spool}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            if {b"tallygate", b"drain"} <= set(arguments) and wanted in (
                process / "environ"
            ).read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found
