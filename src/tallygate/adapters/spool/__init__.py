"""
The spool on a local disk: append-only segments, one writer per process, one reader per folder.

Source  docs/spool.md says what is promised and what is not.
"""

from __future__ import annotations

from tallygate.adapters.spool.reader import SegmentReader
from tallygate.adapters.spool.writer import SegmentSpool

__all__ = ["SegmentReader", "SegmentSpool"]
