"""
Recorded calls as they leave the ledger in one file, for a replay that cannot reach it.

Shapes  A group is what was asked and decided alike within one hour: how many calls, by bucket of
        the call, at what cost. Past `HOURLY_DAYS` days it is one day. So what a policy changes at
        a whole hour is replayed exactly, as is every share of calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Final

from tallygate.application.replay_ports import DecisionLines, RecordedCalls
from tallygate.domain.kernel.instants import NS_PER_SECOND

HOUR_NS: Final = 3600 * NS_PER_SECOND
DAY_NS: Final = 24 * HOUR_NS
HOURLY_DAYS: Final = 100
SAMPLES_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class BucketCalls:
    """The calls of a group that share a bucket; None where the lines are older than buckets."""

    call_bucket: int | None
    calls: int
    cost: Decimal
    unpriced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedGroup:
    """`RecordedCalls` of all buckets together, within one hour or day."""

    input_digest: str | None
    service: str | None
    owner_team: str | None
    environment: str | None
    action: str
    would_action: str
    mode: str
    first_at_ns: int
    last_at_ns: int
    samples: tuple[tuple[str, int | None], ...]
    """Decision ids, each with the bucket of its call."""
    buckets: tuple[BucketCalls, ...]


def grain_of(since_ns: int, until_ns: int) -> int:
    """Tell how long a group lasts at most."""
    return HOUR_NS if until_ns - since_ns <= HOURLY_DAYS * DAY_NS else DAY_NS


def recorded_groups(
    lines: DecisionLines,
    since_ns: int,
    until_ns: int,
    on_progress: Callable[[int], None] = lambda _calls: None,
) -> Iterator[RecordedGroup]:
    """Read the calls of a time; `on_progress` hears how many have gone by."""
    grain_ns = grain_of(since_ns, until_ns)
    first = since_ns - since_ns % grain_ns + grain_ns
    cuts_ns = range(first, until_ns, grain_ns)
    found = lines.recorded_calls(since_ns, until_ns, by_call_bucket=True, cuts_ns=cuts_ns)
    calls = 0
    for _, alike in groupby(found, _all_but_the_bucket):
        group = _group_of(tuple(alike))
        calls += sum(bucket.calls for bucket in group.buckets)
        on_progress(calls)
        yield group


def _all_but_the_bucket(calls: RecordedCalls) -> tuple[object, ...]:
    return (
        calls.input_digest,
        calls.span,
        calls.service,
        calls.owner_team,
        calls.environment,
        calls.action,
        calls.would_action,
        calls.mode,
    )


def _group_of(alike: tuple[RecordedCalls, ...]) -> RecordedGroup:
    one = alike[0]
    samples = sorted((sample, each.call_bucket) for each in alike for sample in each.samples)
    return RecordedGroup(
        input_digest=one.input_digest,
        service=one.service,
        owner_team=one.owner_team,
        environment=one.environment,
        action=one.action,
        would_action=one.would_action,
        mode=one.mode,
        first_at_ns=min(each.first_at_ns for each in alike),
        last_at_ns=max(each.last_at_ns for each in alike),
        samples=tuple(samples[:SAMPLES_MAX]),
        buckets=tuple(
            BucketCalls(each.call_bucket, each.calls, each.cost, each.unpriced) for each in alike
        ),
    )
