"""
Old lines in Parquet files, one folder, with their manifests.

polars writes and reads them: `litellm[proxy]` requires it already, pyarrow would be another
hundred megabytes.

Shapes  Columns are those of `events` and typed like them: text, 64-bit numbers, truth values.
        Money stays a whole number of 10**-12, which is what the seal is over.
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

import polars as pl
from polars.exceptions import PolarsError
from sqlalchemy import Boolean, Integer

from tallygate.adapters.stores.tables import EVENTS
from tallygate.domain.ledger.sealed_rows import SEALED_COLUMNS, SealedRow
from tallygate.errors import LedgerError, LedgerUnavailable

_BOOLEANS: Final = [name for name in SEALED_COLUMNS if isinstance(EVENTS.c[name].type, Boolean)]
_WRITTEN: Final = pl.Schema(
    {
        name: pl.Int64 if isinstance(EVENTS.c[name].type, Integer | Boolean) else pl.String
        for name in SEALED_COLUMNS
    }
)
_HASH_BLOCK: Final = 1 << 20
_LOCK: Final = ".lock"


class ParquetFolder:
    """The `ArchiveFolder` port on a folder, which is made with the first file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: tuple[str, ParquetLines] | None = None

    @property
    def place(self) -> str:
        """The folder, as messages name it."""
        return str(self._folder)

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

    def has(self, name: str) -> bool:
        return (self._folder / name).is_file()

    def write_rows(self, name: str, rows: Sequence[SealedRow]) -> None:
        frame = pl.DataFrame(rows, schema=_WRITTEN, orient="row")
        frame = frame.with_columns(pl.col(_BOOLEANS).cast(pl.Boolean))
        with _told(self.place):
            partial = self._folder / f"{name}.partial"
            frame.write_parquet(partial, compression="zstd")
            self._keep(partial, name)

    def lines(self, name: str) -> ParquetLines:
        if self._opened is None or self._opened[0] != name:
            self._opened = None  # one file in memory at a time
            self._opened = (name, ParquetLines(_frame_of(self._folder / name)))
        return self._opened[1]

    def digest(self, name: str) -> tuple[str, int]:
        hashed, size = hashlib.sha256(), 0
        with _told(self.place), (self._folder / name).open("rb") as file:
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
            return (self._folder / name).read_bytes()

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


class ParquetLines:
    """The lines of one file, as they were sealed."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def sealed_rows(
        self, after_seq: int, to_seq: int, limit: int | None = None
    ) -> Sequence[SealedRow]:
        seq = pl.col("seq")
        found = self._frame.filter((seq > after_seq) & (seq <= to_seq))
        return (found if limit is None else found.head(limit)).rows()


def _frame_of(path: Path) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path)
        present = [name for name in SEALED_COLUMNS if name in frame.columns]
        # A column that came after the file was written held nothing then.
        later = [pl.lit(None).alias(name) for name in SEALED_COLUMNS if name not in present]
        booleans = [name for name in _BOOLEANS if name in present]
        return (
            frame.with_columns(pl.col(booleans).cast(pl.Int64), *later)
            .select(SEALED_COLUMNS)
            .sort("seq")
        )
    except (PolarsError, OSError) as error:
        raise LedgerError(
            f"{path.name} cannot be read as an archive's file ({type(error).__name__}); restore "
            "it from a copy."
        ) from error


@contextmanager
def _told(place: str) -> Generator[None]:
    try:
        yield
    except (OSError, PolarsError) as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise LedgerUnavailable(f"the archive {place} is not available: {reason}.") from error
