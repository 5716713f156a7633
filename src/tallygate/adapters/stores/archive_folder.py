"""
Old lines in files, one folder, with their manifests.

Shapes  A file appears under its name when it is whole and synced, with the folder that names it.
Errors  LedgerError for what cannot be read as such a file, LedgerUnavailable for what may pass.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tallygate.application.ledger_ports import SealedLines
from tallygate.domain.ledger.sealed_rows import SealedRow
from tallygate.errors import LedgerUnavailable

_HASH_BLOCK: Final = 1 << 20
_LOCK: Final = ".lock"


class ParquetFolder:
    """The `ArchiveFolder` port on a folder, made with the first file; others are read beside it."""

    def __init__(self, folder: Path, *others: Path) -> None:
        self._folder = folder
        self._others = others
        self._opened: tuple[str, SealedLines] | None = None

    @property
    def place(self) -> str:
        """The folders, as messages name them."""
        return " or ".join(map(str, (self._folder, *self._others)))

    @contextmanager
    def one_writer(self) -> Generator[None]:
        with _told(self.place):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise LedgerUnavailable(
                f"another process archives into {self.place}; wait for it."
            ) from error
        try:
            yield
        finally:
            os.close(handle)

    def is_held(self) -> bool:
        return any(_is_locked(folder / _LOCK) for folder in (self._folder, *self._others))

    def has(self, name: str) -> bool:
        return self._path(name).is_file()

    def _path(self, name: str) -> Path:
        folders = (self._folder, *self._others)
        paths = (folder / name for folder in folders)
        return next((path for path in paths if path.is_file()), self._folder / name)

    def write_rows(self, name: str, rows: Sequence[SealedRow]) -> None:
        from tallygate.adapters.stores.archive_parquet import write_parquet  # noqa: PLC0415 - slow

        with _told(self.place):
            partial = self._folder / f"{name}.partial"
            write_parquet(partial, rows)
            self._keep(partial, name)

    def lines(self, name: str) -> SealedLines:
        from tallygate.adapters.stores.archive_parquet import ParquetLines  # noqa: PLC0415 - slow

        if self._opened is None or self._opened[0] != name:
            self._opened = None  # one file in memory at a time
            self._opened = (name, ParquetLines(self._path(name)))
        return self._opened[1]

    def digest(self, name: str) -> tuple[str, int]:
        hashed, size = hashlib.sha256(), 0
        with _told(self.place), self._path(name).open("rb") as file:
            while block := file.read(_HASH_BLOCK):
                hashed.update(block)
                size += len(block)
        return f"sha256:{hashed.hexdigest()}", size

    def write_manifest(self, name: str, content: bytes) -> None:
        with _told(self.place):
            partial = self._folder / f"{name}.partial"
            partial.write_bytes(content)
            self._keep(partial, name)

    def read_manifest(self, name: str) -> bytes:
        with _told(self.place):
            return self._path(name).read_bytes()

    def _keep(self, partial: Path, name: str) -> None:
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(self._folder / name)
        for folder in (self._folder, self._folder.parent):  # the name, and the folder's own
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        self._opened = None


def _is_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def _told(place: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise LedgerUnavailable(f"the archive {place} is not available: {reason}.") from error
