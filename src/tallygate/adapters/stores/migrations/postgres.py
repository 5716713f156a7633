"""
The migrations of a ledger in PostgreSQL: append, never edit.

Shapes  JSON is text, because a digest is over its bytes. `seq` is the server's. Guards run for
        each statement, ALWAYS (also for a replica's session), so a line costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from tallygate.adapters.stores.migrations.postgres_activations import m007_activations
from tallygate.adapters.stores.migrations.postgres_inputs import m006_inputs
from tallygate.adapters.stores.migrations.postgres_lookups import m004_lookups, m005_answers
from tallygate.adapters.stores.migrations.postgres_seals import m003_seals

# Fixed within one statement, so a default and the trigger that guards it read one clock.
_NOW_NS: Final = "(extract(epoch FROM statement_timestamp()) * 1000000000)::bigint"
_THIS_PERIOD: Final = "to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM')"

_EVENTS: Final = f"""
CREATE TABLE events (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    event_schema INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('attempt', 'refusal', 'usage', 'correction')),
    corrects_event_id TEXT,
    call_id TEXT NOT NULL,
    call_count INTEGER NOT NULL CHECK (call_count >= 1),
    trace_id TEXT NOT NULL,
    trace_source TEXT NOT NULL,
    span_id TEXT,
    parent_call_id TEXT,
    attempt_number INTEGER CHECK (attempt_number >= 1),
    parent_event_id TEXT,
    retry_of_event_id TEXT,
    client_retry_count INTEGER NOT NULL,
    retry_of_call_id TEXT,
    occurred_at_ns BIGINT NOT NULL CHECK (occurred_at_ns > 0),
    call_started_at_ns BIGINT NOT NULL,
    settled_at_ns BIGINT,
    recorded_at_ns BIGINT NOT NULL DEFAULT ({_NOW_NS}),
    booked_period TEXT NOT NULL DEFAULT ({_THIS_PERIOD}),
    writer_id TEXT NOT NULL,
    route TEXT NOT NULL,
    call_type TEXT NOT NULL,
    operation TEXT,
    provider TEXT,
    request_model TEXT,
    response_model TEXT,
    model_group TEXT,
    deployment_id TEXT,
    region TEXT,
    stream BOOLEAN,
    request_service_tier TEXT,
    service_tier TEXT,
    owner_team TEXT,
    claimed_owner_team TEXT,
    service TEXT,
    environment TEXT,
    workflow_id TEXT,
    feature TEXT,
    tenant_ref TEXT,
    user_ref TEXT,
    initiator TEXT,
    cost_center TEXT,
    business_unit TEXT,
    principal_team TEXT,
    principal_key_hash TEXT,
    principal_org TEXT,
    principal_bound BOOLEAN NOT NULL,
    decision_id TEXT NOT NULL,
    decision_status TEXT NOT NULL,
    action TEXT NOT NULL,
    would_action TEXT NOT NULL,
    mode TEXT NOT NULL,
    mode_source TEXT NOT NULL,
    policy_revision TEXT,
    decision_latency_us BIGINT NOT NULL,
    status TEXT NOT NULL,
    http_status INTEGER,
    error_type TEXT,
    latency_us BIGINT,
    time_to_first_token_us BIGINT,
    provider_request_id TEXT,
    response_id TEXT,
    cache_policy TEXT,
    usage_source TEXT NOT NULL,
    usage_format TEXT,
    litellm_cost TEXT,
    detail TEXT,
    normaliser TEXT,
    input_tokens BIGINT,
    output_tokens BIGINT,
    cache_read_input_tokens BIGINT,
    cache_creation_input_tokens BIGINT,
    reasoning_output_tokens BIGINT,
    price_status TEXT NOT NULL CHECK (price_status IN ('priced', 'unpriced', 'not_billed')),
    unpriced_reason TEXT,
    currency TEXT NOT NULL,
    cost_e12 BIGINT,
    avoided_cost_e12 BIGINT,
    billing_rule_version TEXT,
    billing_rule_digest TEXT,
    usage TEXT,
    meters TEXT,
    charge_lines TEXT NOT NULL,
    sources TEXT NOT NULL,
    extra TEXT NOT NULL,
    violations TEXT NOT NULL,
    waived TEXT NOT NULL,
    notices TEXT NOT NULL,
    payload_digest TEXT NOT NULL,
    CHECK ((kind = 'correction') = (corrects_event_id IS NOT NULL)),
    CHECK ((cost_e12 IS NULL) = (price_status = 'unpriced')),
    CHECK (price_status <> 'not_billed' OR cost_e12 = 0),
    CHECK (cost_e12 >= 0 OR kind = 'correction'),
    CHECK (avoided_cost_e12 >= 0)
)
"""

_SUBJECTS: Final = """
CREATE TABLE subjects (
    surrogate TEXT PRIMARY KEY,
    subject_hash TEXT NOT NULL UNIQUE
)
"""

_EVENT_CONFLICTS: Final = f"""
CREATE TABLE event_conflicts (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id TEXT NOT NULL,
    payload_digest TEXT NOT NULL,
    facts TEXT NOT NULL,
    recorded_at_ns BIGINT NOT NULL DEFAULT ({_NOW_NS}),
    UNIQUE (event_id, payload_digest)
)
"""

_INDEXES: Final = (
    "CREATE INDEX events_by_time ON events (occurred_at_ns)",
    "CREATE INDEX events_by_team ON events (owner_team, occurred_at_ns)",
    "CREATE INDEX events_by_trace ON events (trace_id)",
    "CREATE INDEX events_by_call ON events (call_id)",
    """
    CREATE INDEX events_by_corrected ON events (corrects_event_id)
    WHERE corrects_event_id IS NOT NULL
    """,
    """
    CREATE INDEX events_by_response ON events (response_id) WHERE call_type = 'acreate_batch'
    """,
)

_REFUSE: Final = """
CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION '%% is append-only: post a correction instead', TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation';
END
$body$
"""

_REFUSE_CLOCK: Final = """
CREATE FUNCTION ledger_refuse_clock() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'recorded_at_ns and booked_period are the store''s to assign'
    USING ERRCODE = 'restrict_violation';
END
$body$
"""

_STORE_CLOCK: Final = (
    f"""
    CREATE TRIGGER events_recorded_by_store BEFORE INSERT ON events FOR EACH ROW
    WHEN (NEW.recorded_at_ns <> {_NOW_NS} OR NEW.booked_period <> {_THIS_PERIOD})
    EXECUTE FUNCTION ledger_refuse_clock()
    """,
    "ALTER TABLE events ENABLE ALWAYS TRIGGER events_recorded_by_store",
)


def append_only(table: str) -> tuple[str, ...]:
    """Refuse UPDATE, DELETE and TRUNCATE, ON CONFLICT DO UPDATE and MERGE included."""
    return (
        f"""
        CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()
        """,
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only",
    )


def m001_initial(connection: Connection) -> None:
    """Events, subjects, conflicts, and what keeps them append-only."""
    for statement in (
        _EVENTS,
        _SUBJECTS,
        _EVENT_CONFLICTS,
        *_INDEXES,
        _REFUSE,
        _REFUSE_CLOCK,
        *append_only("events"),
        *append_only("event_conflicts"),
        *_STORE_CLOCK,
    ):
        connection.exec_driver_sql(statement)


_REJECTED_ENTRIES: Final = f"""
CREATE TABLE rejected_entries (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id TEXT NOT NULL,
    payload_digest TEXT NOT NULL,
    facts TEXT NOT NULL,
    reason TEXT NOT NULL,
    recorded_at_ns BIGINT NOT NULL DEFAULT ({_NOW_NS}),
    UNIQUE (event_id, payload_digest)
)
"""


def m002_rejected_entries(connection: Connection) -> None:
    """Keep what the ledger's own rules refuse, so that one bad entry does not hold up the rest."""
    connection.exec_driver_sql(_REJECTED_ENTRIES)
    for statement in append_only("rejected_entries"):
        connection.exec_driver_sql(statement)


MIGRATIONS: Final[tuple[Callable[[Connection], None], ...]] = (
    m001_initial,
    m002_rejected_entries,
    m003_seals,
    m004_lookups,
    m005_answers,
    m006_inputs,
    m007_activations,
)

TABLES: Final = """
SELECT relname::text FROM pg_catalog.pg_class
WHERE relkind IN ('r', 'p') AND relnamespace = pg_catalog.current_schema()::regnamespace
"""

SCHEMA_VERSION: Final = f"""
CREATE TABLE schema_version (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at_ns BIGINT NOT NULL DEFAULT ({_NOW_NS})
)
"""
