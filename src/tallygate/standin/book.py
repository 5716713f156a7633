"""
The stand-in's own book: every provider call that it received, and how each one ended.

It is what the ledger is compared with, so it is written on arrival, before anything can fail.
Shapes: `calls` keeps the newest `keep` records; the counts are exact whatever was dropped.
Units: instants are UTC nanoseconds.
It never holds text of a message or an answer, nor a credential.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum

_HEADERS_KEPT = frozenset(
    {
        "traceparent",
        "tracestate",
        "x-trace-id",
        "x-request-id",
        "x-client-request-id",
        "x-stainless-retry-count",
    }
)
_PREFIXES_KEPT = ("x-tallygate-", "x-litellm-")
_LONGEST_VALUE = 256


class Ending(StrEnum):
    """How a provider call ended, as the provider saw it."""

    OPEN = "open"
    COMPLETE = "complete"
    CUT = "cut"
    """The stand-in dropped the connection."""
    CLIENT_GONE = "client_gone"
    ERROR = "error"
    """An error status, or an error event inside a stream."""
    MALFORMED = "malformed"


@dataclass(slots=True, kw_only=True)
class CallRecord:
    """One provider call; filled in while it is answered."""

    seq: int
    received_at_ns: int
    method: str
    path: str
    headers: Mapping[str, str]
    """Those that carry traces and ownership."""
    header_names: tuple[str, ...]
    """All of them, without values: shows what was forwarded and what was not."""
    generates: bool
    """A call that could cost something; listing models and counting tokens cannot."""
    operation: str = ""
    """What the route does: `chat`, `embeddings`, `files`, …; empty where there is no route."""
    model: str = ""
    request_metadata: Mapping[str, str] | None = None
    """The pairs that a caller of Bedrock has attached for the bill: ownership, as it arrived."""
    stream: bool = False
    status: int = 0
    """0 while nothing was answered."""
    provider_request_id: str = ""
    response_id: str = ""
    response_model: str = ""
    service_tier: str = ""
    usage: Mapping[str, object] | None = None
    """The provider's own usage object, once it was sent; else null."""
    billed: Mapping[str, float] | None = None
    """Inclusive counts that a provider would bill, sent or not; null where it answered nothing.
    Of what runs in the background both come once that was seen to end."""
    parts: list[Mapping[str, object]] = field(default_factory=list)
    """Where one call is billed in parts: the turns of a session, the records of a batch."""
    records: int | None = None
    """How many records a batch had, those that failed included."""
    chunks_sent: int = 0
    ended: Ending = Ending.OPEN
    ended_at_ns: int = 0


@dataclass(slots=True)
class Book:
    """All calls since the start, or since the book was last emptied."""

    clock_ns: Callable[[], int]
    keep: int = 100_000
    _calls: deque[CallRecord] = field(init=False)
    _last_seq: int = 0
    _forgotten_through: int = 0
    _generating: int = 0
    _by_path: Counter[str] = field(default_factory=Counter)
    _by_end: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._calls = deque(maxlen=self.keep)

    def open(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        operation: str = "",
        generates: bool = True,
    ) -> CallRecord:
        kept, names = _headers_of_interest(headers)
        self._last_seq += 1
        record = CallRecord(
            seq=self._last_seq,
            received_at_ns=self.clock_ns(),
            method=method,
            path=path[:_LONGEST_VALUE],
            headers=kept,
            header_names=names,
            operation=operation,
            generates=generates,
        )
        self._calls.append(record)
        self._generating += record.generates
        self._by_path[record.path] += 1
        return record

    def reclassify(self, record: CallRecord, operation: str) -> None:
        """Note what a call turned out to be once it was read: one that could cost something."""
        if record.seq > self._forgotten_through:
            self._generating += not record.generates
        record.operation = operation
        record.generates = True

    def close(self, record: CallRecord, ended: Ending) -> None:
        if record.ended is not Ending.OPEN:
            return
        record.ended = ended
        record.ended_at_ns = self.clock_ns()
        if record.seq > self._forgotten_through:
            self._by_end[ended.value] += 1

    def calls(self, after: int = 0) -> list[dict[str, object]]:
        return [asdict(record) for record in self._calls if record.seq > after]

    def count(self) -> dict[str, object]:
        received = self._last_seq - self._forgotten_through
        return {
            "received": received,
            "generating": self._generating,
            "dropped": received - len(self._calls),
            "by_path": dict(self._by_path),
            "by_end": {**self._by_end, Ending.OPEN.value: received - sum(self._by_end.values())},
        }

    def forget(self) -> None:
        """Empty the book. `seq` goes on; calls that are still open no longer count."""
        self._forgotten_through = self._last_seq
        self._generating = 0
        self._calls.clear()
        self._by_path.clear()
        self._by_end.clear()


def _headers_of_interest(
    headers: Iterable[tuple[bytes, bytes]],
) -> tuple[dict[str, str], tuple[str, ...]]:
    kept: dict[str, str] = {}
    names: list[str] = []
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1").lower()
        names.append(name)
        if name in _HEADERS_KEPT or name.startswith(_PREFIXES_KEPT):
            kept[name] = raw_value.decode("latin-1")[:_LONGEST_VALUE]
    return kept, tuple(names)
