"""
What the list of overrides needs from the ledger.

Each port has one contract suite in tests/contract, which every adapter and its fake must pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from tallygate.domain.ledger.events import ActivationFacts
from tallygate.domain.policy.decision import Waived


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcusedCalls:
    """Calls that passed and are alike in what excused them."""

    waived: tuple[Waived, ...]
    service: str | None
    workflow_id: str | None
    mode: str
    calls: int
    cost: Decimal
    unpriced: int
    """Lines whose cost is not known; they are in no sum."""
    last_ns: int
    """When the last of them began."""

    @property
    def overrides(self) -> frozenset[str]:
        return frozenset(each.override for each in self.waived)


class OverrideUse(Protocol):
    """What overrides have excused, added up, and who activated which. Times are half open."""

    def excused(self, since_ns: int, until_ns: int) -> Sequence[ExcusedCalls]:
        """Add up the calls that began then and passed with something waived."""
        ...

    def activations(self, since_ns: int) -> Sequence[ActivationFacts]:
        """Return what was activated or ended since then, in the order in which it happened."""
        ...
