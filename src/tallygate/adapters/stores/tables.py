"""
The ledger's tables, as SQLModel describes them; docs/ledger.md says what each column is.

Shapes  They describe and read. Rows are written with SQLAlchemy Core, and the DDL of a database
        is the numbered migrations' alone; a test holds the two together.
Units   Instants in UTC nanoseconds, durations in microseconds, money in whole 10**-12.
"""

from __future__ import annotations

from typing import ClassVar, Final

from sqlalchemy import BigInteger, MetaData, Table
from sqlmodel import Field, SQLModel


class LedgerTable(SQLModel):
    """Keeps the ledger's tables apart from every other SQLModel table in the process."""

    metadata: ClassVar[MetaData] = MetaData()


class EventRow(LedgerTable, table=True):
    """One entry. `seq` is the order of ingest; what has no comment is the event's own field."""

    __tablename__ = "events"

    seq: int = Field(primary_key=True, sa_type=BigInteger)
    event_id: str = Field(unique=True)
    event_schema: int
    kind: str
    corrects_event_id: str | None = None
    call_id: str
    call_count: int
    trace_id: str
    trace_source: str
    span_id: str | None = None
    parent_call_id: str | None = None
    attempt_number: int | None = None
    parent_event_id: str | None = None
    retry_of_event_id: str | None = None
    client_retry_count: int
    retry_of_call_id: str | None = None

    occurred_at_ns: int = Field(sa_type=BigInteger)
    call_started_at_ns: int = Field(sa_type=BigInteger)
    settled_at_ns: int | None = Field(default=None, sa_type=BigInteger)
    recorded_at_ns: int = Field(sa_type=BigInteger)  # the store's clock
    booked_period: str  # the store's clock

    writer_id: str
    route: str
    call_type: str
    operation: str | None = None
    provider: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    model_group: str | None = None
    deployment_id: str | None = None
    region: str | None = None
    stream: bool | None = None
    request_service_tier: str | None = None
    service_tier: str | None = None

    owner_team: str | None = None
    claimed_owner_team: str | None = None
    service: str | None = None
    environment: str | None = None
    workflow_id: str | None = None
    feature: str | None = None
    tenant_ref: str | None = None  # a surrogate, see SubjectRow
    user_ref: str | None = None
    initiator: str | None = None
    cost_center: str | None = None
    business_unit: str | None = None
    principal_team: str | None = None
    principal_key_hash: str | None = None
    principal_org: str | None = None
    principal_bound: bool

    decision_id: str
    decision_status: str
    action: str
    would_action: str
    mode: str
    mode_source: str
    policy_revision: str | None = None
    decision_latency_us: int = Field(sa_type=BigInteger)

    status: str
    http_status: int | None = None
    error_type: str | None = None
    latency_us: int | None = Field(default=None, sa_type=BigInteger)
    time_to_first_token_us: int | None = Field(default=None, sa_type=BigInteger)
    provider_request_id: str | None = None
    response_id: str | None = None
    cache_policy: str | None = None
    usage_source: str
    usage_format: str | None = None
    litellm_cost: str | None = None
    detail: str | None = None

    normaliser: str | None = None
    input_tokens: int | None = Field(default=None, sa_type=BigInteger)
    output_tokens: int | None = Field(default=None, sa_type=BigInteger)
    cache_read_input_tokens: int | None = Field(default=None, sa_type=BigInteger)
    cache_creation_input_tokens: int | None = Field(default=None, sa_type=BigInteger)
    reasoning_output_tokens: int | None = Field(default=None, sa_type=BigInteger)
    price_status: str
    unpriced_reason: str | None = None
    currency: str
    cost_e12: int | None = Field(default=None, sa_type=BigInteger)
    avoided_cost_e12: int | None = Field(default=None, sa_type=BigInteger)
    billing_rule_version: str | None = None
    billing_rule_digest: str | None = None

    usage: str | None = None  # JSON text from here on
    meters: str | None = None
    charge_lines: str
    sources: str
    extra: str
    violations: str
    waived: str
    notices: str

    payload_digest: str  # of the facts, not of the price

    input_digest: str | None = None  # see DecisionInputRow
    call_bucket: int | None = None
    activation: str | None = None  # JSON text


class SubjectRow(LedgerTable, table=True):
    """Who a surrogate stands for. Lies outside every seal: a row may be deleted on request."""

    __tablename__ = "subjects"

    surrogate: str = Field(primary_key=True)
    subject_hash: str = Field(unique=True)


class DecisionInputRow(LedgerTable, table=True):
    """What decisions were about, each input once; tallygate.domain.policy.recorded_input."""

    __tablename__ = "decision_inputs"

    input_digest: str = Field(primary_key=True)
    content: str  # JSON text


class EventConflictRow(LedgerTable, table=True):
    """Other facts that came under an event id that is already in the ledger."""

    __tablename__ = "event_conflicts"

    seq: int = Field(primary_key=True, sa_type=BigInteger)
    event_id: str
    payload_digest: str
    facts: str
    recorded_at_ns: int = Field(sa_type=BigInteger)


class RejectedEntryRow(LedgerTable, table=True):
    """An entry that breaks a rule of the ledger itself, kept aside for a person to look at."""

    __tablename__ = "rejected_entries"

    seq: int = Field(primary_key=True, sa_type=BigInteger)
    event_id: str
    payload_digest: str
    facts: str
    reason: str  # a code
    recorded_at_ns: int = Field(sa_type=BigInteger)


class SealRow(LedgerTable, table=True):
    """One link of the hash chain; tallygate.domain.ledger.seals says what each column is."""

    __tablename__ = "seals"

    number: int = Field(primary_key=True, sa_type=BigInteger)
    from_seq: int = Field(sa_type=BigInteger)
    to_seq: int = Field(sa_type=BigInteger)
    events: int = Field(sa_type=BigInteger)
    chain_events: int = Field(sa_type=BigInteger)
    column_set: int
    rows_digest: str
    event_index: bytes
    previous_head: str
    sealed_at_ns: int = Field(sa_type=BigInteger)  # the store's clock
    head: str


class ArchiveRow(LedgerTable, table=True):
    """What was moved to files; the line that lets its range be deleted, and that stays."""

    __tablename__ = "archives"

    number: int = Field(primary_key=True, sa_type=BigInteger)
    first_seal: int = Field(sa_type=BigInteger)
    last_seal: int = Field(sa_type=BigInteger)
    from_seq: int = Field(sa_type=BigInteger)
    to_seq: int = Field(sa_type=BigInteger)
    events: int = Field(sa_type=BigInteger)
    manifest_digest: str
    archived_at_ns: int = Field(sa_type=BigInteger)  # the store's clock


class SchemaVersionRow(LedgerTable, table=True):
    """Which migrations this database has had, and when."""

    __tablename__ = "schema_version"

    version: int = Field(primary_key=True)
    name: str
    applied_at_ns: int = Field(sa_type=BigInteger)


EVENTS: Final[Table] = LedgerTable.metadata.tables["events"]
SUBJECTS: Final[Table] = LedgerTable.metadata.tables["subjects"]
DECISION_INPUTS: Final[Table] = LedgerTable.metadata.tables["decision_inputs"]
EVENT_CONFLICTS: Final[Table] = LedgerTable.metadata.tables["event_conflicts"]
REJECTED_ENTRIES: Final[Table] = LedgerTable.metadata.tables["rejected_entries"]
SEALS: Final[Table] = LedgerTable.metadata.tables["seals"]
ARCHIVES: Final[Table] = LedgerTable.metadata.tables["archives"]
SCHEMA_VERSION: Final[Table] = LedgerTable.metadata.tables["schema_version"]

ASSIGNED_BY_STORE: Final = frozenset({"seq", "recorded_at_ns", "booked_period"})
JSON_COLUMNS: Final = frozenset(
    {
        "usage",
        "meters",
        "charge_lines",
        "sources",
        "extra",
        "violations",
        "waived",
        "notices",
        "activation",
    }
)
