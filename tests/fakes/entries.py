"""Events and entries for tests: sensible ones, of which a test changes what it is about."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tallygate.domain.kernel.ids import uuid7
from tallygate.domain.ledger.events import (
    ActivationFacts,
    AttemptFacts,
    CallFacts,
    ChargeLine,
    DecisionFacts,
    Entry,
    Event,
    EventKind,
    Outcome,
    OwnershipFacts,
    Price,
    PriceStatus,
    SpoolRecord,
    Stage,
    Status,
    UsageSource,
)
from tallygate.domain.usage.meters import Meter, NormalisedUsage, TokenCounts

NOON_NS = 1_795_262_400_000_000_000
"""2026-11-21T12:00:00Z"""
TENANT = "hk1_" + "a" * 32
PERSON = "hk1_" + "b" * 32
SECOND_NS = 1_000_000_000


def event_id(number: int) -> str:
    return uuid7(NOON_NS + number * SECOND_NS, number.to_bytes(8))


def a_call(**changes: Any) -> CallFacts:
    facts: dict[str, Any] = {
        "call_id": "call-1",
        "trace_id": "tr_9f4c",
        "trace_source": "received",
        "started_at_ns": NOON_NS,
        "route": "/v1/chat/completions",
        "call_type": "acompletion",
        "principal_team": "litellm-team-1",
        "principal_bound": True,
    }
    return CallFacts(**facts | changes)


def an_ownership(**changes: Any) -> OwnershipFacts:
    facts: dict[str, Any] = {
        "owner_team": "team-support",
        "claimed_owner_team": "team-support",
        "service": "support-assistant",
        "environment": "prod",
        "workflow_id": "wf-17",
        "feature": "ticket-triage",
        "tenant_id_hash": TENANT,
        "user_id_hash": PERSON,
        "cost_center": "CC-1200",
        "business_unit": "customer-experience",
        "sources": {"owner_team": "header", "service": "header"},
    }
    return OwnershipFacts(**facts | changes)


def a_decision(**changes: Any) -> DecisionFacts:
    facts: dict[str, Any] = {
        "decision_id": "dec-1",
        "status": "decided",
        "action": "admit",
        "would_action": "admit",
        "mode": "enforce",
        "mode_source": "service_environment",
        "policy_revision": "sha256:" + "1" * 64,
        "latency_us": 510,
    }
    return DecisionFacts(**facts | changes)


def an_attempt(**changes: Any) -> AttemptFacts:
    facts: dict[str, Any] = {
        "number": 1,
        "opened_at_ns": NOON_NS,
        "operation": "chat",
        "provider": "openai",
        "request_model": "gpt-5.4",
        "model_group": "frontier",
        "deployment_id": "dep-1",
    }
    return AttemptFacts(**facts | changes)


def an_outcome(**changes: Any) -> Outcome:
    facts: dict[str, Any] = {
        "status": Status.OK,
        "settled_at_ns": NOON_NS + SECOND_NS,
        "http_status": 200,
        "latency_us": 812_345,
        "response_model": "gpt-5.4-2026-03-05",
        "provider_request_id": "req_1",
        "service_tier": "default",
        "usage_source": UsageSource.REPORTED,
        "usage": {
            "prompt_tokens": 3400,
            "prompt_tokens_details": {"cached_tokens": 1200},
            "completion_tokens": 620,
            "total_tokens": 4020,
        },
        "usage_format": "litellm",
        "litellm_cost": "0.00453",
    }
    return Outcome(**facts | changes)


def an_event(number: int = 1, **changes: Any) -> Event:
    facts: dict[str, Any] = {
        "event_id": event_id(number),
        "kind": EventKind.ATTEMPT,
        "call": a_call(),
        "ownership": an_ownership(),
        "decision": a_decision(),
        "writer_id": "writer-1",
        "attempt": an_attempt(),
        "outcome": an_outcome(),
    }
    return Event(**facts | changes)


def a_refusal(number: int = 1, **changes: Any) -> Event:
    facts: dict[str, Any] = {
        "kind": EventKind.REFUSAL,
        "decision": a_decision(
            action="reject",
            would_action="reject",
            violations=({"code": "ownership_missing", "field": "feature"},),
        ),
        "attempt": None,
        "outcome": Outcome(status=Status.REFUSED, settled_at_ns=NOON_NS, http_status=400),
    }
    return an_event(number, **facts | changes)


def an_unknown(number: int = 1, **changes: Any) -> Event:
    facts: dict[str, Any] = {
        "outcome": Outcome(status=Status.UNKNOWN, settled_at_ns=NOON_NS, detail="writer_gone")
    }
    return an_event(number, **facts | changes)


def an_activation(number: int = 1, **changes: Any) -> Event:
    """Make the line of a break-glass entry that was activated; changes are the activation's."""
    facts: dict[str, Any] = {
        "override_id": "bg-support-outage",
        "role": "incident-commander",
        "activated_by": "a" * 64,
        "reason": "the flag service is down",
        "ticket": "INC-7",
        "from_ns": NOON_NS,
        "until_ns": NOON_NS + 8 * 3600 * SECOND_NS,
        "ended": False,
    }
    return an_event(
        number,
        kind=EventKind.ACTIVATION,
        call=a_call(call_id=f"activation-{number}", call_type="activation"),
        ownership=OwnershipFacts(),
        attempt=None,
        outcome=Outcome(status=Status.OK, settled_at_ns=NOON_NS),
        activation=ActivationFacts(**facts | changes),
    )


def a_price(cost: str | None = "0.00453", **changes: Any) -> Price:
    if cost is None:
        facts: dict[str, Any] = {
            "status": PriceStatus.UNPRICED,
            "cost": None,
            "unpriced_reason": "usage_missing",
        }
        return Price(**facts | changes)
    facts = {
        "status": PriceStatus.PRICED,
        "cost": Decimal(cost),
        "lines": (
            ChargeLine(
                meter=Meter.INPUT,
                quantity=2200,
                unit_price=Decimal("0.00000075"),
                cost=Decimal("0.00165"),
            ),
            ChargeLine(
                meter=Meter.OUTPUT,
                quantity=620,
                unit_price=Decimal("0.0000045"),
                cost=Decimal("0.00279"),
            ),
        ),
        "usage": NormalisedUsage(
            normaliser="openai/1",
            counts=TokenCounts(input_tokens=3400, output_tokens=620, cache_read_input_tokens=1200),
            meters={Meter.INPUT: 2200, Meter.CACHE_READ: 1200, Meter.OUTPUT: 620},
        ),
        "billing_rule_version": "openai-pricing-2026-05-31",
        "billing_rule_digest": "sha256:" + "2" * 64,
    }
    return Price(**facts | changes)


def no_charge(**changes: Any) -> Price:
    facts: dict[str, Any] = {"status": PriceStatus.NOT_BILLED, "cost": Decimal(0)}
    return Price(**facts | changes)


def an_entry(number: int = 1, *, cost: str | None = "0.00453", **changes: Any) -> Entry:
    return Entry(an_event(number, **changes), a_price(cost))


def opened(event: Event) -> SpoolRecord:
    """Return the record that the gate wrote before it called the provider."""
    return SpoolRecord(
        Stage.OPENED,
        Event(
            event_id=event.event_id,
            kind=event.kind,
            call=event.call,
            ownership=event.ownership,
            decision=event.decision,
            writer_id=event.writer_id,
            attempt=event.attempt,
        ),
    )


def settled(event: Event) -> SpoolRecord:
    return SpoolRecord(Stage.SETTLED, event)
