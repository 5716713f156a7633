"""
Rate one attempt: from disjoint meters and a rule book to exact cost per meter.

Shapes  (NormalisedUsage, RuleBook, model, Conditions, instant) -> one line per meter used.
Units   Unit prices are per single unit of the meter, costs in the book's currency.
Exact   Nothing is rounded; a cost has at most 12 decimals because a price has at most 12.
Errors  NoRuleBook, NoModelRate, NoMeterRate, UnknownAxis. An unknown price is never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tallygate.domain.kernel.money import STORE_SCALE, exact_arithmetic
from tallygate.domain.pricing.rule_book import (
    CONTEXT,
    UPLIFTED_METERS,
    Conditions,
    ModelRates,
    Row,
    RuleBook,
)
from tallygate.domain.usage.meters import Meter, NormalisedUsage
from tallygate.errors import NoMeterRate, NoRuleBook, UnknownAxis


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
    values = _axis_values(book, entry, usage.counts.input_tokens, conditions)
    row = _row_for(book, entry, values)
    with exact_arithmetic():
        factor = _factor(book, entry, values)
        return tuple(
            _rated(meter, usage.meters[meter], _price(book, entry, row, meter), factor)
            for meter in Meter
            if usage.meters.get(meter, 0) != 0
        )


def total_of(lines: tuple[RatedMeter, ...]) -> Decimal:
    """Add up the lines; 0 when nothing was used."""
    with exact_arithmetic():
        return sum((line.cost for line in lines), Decimal(0))


def _axis_values(
    book: RuleBook, entry: ModelRates, input_total: int, conditions: Conditions
) -> dict[str, str]:
    values = {}
    for name, axis in book.axes.items():
        try:
            values[name] = axis.value_of(conditions)
        except UnknownAxis as error:
            raise UnknownAxis(f"{book.billing_rule_version}: {error}") from error
    if entry.context:
        steps = [step.name for step in entry.context if step.holds(input_total)]
        assert len(steps) == 1, (entry.names, input_total, steps)
        values[CONTEXT] = steps[0]
    return values


def _row_for(book: RuleBook, entry: ModelRates, values: dict[str, str]) -> Row:
    rows = [row for row in entry.rows if row.matches(values)]
    assert len(rows) == 1, (entry.names, values, rows)
    if not rows[0].sold:
        said = ", ".join(f"{axis} {values[axis]}" for axis in rows[0].when)
        raise UnknownAxis(f"{book.billing_rule_version} has no price for {entry.names[0]}: {said}")
    return rows[0]


def _factor(book: RuleBook, entry: ModelRates, values: dict[str, str]) -> Decimal:
    factor = Decimal(1)
    for axis, factors in entry.uplifts.items():
        if values[axis] not in factors:
            raise UnknownAxis(
                f"{book.billing_rule_version} has no price for {entry.names[0]}: "
                f"{axis} {values[axis]}"
            )
        factor *= factors[values[axis]]
    return factor


def _price(book: RuleBook, entry: ModelRates, row: Row, meter: Meter) -> Decimal:
    for priced in (meter, book.inherit.get(meter, meter)):
        if priced in row.prices:
            return row.prices[priced]
    raise NoMeterRate(
        f"{book.billing_rule_version} has no price for {meter.value} of {entry.names[0]}"
    )


def _rated(meter: Meter, quantity: int, price: Decimal, factor: Decimal) -> RatedMeter:
    assert quantity > 0, (meter, quantity)
    unit_price = price * factor if meter in UPLIFTED_METERS else price
    cost = unit_price * quantity
    exponent = cost.normalize().as_tuple().exponent
    assert isinstance(exponent, int), cost
    assert exponent >= -STORE_SCALE, cost
    return RatedMeter(meter=meter, quantity=quantity, unit_price=unit_price, cost=cost)
