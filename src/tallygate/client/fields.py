"""
Ownership fields as they may leave a service: their names, and what a value may look like.

The limits are the gate's own, so that what passes here is read there. What a value must be (which
teams exist, what a workflow id looks like) is the organisation's contract, which only the gate has.

Errors  ValueError names the field and what is wrong, and never repeats the value.
Source  W3C Baggage; policies/contract/data.yaml for the names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

HEADER_PREFIX: Final = "x-tallygate-"
BAGGAGE: Final = "baggage"
TRACEPARENT: Final = "traceparent"
TRACE_ID: Final = "x-tallygate-trace-id"
CALL_ID: Final = "x-tallygate-call-id"

PARENT: Final = "parent_call_id"
NAMES: Final = (
    "owner_team",
    "service",
    "environment",
    "workflow_id",
    "feature",
    "initiator",
    "tenant_id_hash",
    "user_id_hash",
    PARENT,
)
"""The fields of the contract that tallygate ships; an organisation may add others."""
BAGGAGE_ALIASES: Final = {"team_id": "owner_team", "customer_id_hash": "tenant_id_hash"}
HEADER_ALIASES: Final = {"x-team-id": "owner_team", "x-customer-id-hash": "tenant_id_hash"}
"""Further names under which a value may arrive; it leaves under its own."""
BAGGAGE_NAMES: Final = frozenset({*NAMES, *BAGGAGE_ALIASES, "tenant_id", "span_id"})
"""Every member that the shipped contract reads, also the raw id that the gate hashes."""

VALUE_CHARS: Final = 128
BAGGAGE_BYTES: Final = 8192
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ANSWERS: Final = frozenset({"action", "call_id", "decision_id", "mode", "trace_id", "violations"})
"""Names in headers of the gate that are not ownership."""


def header_of(name: str) -> str:
    """Give the header that carries a field."""
    return HEADER_PREFIX + name.replace("_", "-")


def field_of(header: str) -> str | None:
    """Give the field that a header (lower case) carries; None for a header that carries none."""
    if header in HEADER_ALIASES:
        return HEADER_ALIASES[header]
    if not header.startswith(HEADER_PREFIX):
        return None
    name = header.removeprefix(HEADER_PREFIX).replace("-", "_")
    return name if _NAME.fullmatch(name) and name not in _ANSWERS else None


def checked(values: Mapping[str, object]) -> dict[str, str]:
    """Take what a caller says, without what it leaves unsaid (None)."""
    return {name: _checked(name, value) for name, value in values.items() if value is not None}


def _checked(name: str, value: object) -> str:
    if name in _ANSWERS:
        raise ValueError(
            f"{name} is no ownership field: {header_of(name)} is a header that the gate answers or "
            "that names the trace; to continue a trace, use extract()"
        )
    if _NAME.fullmatch(name) is None:
        raise ValueError(
            f"ownership field {name!r}: expected lower-case letters, digits and underscores, "
            "a letter first, at most 64 characters"
        )
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a str, not {type(value).__name__}")
    if found := problem(value):
        raise ValueError(f"{name}: {found}")
    return str(value)


def problem(value: str) -> str | None:
    """Say what is wrong with a value, without repeating it; None if the gate would read it."""
    if not value:
        return "is empty; leave the field out, or pass None, where there is nothing to say"
    if len(value) > VALUE_CHARS:
        return f"has {len(value)} characters; the gate reads at most {VALUE_CHARS}"
    if "@" in value or "%40" in value:
        return (
            "has an @, as an e-mail address has; send an id or a hash, never personal data "
            "(docs/policies.md)"
        )
    at = next((index for index, char in enumerate(value) if not "!" <= char <= "~"), None)
    if at is None:
        return None
    kind = "a blank" if value[at] == " " else f"U+{ord(value[at]):04X}"
    return f"has {kind} at position {at}; an id is printable ASCII without blanks"
