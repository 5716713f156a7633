"""
A thread that appends while the next batch is read and priced.

A database that takes a batch leaves the interpreter alone most of the time: PostgreSQL works in
another process, SQLite's statements run outside the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tallygate.application.ports import Appended
from tallygate.domain.ledger.events import Entry


class Appender:
    """Runs appends one after another on one thread, which it starts when it is needed."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None

    def start(
        self, append: Callable[[Sequence[Entry]], Appended], entries: Sequence[Entry]
    ) -> Callable[[], Appended]:
        """Begin, and return what waits for the answer or raises what went wrong."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="tallygate-append")
        return self._thread.submit(append, entries).result

    def close(self) -> None:
        """Wait for what is under way."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
