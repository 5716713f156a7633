"""Text from files and callers, made harmless for a terminal, a log and XML."""

from __future__ import annotations

import re
from typing import Final

_NOT_PLAIN: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NOT_XML: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")


def one_line(text: str) -> str:
    """Replace what would break a line or move a terminal's cursor."""
    return _NOT_PLAIN.sub("\N{REPLACEMENT CHARACTER}", text)


def printable_text(text: str) -> str:
    """Replace control characters, which XML 1.0 cannot hold and a terminal obeys; keep lines."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
