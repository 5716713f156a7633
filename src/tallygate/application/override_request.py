"""
A new override, as it will stand in the file that a pull request changes.

Shapes  The request becomes one entry under its service; policy check says afterwards whether the
        file may be so.
Exact   It starts at the second of the request. Its approver is who is to approve it: the merge of
        the pull request is the approval, and the file says only which role that must be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tallygate.application.policy_review import mapping_of
from tallygate.domain.kernel.instants import text_from_ns

_NUMBERED: Final = re.compile(r"ovr-(?P<year>[0-9]{4})-(?P<number>[0-9]{4,})")


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRequest:
    """What somebody asks to be excused from."""

    service: str
    codes: tuple[str, ...]
    fields: tuple[str, ...]
    environments: tuple[str, ...]
    """Empty is all."""
    expires_ns: int
    requested_by: str
    approved_by: str
    reason: str
    ticket: str
    override_id: str | None = None
    """None takes the next number of the year."""


def entry_of(request: OverrideRequest, now_ns: int) -> dict[str, Any]:
    """Return the entry, its keys in the order in which people read them."""
    entry: dict[str, Any] = {"codes": list(request.codes), "fields": list(request.fields)}
    if request.environments:
        entry["environments"] = list(request.environments)
    return {
        **entry,
        "starts_at": text_from_ns(now_ns),
        "expires_at": text_from_ns(request.expires_ns),
        "requested_by": request.requested_by,
        "approved_by": request.approved_by,
        "reason": request.reason,
        "ticket": request.ticket,
    }


def next_id(overrides: Mapping[str, Any], now_ns: int) -> str:
    """Return the id after the greatest one of this year, of whichever service."""
    year = text_from_ns(now_ns)[:4]
    names = [name for entries in overrides.values() for name in mapping_of(entries)]
    found = [_NUMBERED.fullmatch(name) for name in names]
    taken = [int(each["number"]) for each in found if each is not None and each["year"] == year]
    return f"ovr-{year}-{max(taken, default=0) + 1:04}"
