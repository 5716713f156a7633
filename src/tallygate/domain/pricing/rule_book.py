"""
A rule book: one provider's price list for one period, immutable once it is published.

Shapes  A model has rows; the axes (context length, service tier, …) say which one row counts.
        Factors (`uplifts`) are only for what the provider publishes as a factor.
Units   A price is a Decimal for a single unit of its meter, in the book's currency.
Exact   At most 6 decimals per million, so that every cost has at most 12.
Errors  NoRuleBook, NoModelRate, UnknownAxis. Nothing falls back that the file does not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final, TypeVar

from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.usage.meters import TOKENS, Meter
from tallygate.errors import NoModelRate, NoRuleBook, UnknownAxis

_K = TypeVar("_K")
_V = TypeVar("_V")

SERVICE_TIER: Final = "service_tier"
CONTEXT: Final = "context"
"""The axis that is made from the number of input tokens, not from a name."""

UPLIFTED_METERS: Final = TOKENS
"""What an uplift multiplies: the tokens, not the fees."""

BATCH: Final = "batch"
"""The word that a service tier's map must have for batches to have a price."""

AXES: Final = (SERVICE_TIER, "residency", "speed", "size", "quality")
"""The axes that a book may declare; `context` belongs to a model."""

LOCAL_AXES: Final = frozenset({"size", "quality"})
"""Axes that concern only the models whose rows name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What, beside usage and model, a price may depend on; None is "not reported"."""

    service_tier: str | None = None
    """The tier that served the call, which counts, not the one asked for."""
    requested_service_tier: str | None = None
    residency: str | None = None
    speed: str | None = None
    size: str | None = None
    quality: str | None = None
    batch: bool = False
    """Whether a batch was charged, which is a service tier of its own whatever a record says."""

    def reported(self, axis: str) -> str | None:
        """Return what was reported on an axis of this name."""
        if axis == SERVICE_TIER and self.batch:
            return BATCH
        assert axis in AXES, axis
        found: str | None = getattr(self, axis)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What the provider's words on one axis mean in this book."""

    name: str
    meanings: Mapping[str, str]
    """The provider's word to the book's value."""
    absent: str | None
    """The value when nothing was reported; None makes that an error."""

    @property
    def values(self) -> tuple[str, ...]:
        """All values that a row of this book may name."""
        found = [*self.meanings.values(), *([self.absent] if self.absent else [])]
        return tuple(dict.fromkeys(found))

    def possible(self, conditions: Conditions) -> tuple[str, ...]:
        """
        Translate what was reported; UnknownAxis on a word that the book does not know.

        Two values where only the tier that was asked for is known: it may have been given, or
        what absence means. A tier that the book does not know cannot have been bought.
        """
        word = conditions.reported(self.name)
        if word is not None:
            if word not in self.meanings:
                raise UnknownAxis(f"{self.name} {word!r} is not in the book")
            return (self.meanings[word],)
        if self.absent is None:
            raise UnknownAxis(f"{self.name} was not reported")
        if self.name == SERVICE_TIER and conditions.requested_service_tier is not None:
            asked = self.meanings.get(conditions.requested_service_tier, self.absent)
            if asked != self.absent:
                return (self.absent, asked)
        return (self.absent,)


@dataclass(frozen=True, slots=True)
class ContextStep:
    """A range of input lengths: more than `above`, at most `up_to`."""

    name: str
    above: int
    up_to: int | None

    def holds(self, input_total: int) -> bool:
        """Whether a call with so many input tokens, cached ones included, is in this range."""
        return self.above < input_total and (self.up_to is None or input_total <= self.up_to)


@dataclass(frozen=True, slots=True)
class Row:
    """Prices for some values of the axes; `sold` is false where the provider offers none."""

    when: Mapping[str, tuple[str, ...]]
    prices: Mapping[Meter, Decimal]
    sold: bool = True

    def matches(self, values: Mapping[str, str]) -> bool:
        """Whether the row is the one for these axis values."""
        return all(values[axis] in wanted for axis, wanted in self.when.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRates:
    """What one model costs."""

    names: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...] = ()
    axes: tuple[str, ...] = ()
    """The axes of the book that its price depends on."""
    context: tuple[ContextStep, ...] = ()
    rows: tuple[Row, ...]
    uplifts: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    """Axis, value, factor; a value that is not listed has no price."""

    def matches(self, model: str) -> bool:
        """Whether the provider's name means this model."""
        return model in self.names or any(p.fullmatch(model) for p in self.patterns)

    def step_of(self, input_total: int) -> str | None:
        """Name the range that so many input tokens are in; None where length makes no price."""
        for step in self.context:
            if step.holds(input_total):
                return step.name
        assert not self.context, (self.names, input_total)
        return None


UnitPrices = Mapping[Meter, Decimal]
"""What a single unit of each meter costs under conditions that are settled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleBook:
    """One price list, as `rule_book_from_data` checked it."""

    billing_rule_version: str
    provider: str
    currency: str
    effective_from_ns: int
    effective_to_ns: int | None
    """Exclusive; None until a successor closes it."""
    supersedes: str | None = None
    """The version that ends where this one begins, so that its file need not be edited."""
    digest: str
    axes: Mapping[str, Axis]
    inherit: Mapping[Meter, Meter]
    """A meter without a price of its own, and the meter whose price it takes."""
    models: tuple[ModelRates, ...]
    settled_prices: dict[object, UnitPrices] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    """What was worked out before; see rating.py."""
    _named: dict[str, ModelRates] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def covers(self, at_ns: int) -> bool:
        """Whether the book is in force at the instant: [from, to)."""
        return self.effective_from_ns <= at_ns and (
            self.effective_to_ns is None or at_ns < self.effective_to_ns
        )

    def overlaps(self, other: RuleBook) -> bool:
        """Whether both would price the same call."""
        return (
            self.provider == other.provider
            and (other.effective_to_ns is None or self.effective_from_ns < other.effective_to_ns)
            and (self.effective_to_ns is None or other.effective_from_ns < self.effective_to_ns)
        )

    def model_named(self, model: str) -> ModelRates:
        """Find the one entry for a provider's model name; NoModelRate for none or several."""
        if (known := self._named.get(model)) is not None:
            return known
        found = [entry for entry in self.models if entry.matches(model)]
        if not found:
            raise NoModelRate(f"{self.billing_rule_version} does not list the model {model!r}")
        if len(found) > 1:
            several = " and ".join(entry.names[0] for entry in found)
            raise NoModelRate(
                f"{self.billing_rule_version} lists the model {model!r} under {several}"
            )
        remember(self._named, model, found[0])
        return found[0]


_REMEMBERED: Final = 4096
"""More than any price list has; callers name models, and must not fill the memory."""


def remember(known: dict[_K, _V], key: _K, value: _V) -> None:
    """Keep what was worked out, and begin anew when it becomes too much."""
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = value


def closed_by_successors(books: Iterable[RuleBook]) -> tuple[RuleBook, ...]:
    """End each open book where the book that supersedes it begins."""
    known = tuple(books)
    ends = {
        (book.provider, book.supersedes): book.effective_from_ns
        for book in known
        if book.supersedes is not None
    }
    return tuple(
        replace(book, effective_to_ns=end)
        if book.effective_to_ns is None
        and (end := ends.get((book.provider, book.billing_rule_version))) is not None
        and end > book.effective_from_ns
        else book
        for book in known
    )


def book_in_force(books: Iterable[RuleBook], provider: str, at_ns: int) -> RuleBook:
    """Choose the book for the provider at that instant; NoRuleBook when there is none."""
    found = [book for book in books if book.provider == provider and book.covers(at_ns)]
    assert len(found) <= 1, [book.billing_rule_version for book in found]
    if not found:
        raise NoRuleBook(f"no rule book covers {provider!r} at {text_from_ns(at_ns)}")
    return found[0]
