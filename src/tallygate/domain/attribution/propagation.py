"""
The trace that a call belongs to, and how it is carried on.

A caller may send W3C `traceparent`, an opaque id of its own, or both. The opaque id, where there
is one, is the trace's name in the ledger, and it is forwarded unchanged beside the W3C one.

Source  W3C Trace Context, section 3.2; version 00, and higher versions read as 00.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TRACE_HEADERS: Final = (b"x-tallygate-trace-id", b"x-trace-id")
"""Where an opaque trace id may stand."""
TRACE_HEADER_OUT: Final = "x-tallygate-trace-id"

_TRACEPARENT: Final = re.compile(
    r"(?!ff|00-.{53})[0-9a-f]{2}-"  # version 00 ends with the flags
    r"(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_OPAQUE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace of one call."""

    trace_id: str
    source: str
    """`received` or `minted`; minted for a service that normally sends one is a broken hop."""
    w3c_trace_id: str
    """32 hex digits; equal to `trace_id` unless that one is opaque."""
    parent_span_id: str | None = None
    flags: str = "01"
    malformed: bool = False
    """An id was sent that could not be taken."""

    @property
    def is_opaque(self) -> bool:
        return self.trace_id != self.w3c_trace_id

    def traceparent(self, span_id: str) -> str:
        """Write the header for the next hop; `span_id` is 16 hex digits."""
        return f"00-{self.w3c_trace_id}-{span_id}-{self.flags}"


def read_trace(headers: Sequence[tuple[bytes, bytes]], minted: str) -> Trace:
    """Read the trace from request headers; `minted` (32 hex digits) serves when there is none."""
    sent = {value for name, value in headers if name in TRACE_HEADERS and value.strip()}
    opaque = _opaque_id(sent)
    malformed = bool(sent) and opaque is None
    received = _traceparent(headers)
    if received is not None:
        w3c_trace_id, parent_span_id, flags = received
        trace_id = opaque or w3c_trace_id
        return Trace(trace_id, "received", w3c_trace_id, parent_span_id, flags, malformed)
    if opaque is not None:
        w3c_trace_id = hashlib.sha256(opaque.encode()).hexdigest()[:32]
        return Trace(opaque, "received", w3c_trace_id)
    return Trace(minted, "minted", minted, malformed=malformed)


def _opaque_id(sent: set[bytes]) -> str | None:
    if len(sent) != 1:
        return None  # none, or two that differ
    (only,) = sent
    text = only.decode("latin-1").strip()
    return text if _OPAQUE.fullmatch(text) else None


def _traceparent(headers: Sequence[tuple[bytes, bytes]]) -> tuple[str, str, str] | None:
    lines = [value for name, value in headers if name == b"traceparent"]
    if len(lines) != 1:
        return None  # the standard: more than one is as good as none
    match = _TRACEPARENT.fullmatch(lines[0].decode("latin-1").strip())
    return (match[1], match[2], match[3]) if match else None
