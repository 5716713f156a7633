"""
What stands on an event, read from what the line knows: the call, the ownership, the decision.

Shapes  Domain objects of the gate -> the records of domain/ledger/events.py. Nothing is decided.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tallygate.domain.attribution.contract import Binding, Principal
from tallygate.domain.attribution.ownership import Claims, Ownership
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.ledger.events import CallFacts, DecisionFacts, Event, OwnershipFacts
from tallygate.domain.policy.decision import Decision
from tallygate.domain.policy.question import CallShape

_KNOWN_FIELDS: Final = frozenset(
    {
        "service",
        "environment",
        "workflow_id",
        "feature",
        "tenant_id_hash",
        "user_id_hash",
        "initiator",
    }
)
_NOT_ACCEPTED: Final = frozenset({"ownership_malformed", "ownership_unknown"})
_CALL_FIELDS: Final = frozenset({"owner_team", "parent_call_id", "span_id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """What the edge knows of a call when it asks."""

    call_id: str
    started_at_ns: int
    claims: Claims
    principal: Principal
    trace: Trace
    shape: CallShape
    client_retry_count: int = 0
    retry_of_call_id: str | None = None
    is_own: bool = False
    """Whether LiteLLM makes it on its own account, without a client."""


@dataclass(frozen=True, slots=True)
class AskedAbout:
    """What a decision was about, to be asked again; without an input where none can be kept."""

    call_bucket: int
    unaccepted: frozenset[str] = frozenset()
    """Fields whose value nobody accepted."""
    digest: str | None = None
    recorded: Mapping[str, Any] | None = None
    """The recorded input that the digest is of."""


def decision_facts(
    decision_id: str,
    status: str,
    decision: Decision,
    revision: str | None,
    latency_us: int,
    asked: AskedAbout,
) -> DecisionFacts:
    """Note what the policy answered, or the blind gate in its place."""
    return DecisionFacts(
        decision_id=decision_id,
        status=status,
        action=decision.action.value,
        would_action=decision.would_action.value,
        mode=decision.mode.value,
        mode_source=decision.mode_source,
        violations=tuple({"code": v.code, "field": v.field} for v in decision.violations),
        waived=tuple(
            {"code": w.code, "field": w.field, "override": w.override} for w in decision.waived
        ),
        notices=tuple({"code": n.code, "subject": n.subject} for n in decision.notices),
        policy_revision=revision,
        latency_us=latency_us,
        input_digest=asked.digest,
        call_bucket=asked.call_bucket,
    )


def call_facts(request: CallRequest, ownership: Ownership, binding: Binding | None) -> CallFacts:
    """Note the request and who LiteLLM says sent it."""
    principal = request.principal
    return CallFacts(
        call_id=request.call_id,
        trace_id=request.trace.trace_id,
        trace_source=request.trace.source,
        started_at_ns=request.started_at_ns,
        route=request.shape.route,
        call_type=request.shape.call_type,
        parent_call_id=ownership.values.get("parent_call_id"),
        span_id=ownership.values.get("span_id", request.trace.parent_span_id),
        client_retry_count=request.client_retry_count,
        retry_of_call_id=request.retry_of_call_id,
        principal_team=principal.team,
        principal_key_hash=principal.key_hash,
        principal_org=principal.org,
        principal_bound=binding is not None,
    )


def unaccepted_fields(decision: Decision) -> set[str]:
    """Name the fields whose value the policy did not accept, excused or not."""
    unaccepted = {v.field for v in decision.violations if v.code in _NOT_ACCEPTED}
    return unaccepted | {w.field for w in decision.waived if w.code in _NOT_ACCEPTED}


def ownership_facts(
    ownership: Ownership, decision: Decision, unaccepted: Collection[str]
) -> OwnershipFacts:
    """
    Note who pays, which is the policy's to say, and beside it what was claimed.

    A value that was not accepted could be anything, a name or a key among it, and an event is for
    ever: the violation says which field it was, the value goes no further.
    """
    values = {name: value for name, value in ownership.values.items() if name not in unaccepted}
    derived = decision.ownership
    return OwnershipFacts(
        owner_team=derived.get("owner_team"),
        claimed_owner_team=values.get("owner_team"),
        service=values.get("service"),
        environment=values.get("environment"),
        workflow_id=values.get("workflow_id"),
        feature=values.get("feature"),
        tenant_id_hash=values.get("tenant_id_hash"),
        user_id_hash=values.get("user_id_hash"),
        initiator=values.get("initiator"),
        cost_center=derived.get("cost_center"),
        business_unit=derived.get("business_unit"),
        extra={
            name: value
            for name, value in values.items()
            if name not in _KNOWN_FIELDS and name not in _CALL_FIELDS
        },
        sources={name: source.value for name, source in ownership.sources.items()},
    )


def kind_of_refusal(event: Event) -> tuple[object, ...]:
    """Tell which refusals are the same: who was refused, on which route, for what."""
    owner, call = event.ownership, event.call
    return (
        call.principal_team,
        call.principal_key_hash,
        owner.service,
        owner.environment,
        call.route,
        tuple((v["code"], v["field"]) for v in event.decision.violations),
    )
