"""
The trace that a piece of work belongs to, as a service carries it.

Source  W3C Trace Context, section 3.2.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Final

_TRACEPARENT: Final = re.compile(
    r"(?!ff|00-.{53})[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)
_OPAQUE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")


@dataclass(frozen=True, slots=True)
class Trace:
    """One of the two is there: the W3C header, or an opaque id of an organisation's own."""

    traceparent: str | None
    opaque: str | None = None
    """Forwarded unchanged beside the W3C header; it is then the trace's name in the ledger."""

    @property
    def trace_id(self) -> str:
        """The id under which the ledger knows the trace, as far as a caller can tell."""
        return self.opaque or (self.traceparent or "")[3:35]


def minted_trace() -> Trace:
    """Begin a trace; the span stands for this service's part of the work."""
    return Trace(f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01")


def received_trace(traceparent: str | None, opaque: str | None) -> Trace | None:
    """Take what arrived as far as it can be taken."""
    parent = traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None
    name = opaque if opaque and _OPAQUE.fullmatch(opaque) else None
    return Trace(parent, name) if parent or name else None
