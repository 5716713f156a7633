"""
Rate one attempt: from disjoint meters and a rule book to exact cost per meter.

Shapes  (NormalisedUsage, RuleBook, model, Conditions, instant) -> one line per meter used.
Units   Unit prices are per single unit of the meter, costs in the book's currency.
Exact   Nothing is rounded; a cost has at most 12 decimals because a price has at most 12.
Errors  NoRuleBook, NoModelRate, NoMeterRate, UnknownAxis. An unknown price is never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, getcontext
from typing import Final

from tallygate.domain.kernel.money import STORE_SCALE, exact_arithmetic
from tallygate.domain.pricing.rule_book import (
    CONTEXT,
    SERVICE_TIER,
    UPLIFTED_METERS,
    Conditions,
    ModelRates,
    Row,
    RuleBook,
    UnitPrices,
    remember,
)
from tallygate.domain.usage.meters import Meter, NormalisedUsage
from tallygate.errors import NoMeterRate, NoRuleBook, UnknownAxis

with exact_arithmetic():
    # The same arithmetic as a context to call, where entering it for each event costs too much.
    _EXACT: Final = getcontext().copy()
_NOTHING: Final = Decimal(0)
_ORDER: Final = {meter: i for i, meter in enumerate(Meter)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedMeter:
    """What one meter of one attempt costs at list price."""

    meter: Meter
    quantity: int
    unit_price: Decimal
    cost: Decimal


def rate(
    usage: NormalisedUsage, book: RuleBook, model: str, conditions: Conditions, at_ns: int
) -> tuple[RatedMeter, ...]:
    """Price what was used, in the order of Meter; a meter with quantity 0 needs no price."""
    if not book.covers(at_ns):
        raise NoRuleBook(f"{book.billing_rule_version} is not in force at that instant")
    entry = book.model_named(model)
    prices = _settled_prices(book, entry, _step(book, entry, usage), conditions)
    lines = []
    for meter in sorted(usage.meters, key=_ORDER.__getitem__):
        quantity = usage.meters[meter]
        if quantity == 0:
            continue
        assert quantity > 0, (meter, quantity)
        price = prices.get(meter)
        if price is None:
            raise NoMeterRate(
                f"{book.billing_rule_version} has no price for {meter.value} of {entry.names[0]}"
            )
        cost = _EXACT.multiply(price, quantity)
        lines.append(RatedMeter(meter=meter, quantity=quantity, unit_price=price, cost=cost))
    return tuple(lines)


def total_of(lines: tuple[RatedMeter, ...]) -> Decimal:
    """Add up the lines; 0 when nothing was used."""
    total = _NOTHING
    for line in lines:
        total = _EXACT.add(total, line.cost)
    return total


def _step(book: RuleBook, entry: ModelRates, usage: NormalisedUsage) -> str | None:
    if usage.span is not None:
        shortest, longest = map(entry.step_of, usage.span)
        if shortest == longest:
            return longest
    step = entry.step_of(usage.counts.input_tokens)
    if usage.summed and entry.context and step != entry.context[0].name:
        raise UnknownAxis(
            f"{book.billing_rule_version} prices {entry.names[0]} by the length of a call, and "
            "only the sum over several is known"
        )
    return step


def _settled_prices(
    book: RuleBook, entry: ModelRates, step: str | None, conditions: Conditions
) -> UnitPrices:
    """Work out the prices of single units, once for each model, step and conditions."""
    key = (entry.names[0], step, conditions)
    if (known := book.settled_prices.get(key)) is not None:
        return known
    if conditions.batch and SERVICE_TIER not in entry.axes:
        raise UnknownAxis(f"{book.billing_rule_version} has no batch prices")
    values: dict[str, str] = {} if step is None else {CONTEXT: step}
    tiers: tuple[str, ...] = ()
    for name in entry.axes:
        try:
            possible = book.axes[name].possible(conditions)
        except UnknownAxis as error:
            raise UnknownAxis(f"{book.billing_rule_version}: {error}") from error
        values[name] = possible[0]
        tiers = possible if name == SERVICE_TIER else tiers
    prices = _unit_prices(book, entry, values)
    for tier in tiers[1:]:
        other = _if_sold(book, entry, values | {SERVICE_TIER: tier})
        if other is not None and other != prices:
            raise UnknownAxis(
                f"{book.billing_rule_version}: {SERVICE_TIER} "
                f"{conditions.requested_service_tier!r} was asked for, and which one served the "
                "call was not reported"
            )
    remember(book.settled_prices, key, prices)
    return prices


def _if_sold(book: RuleBook, entry: ModelRates, values: Mapping[str, str]) -> UnitPrices | None:
    try:
        return _unit_prices(book, entry, values)
    except UnknownAxis:
        return None


def _unit_prices(book: RuleBook, entry: ModelRates, values: Mapping[str, str]) -> UnitPrices:
    row = _row_for(book, entry, values)
    with exact_arithmetic():
        factor = _factor(book, entry, values)
        prices = {
            meter: price * factor if meter in UPLIFTED_METERS else price
            for meter, price in row.prices.items()
        }
        for meter, other in book.inherit.items():
            if meter not in prices and other in prices:
                prices[meter] = prices[other]
    for meter, price in prices.items():
        exponent = price.normalize().as_tuple().exponent
        assert isinstance(exponent, int), (meter, price)
        assert exponent >= -STORE_SCALE, (meter, price)
    return prices


def _row_for(book: RuleBook, entry: ModelRates, values: Mapping[str, str]) -> Row:
    rows = [row for row in entry.rows if row.matches(values)]
    assert len(rows) == 1, (entry.names, values, rows)
    if not rows[0].sold:
        said = ", ".join(f"{axis} {values[axis]}" for axis in rows[0].when)
        raise UnknownAxis(f"{book.billing_rule_version} has no price for {entry.names[0]}: {said}")
    return rows[0]


def _factor(book: RuleBook, entry: ModelRates, values: Mapping[str, str]) -> Decimal:
    factor = Decimal(1)
    for axis, factors in entry.uplifts.items():
        if values[axis] not in factors:
            raise UnknownAxis(
                f"{book.billing_rule_version} has no price for {entry.names[0]}: "
                f"{axis} {values[axis]}"
            )
        factor *= factors[values[axis]]
    return factor
