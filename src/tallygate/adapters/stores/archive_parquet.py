"""
Lines as one Parquet file, and back.

polars writes and reads: `litellm[proxy]` requires it already, pyarrow would be another hundred
megabytes. It takes a quarter of a second to import, so only who has an archive does.

Shapes  Columns are those of `events` and typed like them: text, 64-bit numbers, truth values.
        Money stays a whole number of 10**-12, which is what the seal is over.
Errors  LedgerError for what cannot be read as such a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl
from polars.exceptions import PolarsError
from sqlalchemy import Boolean, Integer

from tallygate.adapters.stores.tables import EVENTS
from tallygate.domain.ledger.sealed_rows import SEALED_COLUMNS, SealedRow
from tallygate.errors import LedgerError

_BOOLEANS: Final = [name for name in SEALED_COLUMNS if isinstance(EVENTS.c[name].type, Boolean)]
_WRITTEN: Final = pl.Schema(
    {
        name: pl.Int64 if isinstance(EVENTS.c[name].type, Integer | Boolean) else pl.String
        for name in SEALED_COLUMNS
    }
)


def write_parquet(path: Path, rows: Sequence[SealedRow]) -> None:
    """Write rows to a file; whether it is on the disk is the caller's to see to."""
    # Column by column: row by row it takes twice as long and twice the memory.
    columns = dict(zip(SEALED_COLUMNS, zip(*rows, strict=True), strict=True)) if rows else {}
    frame = pl.DataFrame(columns, schema=_WRITTEN)
    frame = frame.with_columns(pl.col(_BOOLEANS).cast(pl.Boolean))
    try:
        frame.write_parquet(path, compression="zstd")
    except PolarsError as error:
        raise OSError(type(error).__name__) from error


class ParquetLines:
    """The lines of one file, as they were sealed."""

    def __init__(self, path: Path) -> None:
        self._frame = _frame_of(path)
        self._seqs = self._frame["seq"]

    def sealed_rows(
        self, after_seq: int, to_seq: int, limit: int | None = None
    ) -> Sequence[SealedRow]:
        start, stop = (self._seqs.search_sorted(seq, "right") for seq in (after_seq, to_seq))
        size = max(0, stop - start)
        found = self._frame.slice(start, size if limit is None else min(size, limit))
        columns = found.get_columns()
        # `rows()` of the frame itself takes twice as long.
        return list(zip(*(column.to_list() for column in columns), strict=True))


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
