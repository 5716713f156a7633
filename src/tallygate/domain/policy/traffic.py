"""
What a service's traffic says about it: calls and dollars, and how many of them lack what.

Shapes  `Figures` add up: of groups to a service, of services to an owner.
Units   Calls, once each however often they were tried; money as Decimal.
Exact   Shares are a part and a whole, and are compared without rounding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

MISSING: Final = "ownership_missing"
VOCABULARY: Final = ("ownership_unknown", "ownership_retired")
UNDECIDED: Final = ("decision_unavailable", "")
"""In the place of code and field of a call that was not decided, so that nothing was found."""

Fault = tuple[str, str]
"""A violation's code and field."""


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole."""

    part: int | Decimal
    whole: int | Decimal

    @property
    def is_known(self) -> bool:
        """Whether there is anything that it is a share of."""
        return self.whole > 0

    def at_most(self, percent: Decimal) -> bool:
        return self.part * 100 <= percent * self.whole

    def at_least(self, percent: Decimal) -> bool:
        return self.part * 100 >= percent * self.whole

    def percent(self, places: int = 6) -> Decimal | None:
        """Round to so many places; None where there is nothing to divide by."""
        if not self.is_known:
            return None
        exact = Decimal(self.part) * 100 / Decimal(self.whole)
        return exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)

    def text(self, beside: Decimal | None = None) -> str:
        """Write it with one place, or as many as tell it from the figure it stands beside."""
        if not self.is_known:
            return "-"
        for places in range(1, 7):
            shown = self.percent(places)
            if shown != beside or self.part * 100 == (beside or 0) * self.whole:
                return f"{shown} %"
        return f"{self.percent()} %"


@dataclass(slots=True, kw_only=True)
class Amount:
    """Calls, what they cost, and the events among them whose cost is not known."""

    calls: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0

    def add(self, other: Amount) -> None:
        self.calls += other.calls
        self.cost += other.cost
        self.unpriced += other.unpriced


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Calls that are alike in all that counts here, as the ledger adds them up."""

    service: str | None
    environment: str | None
    owner_team: str | None
    principal_team: str | None
    principal_key: str | None
    mode: str
    action: str
    would_action: str
    is_decided: bool
    """False where no decision could be had."""
    violations: tuple[Fault, ...]
    waived: tuple[Fault, ...]
    amount: Amount
    """Refused calls and those that were tried, together."""
    refused: int
    """Calls of it that went to no provider."""
    billable: int
    """Calls of it with an attempt that reached a provider and may be billed."""
    unreported: int
    """Those of them with such an attempt whose usage no provider reported."""


@dataclass(slots=True, kw_only=True)
class Figures:
    """Sums over groups."""

    total: Amount = field(default_factory=Amount)
    refused: int = 0
    undecided: int = 0
    missing: int = 0
    missing_waived: int = 0
    """Calls whose missing fields are all excused; they are among the missing."""
    missing_by_field: Counter[str] = field(default_factory=Counter)
    vocabulary: int = 0
    vocabulary_by_field: Counter[str] = field(default_factory=Counter)
    leaked: int = 0
    billable: int = 0
    unreported: int = 0
    unattributed: Amount = field(default_factory=Amount)
    would_refuse: Amount = field(default_factory=Amount)
    """Calls that passed and that enforce would have refused."""
    would_quarantine: Amount = field(default_factory=Amount)
    would_refuse_by_fault: dict[Fault, Amount] = field(default_factory=dict)
    would_refuse_by_payer: dict[str | None, Amount] = field(default_factory=dict)

    @property
    def checked(self) -> int:
        """Calls that the policy decided: what rates of violations are shares of."""
        return self.total.calls - self.undecided

    @property
    def missing_rate(self) -> Share:
        return Share(self.missing, self.checked)

    @property
    def vocabulary_rate(self) -> Share:
        return Share(self.vocabulary, self.checked)

    @property
    def leakage(self) -> Share:
        return Share(self.leaked, self.checked)

    @property
    def token_coverage(self) -> Share:
        return Share(self.billable - self.unreported, self.billable)

    @property
    def unattributed_calls(self) -> Share:
        """Of the calls that passed: a refused one is nobody's spend."""
        return Share(self.unattributed.calls, self.total.calls - self.refused)

    @property
    def unattributed_cost(self) -> Share:
        return Share(self.unattributed.cost, self.total.cost)

    def missing_rate_of(self, name: str) -> Share:
        return Share(self.missing_by_field[name], self.checked)

    def add_group(self, group: Group, *, leaked: bool, unattributed: bool) -> None:
        """Count one group of the ledger."""
        calls = group.amount.calls
        self.total.add(group.amount)
        self.refused += group.refused
        self.billable += group.billable
        self.unreported += group.unreported
        if group.is_decided:
            self._add_faults(group, calls)
            self.leaked += calls if leaked else 0
        else:
            self.undecided += calls
        passed = Amount(
            calls=calls - group.refused, cost=group.amount.cost, unpriced=group.amount.unpriced
        )
        if unattributed:
            self.unattributed.add(passed)
        if group.action == "admit" and group.would_action != "admit":
            self._add_would_be(group, passed)

    def add(self, other: Figures) -> None:
        """Count all of the other's."""
        for mine, theirs in (
            (self.total, other.total),
            (self.unattributed, other.unattributed),
            (self.would_refuse, other.would_refuse),
            (self.would_quarantine, other.would_quarantine),
        ):
            mine.add(theirs)
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.missing_by_field.update(other.missing_by_field)
        self.vocabulary_by_field.update(other.vocabulary_by_field)
        for fault, amount in other.would_refuse_by_fault.items():
            self.would_refuse_by_fault.setdefault(fault, Amount()).add(amount)
        for payer, amount in other.would_refuse_by_payer.items():
            self.would_refuse_by_payer.setdefault(payer, Amount()).add(amount)

    def _add_faults(self, group: Group, calls: int) -> None:
        found = {*group.violations, *group.waived}  # what is waived is still missing
        missing = sorted({name for code, name in found if code == MISSING})
        vocabulary = sorted({name for code, name in found if code in VOCABULARY})
        if missing:
            self.missing += calls
            open_ones = {name for code, name in group.violations if code == MISSING}
            self.missing_waived += 0 if open_ones else calls
        self.missing_by_field.update(dict.fromkeys(missing, calls))
        self.vocabulary += calls if vocabulary else 0
        self.vocabulary_by_field.update(dict.fromkeys(vocabulary, calls))

    def _add_would_be(self, group: Group, passed: Amount) -> None:
        if group.would_action == "quarantine":
            self.would_quarantine.add(passed)
            return
        self.would_refuse.add(passed)
        for fault in sorted({*group.violations}) or [UNDECIDED]:
            self.would_refuse_by_fault.setdefault(fault, Amount()).add(passed)
        self.would_refuse_by_payer.setdefault(group.owner_team, Amount()).add(passed)


_COUNTS: Final = (
    "refused",
    "undecided",
    "missing",
    "missing_waived",
    "vocabulary",
    "leaked",
    "billable",
    "unreported",
)


def summed(parts: Mapping[str, Figures]) -> Figures:
    """Add up the figures of all."""
    whole = Figures()
    for figures in parts.values():
        whole.add(figures)
    return whole
