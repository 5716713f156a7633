"""
The event: one immutable line in the ledger, for an attempt, a refusal, an activation and so on.

Shapes  The gate writes facts (`Event`), the books add what they cost (`Price`); together they
        are an `Entry`. A spool record is an event with the stage at which it was written.
Units   Instants in UTC nanoseconds, durations in microseconds, money as Decimal.
Source  Field names follow OpenTelemetry GenAI where it has one; docs/event.schema.json is
        generated from this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from tallygate.domain.usage.meters import Meter, NormalisedUsage

SCHEMA_VERSION: Final = 1

NOT_SENT: Final = "not_sent"
"""Detail of an attempt that failed before a byte of it left: no provider saw it."""


class EventKind(StrEnum):
    """What the line stands for."""

    ATTEMPT = "attempt"
    """One try at a provider, or a cache hit in its place."""
    REFUSAL = "refusal"
    """A call that went to no provider because the gate refused it; cost 0."""
    USAGE = "usage"
    """What an attempt used, where that is known apart from it: a turn of a realtime session while
    it runs, a batch when it is done. Names its attempt in `parent_event_id`; no provider call."""
    CORRECTION = "correction"
    """The settlement of an attempt that was already booked as `unknown`."""
    ACTIVATION = "activation"
    """Somebody took, or gave back, what a break-glass entry allows. No call and no attempt."""


class Stage(StrEnum):
    """When a spool record was written."""

    OPENED = "opened"
    """Before the provider was called; the event has no outcome yet."""
    SETTLED = "settled"
    """Complete: nothing more will be written under this event id."""


class Status(StrEnum):
    """How it ended."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    """No answer in time; the provider may bill it."""
    CANCELLED = "cancelled"
    """The client went away; usage as far as it was seen."""
    CACHE_HIT = "cache_hit"
    UNKNOWN = "unknown"
    """Sent, and nobody saw how it ended."""
    REFUSED = "refused"


class UsageSource(StrEnum):
    """Who counted."""

    REPORTED = "reported"
    ESTIMATED = "estimated"
    NONE = "none"


class PriceStatus(StrEnum):
    """What the cost on an entry means."""

    PRICED = "priced"
    UNPRICED = "unpriced"
    """The cost is not known: null, never 0."""
    NOT_BILLED = "not_billed"
    """Known to cost nothing: a refusal, a cache hit, an error that the provider answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """The client's request, the same on every event of one call."""

    call_id: str
    trace_id: str
    trace_source: str
    """`received` or `minted`."""
    started_at_ns: int
    route: str
    call_type: str
    parent_call_id: str | None = None
    span_id: str | None = None
    client_retry_count: int = 0
    """`x-stainless-retry-count` of the official clients."""
    retry_of_call_id: str | None = None
    """The call that the client's library repeats with this one, where this process saw it."""
    principal_team: str | None = None
    """LiteLLM's team id of the key, as LiteLLM authenticated it."""
    principal_key_hash: str | None = None
    principal_org: str | None = None
    principal_bound: bool = False
    """Whether the registry binds this principal; an unbound one's claims are unproven."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipFacts:
    """Who pays, and how we know."""

    owner_team: str | None = None
    """The team that pays, as the policy decided; None is unattributed."""
    claimed_owner_team: str | None = None
    service: str | None = None
    environment: str | None = None
    workflow_id: str | None = None
    feature: str | None = None
    tenant_id_hash: str | None = None
    user_id_hash: str | None = None
    initiator: str | None = None
    cost_center: str | None = None
    business_unit: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    """Fields that the organisation's contract adds."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Per field: header, baggage, metadata, key_metadata, team_metadata, binding, default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFacts:
    """What the policy said before the call."""

    decision_id: str
    status: str
    """`decided`, `remembered` or `unavailable`."""
    action: str
    """What the gate did: admit, quarantine, reject."""
    would_action: str
    """What enforce would have done."""
    mode: str
    mode_source: str
    violations: tuple[Mapping[str, str], ...] = ()
    waived: tuple[Mapping[str, str], ...] = ()
    notices: tuple[Mapping[str, str], ...] = ()
    policy_revision: str | None = None
    latency_us: int = 0
    input_digest: str | None = None
    """Of what was asked about, before the policy's data had its say."""
    call_bucket: int | None = None
    """0 to 99, stable for the call."""
    input: Mapping[str, Any] | None = None
    """What the digest is of: on the first events with it that a process writes, for the ledger's
    table of inputs. No part of the ledger's line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFacts:
    """One try at a provider."""

    number: int
    """1-based within the call; retries and fallbacks count on."""
    opened_at_ns: int
    operation: str
    """`gen_ai.operation.name`: chat, embeddings, …"""
    provider: str
    """`gen_ai.provider.name` as LiteLLM spells it: openai, anthropic, …"""
    request_model: str
    """The model that went to the provider."""
    model_group: str | None = None
    """The name that the client asked the proxy for."""
    deployment_id: str | None = None
    region: str | None = None
    stream: bool = False
    parent_event_id: str | None = None
    retry_of_event_id: str | None = None
    """The attempt of this call that failed before this one."""
    request_service_tier: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended, and the provider's own numbers as they came."""

    status: Status
    settled_at_ns: int
    http_status: int | None = None
    error_type: str | None = None
    """The exception's class; never its text, which may quote a prompt."""
    latency_us: int | None = None
    time_to_first_token_us: int | None = None
    response_model: str | None = None
    provider_request_id: str | None = None
    response_id: str | None = None
    """`gen_ai.response.id`: the provider's id of the answer, a batch's id for a batch."""
    service_tier: str | None = None
    cache_policy: str | None = None
    usage_source: UsageSource = UsageSource.NONE
    usage: Mapping[str, Any] | None = None
    usage_format: str | None = None
    """Whose convention `usage` follows; see domain/usage/normalisers.py."""
    litellm_cost: str | None = None
    """LiteLLM's own figure in dollars, as it printed it; kept to be compared, never summed."""
    detail: str | None = None
    """Why an outcome is unknown or late, as a code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationFacts:
    """Who took what a break-glass entry allows, why, and until when."""

    override_id: str
    """The entry's id, as it stands under `waived` of the calls that it excuses."""
    role: str
    """The role that may activate it."""
    activated_by: str
    """The hash of the key that LiteLLM authenticated; on the command line a role or a handle."""
    reason: str
    ticket: str
    from_ns: int
    until_ns: int
    """When it ends by itself; where it was ended before that, when."""
    ended: bool
    """Whether this line ends it early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Facts about one attempt or refusal, exactly as the gate saw them."""

    event_id: str
    """UUIDv7, minted before the provider is called."""
    kind: EventKind
    call: CallFacts
    ownership: OwnershipFacts
    decision: DecisionFacts
    writer_id: str
    """The spool writer (one per proxy process)."""
    attempt: AttemptFacts | None = None
    outcome: Outcome | None = None
    corrects_event_id: str | None = None
    call_count: int = 1
    """How many identical refusals the line stands for; 1 for everything else."""
    activation: ActivationFacts | None = None
    """Set where `kind` is `activation`, and only there."""
    schema_version: int = SCHEMA_VERSION

    @property
    def occurred_at_ns(self) -> int:
        """When it happened: the attempt was opened, or the call came in."""
        return self.attempt.opened_at_ns if self.attempt else self.call.started_at_ns


@dataclass(frozen=True, slots=True)
class SpoolRecord:
    """An event as the gate knew it at one stage."""

    stage: Stage
    event: Event

    @property
    def event_id(self) -> str:
        return self.event.event_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeLine:
    """What one meter of one attempt costs at list price."""

    meter: Meter
    quantity: int
    unit_price: Decimal
    """Per single unit of the meter, in the book's currency."""
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What an event cost, or why that is not known."""

    status: PriceStatus
    cost: Decimal | None
    currency: str = "USD"
    unpriced_reason: str | None = None
    """The code of the PricingError."""
    lines: tuple[ChargeLine, ...] = ()
    usage: NormalisedUsage | None = None
    avoided_cost: Decimal | None = None
    """What a cache hit would have cost."""
    billing_rule_version: str | None = None
    billing_rule_digest: str | None = None

    def __post_init__(self) -> None:
        assert (self.cost is None) == (self.status is PriceStatus.UNPRICED), (
            self.status,
            self.cost,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A priced event, ready for the ledger."""

    event: Event
    price: Price
