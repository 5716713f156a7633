"""
Identifiers that sort by time: UUID version 7, as text.

Source  RFC 9562, section 5.7; the 12 bits after the milliseconds hold the fraction of one
        (section 6.2, method 3), so that ids of one process keep their order within it.
"""

from __future__ import annotations

import hashlib
import uuid

_NS_PER_MS = 1_000_000


def uuid7(at_ns: int, entropy: bytes) -> str:
    """Make an id from the clock and 8 random bytes, both handed in by the caller."""
    assert len(entropy) == 8, len(entropy)

    milliseconds, below_ns = divmod(at_ns, _NS_PER_MS)
    fraction = (below_ns << 12) // _NS_PER_MS
    random_bits = int.from_bytes(entropy) & ((1 << 62) - 1)
    value = (milliseconds & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76
    value |= fraction << 64
    value |= 0b10 << 62
    value |= random_bits
    return str(uuid.UUID(int=value))


def uuid7_named(at_ns: int, name: str) -> str:
    """Make the one id that a name has at an instant, the same whoever makes it."""
    return uuid7(at_ns, hashlib.sha256(name.encode()).digest()[:8])


def ns_of_uuid7(text: str) -> int:
    """Return the instant that a UUIDv7 carries, to the millisecond."""
    return (uuid.UUID(text).int >> 80) * _NS_PER_MS
