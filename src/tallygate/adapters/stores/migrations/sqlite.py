"""
The migrations of a ledger in SQLite: append, never edit.

Shapes  STRICT tables, JSON as text, booleans as 0 and 1. One clock for defaults and guards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from tallygate.adapters.stores.migrations.sqlite_activations import m008_activations
from tallygate.adapters.stores.migrations.sqlite_inputs import m007_inputs
from tallygate.adapters.stores.migrations.sqlite_lookups import m005_lookups, m006_answers
from tallygate.adapters.stores.migrations.sqlite_seals import m004_seals

# Fixed within one statement, so a default and the trigger that guards it read one clock.
_NOW_NS: Final = (
    "CAST(strftime('%s', 'now') AS INTEGER) * 1000000000"
    " + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000000"
)
_THIS_PERIOD: Final = "strftime('%Y-%m', 'now')"

_EVENTS: Final = f"""
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    event_schema INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('attempt', 'refusal', 'correction')),
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
    occurred_at_ns INTEGER NOT NULL CHECK (occurred_at_ns > 0),
    call_started_at_ns INTEGER NOT NULL,
    settled_at_ns INTEGER,
    recorded_at_ns INTEGER NOT NULL DEFAULT ({_NOW_NS}),
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
    stream INTEGER CHECK (stream IN (0, 1)),
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
    principal_bound INTEGER NOT NULL CHECK (principal_bound IN (0, 1)),
    decision_id TEXT NOT NULL,
    decision_status TEXT NOT NULL,
    action TEXT NOT NULL,
    would_action TEXT NOT NULL,
    mode TEXT NOT NULL,
    mode_source TEXT NOT NULL,
    policy_revision TEXT,
    decision_latency_us INTEGER NOT NULL,
    status TEXT NOT NULL,
    http_status INTEGER,
    error_type TEXT,
    latency_us INTEGER,
    time_to_first_token_us INTEGER,
    provider_request_id TEXT,
    cache_policy TEXT,
    usage_source TEXT NOT NULL,
    usage_format TEXT,
    litellm_cost TEXT,
    detail TEXT,
    normaliser TEXT,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cache_read_input_tokens INTEGER,
    cache_creation_input_tokens INTEGER,
    reasoning_output_tokens INTEGER,
    price_status TEXT NOT NULL CHECK (price_status IN ('priced', 'unpriced', 'not_billed')),
    unpriced_reason TEXT,
    currency TEXT NOT NULL,
    cost_e12 INTEGER,
    avoided_cost_e12 INTEGER,
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
) STRICT
"""

_SUBJECTS: Final = """
CREATE TABLE subjects (
    surrogate TEXT PRIMARY KEY NOT NULL,
    subject_hash TEXT NOT NULL UNIQUE
) STRICT, WITHOUT ROWID
"""

_EVENT_CONFLICTS: Final = f"""
CREATE TABLE event_conflicts (
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    payload_digest TEXT NOT NULL,
    facts TEXT NOT NULL,
    recorded_at_ns INTEGER NOT NULL DEFAULT ({_NOW_NS}),
    UNIQUE (event_id, payload_digest)
) STRICT
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
)


def _append_only(table: str, identity: str) -> tuple[str, ...]:
    # REPLACE runs no delete trigger unless `recursive_triggers` is on, so a line that is there
    # already is also refused on its way in, whoever's connection it is.
    refusal = f"SELECT RAISE(ABORT, '{table} is append-only: post a correction instead')"
    return (
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} BEGIN {refusal}; END",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} BEGIN {refusal}; END",
        f"""
        CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table}
        WHEN EXISTS (SELECT 1 FROM {table} WHERE {identity})
        OR EXISTS (SELECT 1 FROM {table} WHERE seq = NEW.seq)
        BEGIN {refusal}; END
        """,  # noqa: S608 - both names are literals of this module
    )


_STORE_CLOCK: Final = f"""
CREATE TRIGGER events_recorded_by_store BEFORE INSERT ON events
WHEN NEW.recorded_at_ns <> {_NOW_NS} OR NEW.booked_period <> {_THIS_PERIOD}
BEGIN SELECT RAISE(ABORT, 'recorded_at_ns and booked_period are the store''s to assign'); END
"""


def m001_initial(connection: Connection) -> None:
    """Events, subjects, conflicts, and what keeps them append-only."""
    statements = (
        _EVENTS,
        _SUBJECTS,
        _EVENT_CONFLICTS,
        *_INDEXES,
        *_append_only("events", "event_id = NEW.event_id"),
        *_append_only(
            "event_conflicts",
            "event_id = NEW.event_id AND payload_digest = NEW.payload_digest",
        ),
        _STORE_CLOCK,
    )
    for statement in statements:
        connection.exec_driver_sql(statement)


_EVENTS_2: Final = (
    _EVENTS.replace("'refusal', 'correction'", "'refusal', 'usage', 'correction'")
    .replace(
        "client_retry_count INTEGER NOT NULL,",
        "client_retry_count INTEGER NOT NULL,\n    retry_of_call_id TEXT,",
    )
    .replace("provider_request_id TEXT,", "provider_request_id TEXT,\n    response_id TEXT,")
)
_EVENT_GUARDS: Final = (*_append_only("events", "event_id = NEW.event_id"), _STORE_CLOCK)
_INDEXES_2: Final = (
    *_INDEXES,
    """
    CREATE INDEX events_by_response ON events (response_id) WHERE call_type = 'acreate_batch'
    """,
)


def m002_usage_apart(connection: Connection) -> None:
    """Make room for usage events; SQLite cannot change a CHECK, so the table is made anew."""
    kept = ", ".join(
        name for (_, name, *_) in connection.exec_driver_sql("PRAGMA table_info(events)")
    )
    for kind, name in connection.exec_driver_sql(
        "SELECT type, name FROM sqlite_master"
        " WHERE tbl_name = 'events' AND type IN ('trigger', 'index') AND sql IS NOT NULL"
    ).all():
        connection.exec_driver_sql(f"DROP {kind} {name}")
    for statement in (
        "ALTER TABLE events RENAME TO events_before",
        _EVENTS_2,
        f"INSERT INTO events ({kept}) SELECT {kept} FROM events_before",  # noqa: S608 - own names
        "DROP TABLE events_before",
        *_INDEXES_2,
        *_EVENT_GUARDS,
    ):
        connection.exec_driver_sql(statement)


_REJECTED_ENTRIES: Final = f"""
CREATE TABLE rejected_entries (
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    payload_digest TEXT NOT NULL,
    facts TEXT NOT NULL,
    reason TEXT NOT NULL,
    recorded_at_ns INTEGER NOT NULL DEFAULT ({_NOW_NS}),
    UNIQUE (event_id, payload_digest)
) STRICT
"""


def m003_rejected_entries(connection: Connection) -> None:
    """Keep what the ledger's own rules refuse, so that one bad entry does not hold up the rest."""
    connection.exec_driver_sql(_REJECTED_ENTRIES)
    for statement in _append_only(
        "rejected_entries",
        "event_id = NEW.event_id AND payload_digest = NEW.payload_digest",
    ):
        connection.exec_driver_sql(statement)


MIGRATIONS: Final[tuple[Callable[[Connection], None], ...]] = (
    m001_initial,
    m002_usage_apart,
    m003_rejected_entries,
    m004_seals,
    m005_lookups,
    m006_answers,
    m007_inputs,
    m008_activations,
)

TABLES: Final = "SELECT name FROM sqlite_master WHERE type = 'table'"

SCHEMA_VERSION: Final = f"""
CREATE TABLE schema_version (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at_ns INTEGER NOT NULL DEFAULT ({_NOW_NS})
) STRICT
"""
