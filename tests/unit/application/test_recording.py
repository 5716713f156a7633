from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fakes.decision_lines import LedgerLines
from fakes.entries import NOON_NS, SECOND_NS
from fakes.ledger import FakeLedger
from tallygate.application.recording import (
    DAY_NS,
    HOUR_NS,
    BucketCalls,
    grain_of,
    recorded_groups,
)
from tallygate.application.replay_ports import RecordedCalls

CALLS = RecordedCalls(
    input_digest="sha256:1",
    call_bucket=3,
    span=0,
    service="support-assistant",
    owner_team="team-support",
    environment="prod",
    action="admit",
    would_action="admit",
    mode="enforce",
    calls=2,
    cost=Decimal("0.5"),
    unpriced=0,
    first_at_ns=NOON_NS + 9,
    last_at_ns=NOON_NS + 10,
    samples=("dec-2", "dec-3"),
)


class Lines(LedgerLines):
    """Answers with what it is given, and keeps the cuts that it was asked for."""

    def __init__(self, *groups: RecordedCalls) -> None:
        super().__init__(FakeLedger())
        self.groups = groups
        self.cuts_ns: Sequence[int] = ()

    def recorded_calls(
        self,
        since_ns: int | None,
        until_ns: int | None,
        *,
        by_call_bucket: bool,
        cuts_ns: Sequence[int] = (),
    ) -> Iterator[RecordedCalls]:
        assert by_call_bucket
        self.cuts_ns = cuts_ns
        return iter(self.groups)


def test_the_buckets_of_alike_calls_are_one_group() -> None:
    other = replace(
        CALLS, call_bucket=9, calls=5, unpriced=1, first_at_ns=NOON_NS, samples=("dec-1", "dec-4")
    )

    (group,) = recorded_groups(Lines(CALLS, other), NOON_NS, NOON_NS + HOUR_NS)

    assert group.buckets == (
        BucketCalls(3, 2, Decimal("0.5"), 0),
        BucketCalls(9, 5, Decimal("0.5"), 1),
    )
    assert (group.first_at_ns, group.last_at_ns) == (NOON_NS, NOON_NS + 10)
    assert group.samples == (("dec-1", 9), ("dec-2", 3), ("dec-3", 3))


@pytest.mark.parametrize(
    "changes",
    [{"span": 1}, {"input_digest": None}, {"mode": "report_only"}, {"service": None}],
)
def test_calls_that_differ_otherwise_are_groups_of_their_own(changes: dict[str, Any]) -> None:
    groups = recorded_groups(Lines(CALLS, replace(CALLS, **changes)), NOON_NS, NOON_NS + HOUR_NS)

    assert len(list(groups)) == 2


def test_samples_of_lines_without_a_bucket_keep_their_order() -> None:
    old = replace(CALLS, call_bucket=None)

    (group,) = recorded_groups(Lines(old), NOON_NS, NOON_NS + HOUR_NS)

    assert group.samples == (("dec-2", None), ("dec-3", None))


def test_cuts_stand_on_the_whole_hour() -> None:
    lines = Lines()

    list(recorded_groups(lines, NOON_NS + SECOND_NS, NOON_NS + 3 * HOUR_NS))

    assert list(lines.cuts_ns) == [NOON_NS + HOUR_NS, NOON_NS + 2 * HOUR_NS]


def test_a_long_time_is_cut_by_the_day() -> None:
    assert grain_of(0, 100 * DAY_NS) == HOUR_NS
    assert grain_of(0, 100 * DAY_NS + 1) == DAY_NS


def test_progress_is_told_in_calls() -> None:
    heard: list[int] = []
    groups = recorded_groups(
        Lines(CALLS, replace(CALLS, span=1)), NOON_NS, NOON_NS + 2 * HOUR_NS, heard.append
    )

    assert len(list(groups)) == 2
    assert heard == [2, 4]
