"""
An entry as one flat row, and a row as people read it.

Shapes  Fact columns are the event's, price columns are the books'; the rest the store assigns.
        Mappings and tuples are JSON text with sorted keys.
Exact   `payload_digest` covers the facts and not the price, because the same facts may come
        again after a rule book was added; null facts are left out, so that a new nullable
        column does not change old digests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, Final

import orjson

from tallygate.adapters.stores.tables import JSON_COLUMNS
from tallygate.domain.kernel.digests import canonical_json, digest_of_bytes, digest_of_value
from tallygate.domain.kernel.money import amount_from_e12, e12_from_amount, text_from_amount
from tallygate.domain.ledger.encoding import activation_object
from tallygate.domain.ledger.events import (
    ChargeLine,
    Event,
    EventKind,
    Price,
    Status,
    UsageSource,
)
from tallygate.domain.usage.meters import NormalisedUsage

Row = dict[str, Any]
Cells = tuple[Any, ...]
"""What stands under FACT_NAMES or PRICE_NAMES, in their order."""

# Columns that are named as the fields that they hold; read in one go, which on every entry counts.
_EVENT: Final = ("event_id", "corrects_event_id", "call_count", "writer_id")
_CALL: Final = (
    "call_id",
    "trace_id",
    "trace_source",
    "span_id",
    "parent_call_id",
    "client_retry_count",
    "retry_of_call_id",
    "route",
    "call_type",
    "principal_team",
    "principal_key_hash",
    "principal_org",
    "principal_bound",
)
_OWNER: Final = (
    "owner_team",
    "claimed_owner_team",
    "service",
    "environment",
    "workflow_id",
    "feature",
    "initiator",
    "cost_center",
    "business_unit",
)
_DECISION: Final = (
    "decision_id",
    "action",
    "would_action",
    "mode",
    "mode_source",
    "policy_revision",
    "input_digest",
    "call_bucket",
)
_ATTEMPT: Final = (
    "parent_event_id",
    "retry_of_event_id",
    "operation",
    "provider",
    "request_model",
    "model_group",
    "deployment_id",
    "region",
    "stream",
    "request_service_tier",
)
_OUTCOME: Final = (
    "settled_at_ns",
    "http_status",
    "error_type",
    "latency_us",
    "time_to_first_token_us",
    "response_model",
    "provider_request_id",
    "response_id",
    "service_tier",
    "cache_policy",
    "usage_format",
    "litellm_cost",
    "detail",
)
_COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "reasoning_output_tokens",
)

_of_event: Final = attrgetter(*_EVENT, "schema_version")
_of_call: Final = attrgetter(*_CALL, "started_at_ns")
_of_owner: Final = attrgetter(*_OWNER)
_of_decision: Final = attrgetter(*_DECISION, "status", "latency_us")
_of_attempt: Final = attrgetter(*_ATTEMPT, "number", "opened_at_ns")
_of_outcome: Final = attrgetter(*_OUTCOME)
_of_counts: Final = attrgetter(*_COUNTS)

FACT_NAMES: Final = (
    *(*_EVENT, "event_schema"),
    *(*_CALL, "call_started_at_ns"),
    *_OWNER,
    *(*_DECISION, "decision_status", "decision_latency_us"),
    *(*_ATTEMPT, "attempt_number", "occurred_at_ns"),
    *_OUTCOME,
    *("kind", "status", "usage_source", "usage"),
    *("tenant_ref", "user_ref", "extra", "sources", "violations", "waived", "notices"),
    "activation",
)
PRICE_NAMES: Final = (
    *("price_status", "unpriced_reason", "currency", "cost_e12", "avoided_cost_e12"),
    *("billing_rule_version", "billing_rule_digest", "normaliser"),
    *_COUNTS,
    *("meters", "charge_lines"),
)
_SORTED: Final = tuple(sorted(FACT_NAMES))
_in_sorted_order: Final = itemgetter(*map(FACT_NAMES.index, _SORTED))

_text: Final = attrgetter("_value_")
"""What `value` of an enum member is, without its two calls into Python."""

_NO_ATTEMPT: Final = (None,) * (len(_ATTEMPT) + 1)
_NO_OUTCOME: Final = (None,) * len(_OUTCOME)
_NO_COUNTS: Final = (None,) * len(_COUNTS)


def facts_of(event: Event, tenant_ref: str | None, user_ref: str | None) -> Row:
    """Flatten what the gate saw, with surrogates in place of the two hashes."""
    return dict(zip(FACT_NAMES, fact_cells(event, tenant_ref, user_ref), strict=True))


def fact_cells(event: Event, tenant_ref: str | None, user_ref: str | None) -> Cells:
    """Do what `facts_of` does, without the names."""
    call, owner, decision = event.call, event.ownership, event.decision
    attempt = event.attempt
    return (
        *_of_event(event),
        *_of_call(call),
        *_of_owner(owner),
        *_of_decision(decision),
        *((*_NO_ATTEMPT, call.started_at_ns) if attempt is None else _of_attempt(attempt)),
        *_outcome_cells(event),
        tenant_ref,
        user_ref,
        _json(dict(owner.extra)) if owner.extra else "{}",
        _json(dict(owner.sources)) if owner.sources else "{}",
        _json_list(decision.violations) if decision.violations else "[]",
        _json_list(decision.waived) if decision.waived else "[]",
        _json_list(decision.notices) if decision.notices else "[]",
        None if event.activation is None else _json(activation_object(event.activation)),
    )


def _outcome_cells(event: Event) -> Cells:
    outcome = event.outcome
    if outcome is None:
        status = Status.REFUSED if event.kind is EventKind.REFUSAL else Status.UNKNOWN
        ended = (status.value, UsageSource.NONE.value, None)
        return (*_NO_OUTCOME, _text(event.kind), *ended)
    return (
        *_of_outcome(outcome),
        _text(event.kind),
        _text(outcome.status),
        _text(outcome.usage_source),
        None if outcome.usage is None else _json(dict(outcome.usage)),
    )


def digest_of_facts(facts: Mapping[str, Any]) -> str:
    """Digest facts as `facts_of` gives them, or as they stand in a stored row."""
    return digest_of_value({name: value for name, value in facts.items() if value is not None})


def digest_of_cells(cells: Cells) -> str:
    """Digest facts as `fact_cells` gives them; put in order here, nothing is left to be sorted."""
    ordered = zip(_SORTED, _in_sorted_order(cells), strict=True)
    return digest_of_bytes(
        orjson.dumps({name: value for name, value in ordered if value is not None})
    )


def price_columns(price: Price) -> Row:
    """Flatten what the books added."""
    return dict(zip(PRICE_NAMES, price_cells(price), strict=True))


def price_cells(price: Price) -> Cells:
    """Do what `price_columns` does, without the names."""
    usage, cost, avoided = price.usage, price.cost, price.avoided_cost
    return (
        _text(price.status),
        price.unpriced_reason,
        price.currency,
        None if cost is None else e12_from_amount(cost),
        None if avoided is None else e12_from_amount(avoided),
        price.billing_rule_version,
        price.billing_rule_digest,
        *((None, *_NO_COUNTS, None) if usage is None else _usage_cells(usage)),
        _charge_lines(price.lines) if price.lines else "[]",
    )


def _usage_cells(usage: NormalisedUsage) -> Cells:
    meters = _json({_text(meter): n for meter, n in usage.meters.items()})
    return (usage.normaliser, *_of_counts(usage.counts), meters)


def _charge_lines(lines: Iterable[ChargeLine]) -> str:
    in_order = [  # of the keys, as in all our JSON
        {
            "cost": text_from_amount(line.cost),
            "meter": _text(line.meter),
            "quantity": line.quantity,
            "unit_price": _unit_price_text(line.unit_price),
        }
        for line in lines
    ]
    return orjson.dumps(in_order).decode()


def readable(stored: Mapping[Any, Any]) -> Row:
    """Turn a stored row into what the port promises: JSON read, money as Decimal."""
    row = dict(stored)
    for name in JSON_COLUMNS:
        row[name] = None if row[name] is None else orjson.loads(row[name])
    for name in ("cost", "avoided_cost"):
        e12 = row.pop(f"{name}_e12")
        row[name] = None if e12 is None else amount_from_e12(e12)
    return row


_unit_price_text = lru_cache(maxsize=4096)(text_from_amount)
"""Prices come again and again, costs do not."""


def _json_list(entries: Sequence[Mapping[str, str]]) -> str:
    return _json([dict(entry) for entry in entries])


def _json(value: object) -> str:
    return canonical_json(value).decode()
