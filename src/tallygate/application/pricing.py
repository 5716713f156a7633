"""
What an event cost: from the facts that the gate saw to a price, or the reason why there is none.

Shapes  `price_of(event, books)` is pure; it runs in the drain, off the request path.
Errors  None for what an event may contain: a PricingError becomes `unpriced` with its code.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from tallygate.application.ports import RuleBooks
from tallygate.domain.kernel.money import e12_from_amount
from tallygate.domain.ledger.events import (
    NOT_SENT,
    AttemptFacts,
    ChargeLine,
    Event,
    EventKind,
    Outcome,
    Price,
    PriceStatus,
    Status,
)
from tallygate.domain.pricing.rating import RatedMeter, rate, total_of
from tallygate.domain.pricing.rule_book import Conditions, RuleBook
from tallygate.domain.usage.meters import Meter, NormalisedUsage
from tallygate.domain.usage.normalisers import COUNTED_FORMAT, normalise
from tallygate.domain.usage.operations import BATCH, FREE_OPERATIONS, USAGE_APART
from tallygate.errors import PricingError, UsageMissing, UsageUnreadable

_NO_ANSWER: Final = frozenset(
    {
        "APIConnectionError",
        "APITimeoutError",
        "ConnectError",
        "ConnectTimeout",
        "MidStreamFallbackError",
        "ReadError",
        "ReadTimeout",
        "RemoteProtocolError",
        "Timeout",
    }
)
"""Exceptions after which nobody knows what the provider did, whatever status they carry."""

_MAY_BE_BILLED: Final = frozenset({408, 504, 524})
"""Statuses of a provider, or of something before it, that gave up while the model worked."""

_TIER_KEYS: Final = ("service_tier", "serviceTier", "trafficType")
"""OpenAI's and Anthropic's name, and Google's two."""

DECLARED: Final = "declared"
"""Usage format of a request whose price the proxy's config states (`cost_per_request`)."""
DECLARED_RULE: Final = "litellm-config/cost_per_request"
"""Billing rule of such a request: no rule book of ours, so it has no digest either."""

_STORABLE: Final = Decimal(9_000_000)
"""Dollars that one entry can hold: 64 bits of 10**-12."""


_COSTLESS: Final = (EventKind.REFUSAL, EventKind.ACTIVATION)
"""Kinds of lines that stand for no provider call."""
_FREE: Final = Price(status=PriceStatus.NOT_BILLED, cost=Decimal(0))


def price_of(event: Event, books: RuleBooks) -> Price:
    """Price what has an outcome; what is not known stays unknown and is never 0."""
    outcome = event.outcome
    if event.kind in _COSTLESS or (outcome and outcome.status is Status.REFUSED):
        return _FREE
    if event.attempt is None or outcome is None:
        return _unpriced(UsageMissing("the event has no outcome"))
    if event.attempt.operation in FREE_OPERATIONS or outcome.detail == USAGE_APART:
        return _FREE

    if outcome.usage_format == DECLARED and outcome.usage:
        price = _declared(outcome.usage)
    else:
        price = _price(event.attempt, outcome, event.occurred_at_ns, books)
    if outcome.status is Status.CACHE_HIT:
        return Price(
            status=PriceStatus.NOT_BILLED,
            cost=Decimal(0),
            currency=price.currency,
            usage=price.usage,
            avoided_cost=price.cost,
            billing_rule_version=price.billing_rule_version,
            billing_rule_digest=price.billing_rule_digest,
        )
    if price.unpriced_reason == UsageMissing.code and _answered_with_an_error(outcome):
        return _FREE
    return price


def _declared(usage: Mapping[str, Any]) -> Price:
    """Take the price per request that the proxy's own config gives a pass-through endpoint."""
    try:
        unit_price = Decimal(str(usage["unit_price"]))
        requests = int(usage["requests"])
        cost = unit_price * requests
        if not 0 <= cost <= _STORABLE:
            return _unpriced(UsageUnreadable("the declared price cannot be booked"))
        e12_from_amount(cost)  # raises where the ledger's twelve places do not hold it
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return _unpriced(UsageUnreadable("the declared price cannot be read"))
    line = ChargeLine(meter=Meter.REQUESTS, quantity=requests, unit_price=unit_price, cost=cost)
    return Price(
        status=PriceStatus.PRICED,
        cost=cost,
        lines=(line,),
        billing_rule_version=DECLARED_RULE,
    )


def _answered_with_an_error(outcome: Outcome) -> bool:
    """Tell what no provider bills: its own error status, or nothing that was ever sent."""
    if outcome.detail == NOT_SENT:
        return True
    return (
        outcome.status is Status.ERROR
        and outcome.http_status is not None
        and outcome.http_status >= 400
        and outcome.http_status not in _MAY_BE_BILLED
        and outcome.error_type not in _NO_ANSWER
    )


def _price(attempt: AttemptFacts, outcome: Outcome, at_ns: int, books: RuleBooks) -> Price:
    usage: NormalisedUsage | None = None
    book: RuleBook | None = None
    try:
        usage = normalise(attempt.provider, outcome.usage_format, outcome.usage)
        book = books.in_force(attempt.provider, at_ns)
        model = _model(attempt, outcome)
        lines = rate(usage, book, model, _conditions(attempt, outcome), at_ns)
        cost = total_of(lines)
        if cost > _STORABLE:
            raise UsageUnreadable(f"one attempt cannot cost more than {_STORABLE} dollars")
    except PricingError as error:
        return _unpriced(error, usage, book)
    return Price(
        status=PriceStatus.PRICED,
        cost=cost,
        currency=book.currency,
        lines=tuple([_charge(line) for line in lines]),
        usage=usage,
        billing_rule_version=book.billing_rule_version,
        billing_rule_digest=book.digest,
    )


def _model(attempt: AttemptFacts, outcome: Outcome) -> str:
    """Return the model that answered; the one asked for only when the answer names none."""
    model = outcome.response_model or attempt.request_model
    return model.removeprefix(f"{attempt.provider}/")


def _conditions(attempt: AttemptFacts, outcome: Outcome) -> Conditions:
    usage = outcome.usage or {}
    counted = outcome.usage_format == COUNTED_FORMAT
    return _conditions_of(
        outcome.service_tier or _word(usage, *_TIER_KEYS),
        attempt.request_service_tier,
        _word(usage, "inference_geo") or attempt.region,
        _word(usage, "speed"),
        _word(usage, "size") if counted else None,
        _word(usage, "quality") if counted else None,
        attempt.operation == BATCH,
    )


@lru_cache(maxsize=1024)  # the same few again and again, and equal ones are then the same object
def _conditions_of(
    service_tier: str | None,
    requested_service_tier: str | None,
    residency: str | None,
    speed: str | None,
    size: str | None,
    quality: str | None,
    batch: bool,  # noqa: FBT001 - lru_cache is faster by place
) -> Conditions:
    return Conditions(
        service_tier=service_tier,
        requested_service_tier=requested_service_tier,
        residency=residency,
        speed=speed,
        size=size,
        quality=quality,
        batch=batch,
    )


def _word(usage: Mapping[str, Any], *keys: str) -> str | None:
    for key in keys:
        value = usage.get(key)
        if isinstance(value, str):
            return value
    return None


def _charge(line: RatedMeter) -> ChargeLine:
    return ChargeLine(
        meter=line.meter, quantity=line.quantity, unit_price=line.unit_price, cost=line.cost
    )


def _unpriced(
    error: PricingError, usage: NormalisedUsage | None = None, book: RuleBook | None = None
) -> Price:
    return Price(
        status=PriceStatus.UNPRICED,
        cost=None,
        unpriced_reason=error.code,
        usage=usage,
        billing_rule_version=book.billing_rule_version if book else None,
        billing_rule_digest=book.digest if book else None,
    )
