"""
The JSON object of a spool record, before it is bytes.

Shapes  Each function names every field of its class, in order: reading slots by name takes half
        the time that walking the dataclass's fields takes, and this is on the request path. A
        field that is forgotten here fails the round trip in tests/unit/ledger/test_codec.py.
"""

from __future__ import annotations

from tallygate.domain.ledger.events import (
    ActivationFacts,
    AttemptFacts,
    CallFacts,
    DecisionFacts,
    Event,
    Outcome,
    OwnershipFacts,
    SpoolRecord,
)


def object_from_record(record: SpoolRecord) -> dict[str, object]:
    """Return stage and event; enums and mappings stay as they are."""
    return {"stage": record.stage, "event": object_from_event(record.event)}


def object_from_event(event: Event) -> dict[str, object]:
    """Return every field of the event, nulls included."""
    attempt, outcome = event.attempt, event.outcome
    return {
        "event_id": event.event_id,
        "kind": event.kind,
        "call": _call_object(event.call),
        "ownership": _ownership_object(event.ownership),
        "decision": _decision_object(event.decision),
        "writer_id": event.writer_id,
        "attempt": None if attempt is None else _attempt_object(attempt),
        "outcome": None if outcome is None else _outcome_object(outcome),
        "corrects_event_id": event.corrects_event_id,
        "call_count": event.call_count,
        "activation": None if event.activation is None else activation_object(event.activation),
        "schema_version": event.schema_version,
    }


def _call_object(call: CallFacts) -> dict[str, object]:
    return {
        "call_id": call.call_id,
        "trace_id": call.trace_id,
        "trace_source": call.trace_source,
        "started_at_ns": call.started_at_ns,
        "route": call.route,
        "call_type": call.call_type,
        "parent_call_id": call.parent_call_id,
        "span_id": call.span_id,
        "client_retry_count": call.client_retry_count,
        "retry_of_call_id": call.retry_of_call_id,
        "principal_team": call.principal_team,
        "principal_key_hash": call.principal_key_hash,
        "principal_org": call.principal_org,
        "principal_bound": call.principal_bound,
    }


def _ownership_object(ownership: OwnershipFacts) -> dict[str, object]:
    return {
        "owner_team": ownership.owner_team,
        "claimed_owner_team": ownership.claimed_owner_team,
        "service": ownership.service,
        "environment": ownership.environment,
        "workflow_id": ownership.workflow_id,
        "feature": ownership.feature,
        "tenant_id_hash": ownership.tenant_id_hash,
        "user_id_hash": ownership.user_id_hash,
        "initiator": ownership.initiator,
        "cost_center": ownership.cost_center,
        "business_unit": ownership.business_unit,
        "extra": ownership.extra,
        "sources": ownership.sources,
    }


def _decision_object(decision: DecisionFacts) -> dict[str, object]:
    return {
        "decision_id": decision.decision_id,
        "status": decision.status,
        "action": decision.action,
        "would_action": decision.would_action,
        "mode": decision.mode,
        "mode_source": decision.mode_source,
        "violations": decision.violations,
        "waived": decision.waived,
        "notices": decision.notices,
        "policy_revision": decision.policy_revision,
        "latency_us": decision.latency_us,
        "input_digest": decision.input_digest,
        "call_bucket": decision.call_bucket,
        "input": decision.input,
    }


def _attempt_object(attempt: AttemptFacts) -> dict[str, object]:
    return {
        "number": attempt.number,
        "opened_at_ns": attempt.opened_at_ns,
        "operation": attempt.operation,
        "provider": attempt.provider,
        "request_model": attempt.request_model,
        "model_group": attempt.model_group,
        "deployment_id": attempt.deployment_id,
        "region": attempt.region,
        "stream": attempt.stream,
        "parent_event_id": attempt.parent_event_id,
        "retry_of_event_id": attempt.retry_of_event_id,
        "request_service_tier": attempt.request_service_tier,
    }


def _outcome_object(outcome: Outcome) -> dict[str, object]:
    return {
        "status": outcome.status,
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
        "usage_source": outcome.usage_source,
        "usage": outcome.usage,
        "usage_format": outcome.usage_format,
        "litellm_cost": outcome.litellm_cost,
        "detail": outcome.detail,
    }


def activation_object(activation: ActivationFacts) -> dict[str, object]:
    """Return every field of the activation."""
    return {
        "override_id": activation.override_id,
        "role": activation.role,
        "activated_by": activation.activated_by,
        "reason": activation.reason,
        "ticket": activation.ticket,
        "from_ns": activation.from_ns,
        "until_ns": activation.until_ns,
        "ended": activation.ended,
    }
