"""
What of a stored line lies under a seal, as bytes and as a digest, and which column differs.

Shapes  A row is a tuple of stored values in the order of `SEALED_COLUMNS`: text, whole numbers
        (a truth value is 0 or 1) and None. Its bytes are one JSON list that opens with the number
        of the column set. `subjects` is not part of it, so a person can be forgotten.
Exact   A locator is two sums over the columns modulo a prime, plain and weighted by place. Where
        one column was edited, the quotient of the two differences is its place. It helps to find;
        what proves is the digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from operator import methodcaller, mul
from typing import Any, Final
from zlib import crc32

import orjson

SEALED_COLUMNS: Final = (
    "seq",
    "event_id",
    "event_schema",
    "kind",
    "corrects_event_id",
    "call_id",
    "call_count",
    "trace_id",
    "trace_source",
    "span_id",
    "parent_call_id",
    "attempt_number",
    "parent_event_id",
    "retry_of_event_id",
    "client_retry_count",
    "retry_of_call_id",
    "occurred_at_ns",
    "call_started_at_ns",
    "settled_at_ns",
    "recorded_at_ns",
    "booked_period",
    "writer_id",
    "route",
    "call_type",
    "operation",
    "provider",
    "request_model",
    "response_model",
    "model_group",
    "deployment_id",
    "region",
    "stream",
    "request_service_tier",
    "service_tier",
    "owner_team",
    "claimed_owner_team",
    "service",
    "environment",
    "workflow_id",
    "feature",
    "tenant_ref",
    "user_ref",
    "initiator",
    "cost_center",
    "business_unit",
    "principal_team",
    "principal_key_hash",
    "principal_org",
    "principal_bound",
    "decision_id",
    "decision_status",
    "action",
    "would_action",
    "mode",
    "mode_source",
    "policy_revision",
    "decision_latency_us",
    "status",
    "http_status",
    "error_type",
    "latency_us",
    "time_to_first_token_us",
    "provider_request_id",
    "response_id",
    "cache_policy",
    "usage_source",
    "usage_format",
    "litellm_cost",
    "detail",
    "normaliser",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "reasoning_output_tokens",
    "price_status",
    "unpriced_reason",
    "currency",
    "cost_e12",
    "avoided_cost_e12",
    "billing_rule_version",
    "billing_rule_digest",
    "usage",
    "meters",
    "charge_lines",
    "sources",
    "extra",
    "violations",
    "waived",
    "notices",
    "payload_digest",
    "input_digest",
    "call_bucket",
    "activation",
)
"""Append, never insert or drop: old seals cover the first so many of them."""

COLUMN_SETS: Final = {1: 91, 2: 93, 3: 94}
"""Number of the set to how many of `SEALED_COLUMNS` it has; a new column needs a new set."""
NEWEST_SET: Final = max(COLUMN_SETS)

SealedRow = tuple[Any, ...]

_SEQ: Final = 0
_EVENT_ID: Final = 1
_PRIME: Final = (1 << 61) - 1
_PLACES: Final = range(1, 1 + len(SEALED_COLUMNS))
_UTF8: Final = methodcaller("encode", "utf-8", "surrogatepass")


def seq_of(row: SealedRow) -> int:
    """Return the place in the order of ingest."""
    return int(row[_SEQ])


def event_id_of(row: SealedRow) -> str:
    """Return the event's id, whatever somebody made of it."""
    return str(row[_EVENT_ID])


def bytes_of_row(row: Sequence[Any], column_set: int = NEWEST_SET) -> bytes:
    """Write the one byte string that stands for a row under a column set."""
    width = COLUMN_SETS[column_set]
    return orjson.dumps([column_set, *row[:width]], default=repr)


def digest_of_row(row: Sequence[Any], column_set: int = NEWEST_SET) -> bytes:
    """Digest a row, as 32 bytes."""
    return hashlib.sha256(bytes_of_row(row, column_set)).digest()


def columns_past(row: SealedRow, column_set: int) -> tuple[str, ...]:
    """Name the columns that came after the seal and yet hold something."""
    width = COLUMN_SETS[column_set]
    if width == len(SEALED_COLUMNS):
        return ()
    late = zip(SEALED_COLUMNS[width:], row[width:], strict=False)
    return tuple(name for name, value in late if value is not None)


def locator_of(row: Sequence[Any], column_set: int = NEWEST_SET) -> tuple[int, int]:
    """Return the two sums by which a single edited column can be found again."""
    # All of it in C: a loop in Python takes three times as long, and sealing waits for it.
    weights = list(map(crc32, map(_UTF8, map(str, row[: COLUMN_SETS[column_set]]))))
    return sum(weights), sum(map(mul, weights, _PLACES))


def edited_column(
    before: tuple[int, int], row: Sequence[Any], column_set: int = NEWEST_SET
) -> str | None:
    """Name the one column in which a row differs from its locator; None where it cannot be told."""
    after = locator_of(row, column_set)
    plain, weighted = ((new - old) % _PRIME for new, old in zip(after, before, strict=True))
    if plain == 0:
        return None
    place = weighted * pow(plain, -1, _PRIME) % _PRIME
    return SEALED_COLUMNS[place - 1] if 1 <= place <= COLUMN_SETS[column_set] else None
