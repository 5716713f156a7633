"""
Instants: whole nanoseconds since the epoch, UTC, and the one text form that policies use.

Shapes  `YYYY-MM-DDTHH:MM:SSZ`, fixed width, so that text order is time order in every engine.
Errors  ValueError on any other text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

NS_PER_SECOND: Final = 1_000_000_000
NS_PER_DAY: Final = 86_400 * NS_PER_SECOND
INSTANT_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"


def text_from_ns(at_ns: int) -> str:
    """Return the instant as policy text; the part below a second is cut off."""
    at = datetime.fromtimestamp(at_ns // NS_PER_SECOND, tz=UTC)
    return at.strftime(INSTANT_FORMAT)


def ns_from_text(text: str) -> int:
    """Read policy text; a date that does not exist, or any other form, is a ValueError."""
    if len(text) != 20:
        raise ValueError(f"{text!r} is not of the form YYYY-MM-DDTHH:MM:SSZ")
    at = datetime.strptime(text, INSTANT_FORMAT).replace(tzinfo=UTC)
    if at.strftime(INSTANT_FORMAT) != text:  # lower case, digits of other scripts
        raise ValueError(f"{text!r} is not of the form YYYY-MM-DDTHH:MM:SSZ")
    return int(at.timestamp()) * NS_PER_SECOND


def iso_from_ns(at_ns: int) -> str:
    """Return the instant for people and exports, with microseconds: 2026-11-21T10:00:00.000123Z."""
    seconds, rest_ns = divmod(at_ns, NS_PER_SECOND)
    at = datetime.fromtimestamp(seconds, tz=UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06d}Z"


def period_of(at_ns: int) -> str:
    """Return the calendar month in UTC, as `2026-11`."""
    return text_from_ns(at_ns)[:7]
