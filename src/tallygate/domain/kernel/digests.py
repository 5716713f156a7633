"""
Digests of values and files, tagged with their algorithm: `sha256:…`.

Shapes  A value is anything JSON can hold. Keys are sorted, so equal values have equal digests.
"""

from __future__ import annotations

import hashlib

import orjson


def canonical_json(value: object) -> bytes:
    """Write the one byte string that stands for a JSON value: sorted keys, no spaces, UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest_of_value(value: object) -> str:
    """Digest a JSON value by its canonical form."""
    return digest_of_bytes(canonical_json(value))


def digest_of_bytes(content: bytes) -> str:
    """Digest bytes as they are."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
