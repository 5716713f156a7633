"""
An entry as one flat row, and a row as people read it.

Shapes  Fact columns are the event's, price columns are the books'; the rest the store assigns.
        Mappings and tuples are JSON text with sorted keys.
Exact   `payload_digest` covers the facts and not the price, because the same facts may come
        again after a rule book was added; null facts are left out, so that a new nullable
        column does not change old digests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from tallygate.adapters.stores.tables import JSON_COLUMNS
from tallygate.domain.kernel.digests import canonical_json, digest_of_value
from tallygate.domain.kernel.money import amount_from_e12, e12_from_amount, text_from_amount
from tallygate.domain.ledger.events import (
    AttemptFacts,
    DecisionFacts,
    Event,
    EventKind,
    Outcome,
    Price,
    Status,
    UsageSource,
)

Row = dict[str, Any]


def facts_of(event: Event, tenant_ref: str | None, user_ref: str | None) -> Row:
    """Flatten what the gate saw, with surrogates in place of the two hashes."""
    call, owner = event.call, event.ownership
    return {
        "event_id": event.event_id,
        "event_schema": event.schema_version,
        "kind": event.kind.value,
        "corrects_event_id": event.corrects_event_id,
        "call_id": call.call_id,
        "call_count": event.call_count,
        "trace_id": call.trace_id,
        "trace_source": call.trace_source,
        "span_id": call.span_id,
        "parent_call_id": call.parent_call_id,
        "client_retry_count": call.client_retry_count,
        "retry_of_call_id": call.retry_of_call_id,
        "occurred_at_ns": event.occurred_at_ns,
        "call_started_at_ns": call.started_at_ns,
        "writer_id": event.writer_id,
        "route": call.route,
        "call_type": call.call_type,
        "principal_team": call.principal_team,
        "principal_key_hash": call.principal_key_hash,
        "principal_org": call.principal_org,
        "principal_bound": call.principal_bound,
        "owner_team": owner.owner_team,
        "claimed_owner_team": owner.claimed_owner_team,
        "service": owner.service,
        "environment": owner.environment,
        "workflow_id": owner.workflow_id,
        "feature": owner.feature,
        "tenant_ref": tenant_ref,
        "user_ref": user_ref,
        "initiator": owner.initiator,
        "cost_center": owner.cost_center,
        "business_unit": owner.business_unit,
        "extra": _json(dict(owner.extra)) if owner.extra else "{}",
        "sources": _json(dict(owner.sources)) if owner.sources else "{}",
        **_decision_facts(event.decision),
        **_attempt_facts(event.attempt),
        **_outcome_facts(event.kind, event.outcome),
    }


def _decision_facts(decision: DecisionFacts) -> Row:
    return {
        "decision_id": decision.decision_id,
        "decision_status": decision.status,
        "action": decision.action,
        "would_action": decision.would_action,
        "mode": decision.mode,
        "mode_source": decision.mode_source,
        "policy_revision": decision.policy_revision,
        "decision_latency_us": decision.latency_us,
        "violations": _json_list(decision.violations),
        "waived": _json_list(decision.waived),
        "notices": _json_list(decision.notices),
    }


def _attempt_facts(attempt: AttemptFacts | None) -> Row:
    return {
        "attempt_number": attempt and attempt.number,
        "parent_event_id": attempt and attempt.parent_event_id,
        "retry_of_event_id": attempt and attempt.retry_of_event_id,
        "operation": attempt and attempt.operation,
        "provider": attempt and attempt.provider,
        "request_model": attempt and attempt.request_model,
        "model_group": attempt and attempt.model_group,
        "deployment_id": attempt and attempt.deployment_id,
        "region": attempt and attempt.region,
        "stream": attempt and attempt.stream,
        "request_service_tier": attempt and attempt.request_service_tier,
    }


def _outcome_facts(kind: EventKind, outcome: Outcome | None) -> Row:
    if outcome is None:
        status = Status.REFUSED if kind is EventKind.REFUSAL else Status.UNKNOWN
        return {"status": status.value, "usage_source": UsageSource.NONE.value}
    return {
        "status": outcome.status.value,
        "settled_at_ns": outcome.settled_at_ns,
        "http_status": outcome.http_status,
        "error_type": outcome.error_type,
        "latency_us": outcome.latency_us,
        "time_to_first_token_us": outcome.time_to_first_token_us,
        "response_model": outcome.response_model,
        "provider_request_id": outcome.provider_request_id,
        "response_id": outcome.response_id,
        "service_tier": outcome.service_tier,
        "cache_policy": outcome.cache_policy,
        "usage_source": outcome.usage_source.value,
        "usage": None if outcome.usage is None else _json(dict(outcome.usage)),
        "usage_format": outcome.usage_format,
        "litellm_cost": outcome.litellm_cost,
        "detail": outcome.detail,
    }


def digest_of_facts(facts: Mapping[str, Any]) -> str:
    """Digest facts as `facts_of` gives them, or as they stand in a stored row."""
    return digest_of_value({name: value for name, value in facts.items() if value is not None})


def price_columns(price: Price) -> Row:
    """Flatten what the books added."""
    usage = price.usage
    counts = usage and usage.counts
    return {
        "price_status": price.status.value,
        "unpriced_reason": price.unpriced_reason,
        "currency": price.currency,
        "cost_e12": None if price.cost is None else e12_from_amount(price.cost),
        "avoided_cost_e12": (
            None if price.avoided_cost is None else e12_from_amount(price.avoided_cost)
        ),
        "billing_rule_version": price.billing_rule_version,
        "billing_rule_digest": price.billing_rule_digest,
        "normaliser": usage and usage.normaliser,
        "input_tokens": counts and counts.input_tokens,
        "output_tokens": counts and counts.output_tokens,
        "cache_read_input_tokens": counts and counts.cache_read_input_tokens,
        "cache_creation_input_tokens": counts and counts.cache_creation_input_tokens,
        "reasoning_output_tokens": counts and counts.reasoning_output_tokens,
        "meters": None
        if usage is None
        else _json({str(meter): n for meter, n in usage.meters.items()}),
        "charge_lines": _json(
            [
                {
                    "cost": text_from_amount(line.cost),
                    "meter": line.meter,
                    "quantity": line.quantity,
                    "unit_price": _unit_price_text(line.unit_price),
                }
                for line in price.lines
            ]
        )
        if price.lines
        else "[]",
    }


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
    return _json([dict(entry) for entry in entries]) if entries else "[]"


def _json(value: object) -> str:
    return canonical_json(value).decode()
