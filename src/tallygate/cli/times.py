"""Times as people write them on the command line."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Final

import click

from tallygate.domain.kernel.instants import NS_PER_SECOND

_AGO: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_PAST: Final = "24h, 7d, 2026-11-21 or 2026-11-21T10:00:00Z"
_FUTURE: Final = "14d, 2026-12-31 or 2026-12-31T00:00:00Z"
_END_NS: Final = 2**63
"""A signed 64-bit number of nanoseconds ends in 2262."""
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def instant_of(_: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """Read a time as people write it, in UTC nanoseconds."""
    return None if text is None else instant_before(text, time.time_ns(), param)


def instant_before(text: str, now_ns: int, param: click.Parameter | None = None) -> int:
    """Read a time as people write it; `24h` and the like count back from `now_ns`."""
    if ago := _AGO.fullmatch(text):
        return _kept(text, now_ns - int(ago[1]) * _SECONDS[ago[2]] * NS_PER_SECOND, param)
    return _kept(text, _ns_of(_date_of(text, _PAST, param)), param)


def instant_ahead(_: click.Context, param: click.Parameter, text: str) -> int:
    """Read an end as people write it, whole seconds in UTC nanoseconds: 14d is from now on."""
    if ahead := _AGO.fullmatch(text):
        seconds = time.time_ns() // NS_PER_SECOND + int(ahead[1]) * _SECONDS[ahead[2]]
        return _kept(text, seconds * NS_PER_SECOND, param)
    return _kept(text, _ns_of(_date_of(text, _FUTURE, param).replace(microsecond=0)), param)


def _date_of(text: str, examples: str, param: click.Parameter | None) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no time; write {examples}.", param=param) from error


def _ns_of(at: datetime) -> int:
    whole = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(whole.replace(microsecond=0).timestamp()) * NS_PER_SECOND + at.microsecond * 1000


def _kept(text: str, at_ns: int, param: click.Parameter | None) -> int:
    """Refuse what no database of ours can hold, instead of failing there."""
    if not 0 <= at_ns < _END_NS:
        raise click.BadParameter(f"{text!r} is not between 1970 and 2261.", param=param)
    return at_ns


def days_of(_: click.Context, param: click.Parameter, text: str) -> int:
    """Read a number of whole days: 14d, 2w or 14."""
    found = re.fullmatch(r"([0-9]{1,4})([dw]?)", text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no number of days; write 14d or 2w.", param=param)
    return int(found[1]) * (7 if found[2] == "w" else 1)
