"""
From when until when overrides hold, as the gate needs it to say how many days are left.

Shapes  Read from `data.overrides`; whom an override excuses from what is decided in Rego alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tallygate.domain.kernel.instants import ns_from_text


@dataclass(frozen=True, slots=True)
class OverrideTerm:
    """One override of one service, or an activation of break-glass for it."""

    override_id: str
    service: str
    starts_ns: int
    expires_ns: int

    def left_ns(self, at_ns: int) -> int | None:
        """How long it still holds, 0 once it has ended; None before it begins."""
        return max(self.expires_ns - at_ns, 0) if self.starts_ns <= at_ns else None


def terms_from_data(data: Mapping[str, Any]) -> tuple[OverrideTerm, ...]:
    """Read the terms of all overrides; one whose dates cannot be read has none."""
    found = []
    for service, entries in data.get("overrides", {}).items():
        for name, entry in entries.items():
            try:
                starts_ns = ns_from_text(entry["starts_at"])
                expires_ns = ns_from_text(entry["expires_at"])
            except ValueError:
                continue  # policy check refuses it, and the policy excuses nothing by it
            found.append(OverrideTerm(name, service, starts_ns, expires_ns))
    return tuple(found)
