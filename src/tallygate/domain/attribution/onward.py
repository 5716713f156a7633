"""
What of a request goes on to LiteLLM and to providers: everything but raw identifiers.

The contract names the headers, baggage members and metadata keys under which a service may send an
identifier that the gate hashes. The hash goes into the ledger; the raw value goes no further.

Shapes  Headers as ASGI has them; metadata is changed in place, because LiteLLM holds it.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

from tallygate.domain.attribution.contract import Contract

_BAGGAGE = b"baggage"

Headers = Sequence[tuple[bytes, bytes]]


def headers_onward(headers: Headers, contract: Contract) -> Headers:
    """Return the headers without raw values; the same object where there are none."""
    raw_headers, raw_members = contract.raw_headers, contract.raw_baggage
    if not any(name in raw_headers or name == _BAGGAGE for name, _ in headers):
        return headers
    kept = []
    for name, value in headers:
        if name in raw_headers:
            continue
        if name == _BAGGAGE and raw_members:
            value = _baggage_onward(value, raw_members)  # noqa: PLW2901 - the header goes on, shorter
            if not value:
                continue
        kept.append((name, value))
    return kept


def strip_metadata(metadata: MutableMapping[Any, Any], contract: Contract) -> None:
    """Take raw values out of a `metadata` object."""
    for name in contract.raw_metadata:
        metadata.pop(name, None)


def _baggage_onward(value: bytes, raw_members: frozenset[str]) -> bytes:
    """
    Leave out raw members, and those that are no baggage: the standard has ASCII only.

    LiteLLM looks at the first line of a name; where that one goes, it must not stumble over the
    next.
    """
    members = value.split(b",")
    return b",".join(m for m in members if m.isascii() and _key_of(m) not in raw_members)


def _key_of(member: bytes) -> str:
    return member.partition(b"=")[0].strip().decode("latin-1")
