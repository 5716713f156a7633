from __future__ import annotations

import pytest

from fakes.recorded_calls import FakeDecisionLines
from tallygate.bootstrap.impact import DEFAULT_NS, Recorded

NOW = 100 * DEFAULT_NS


@pytest.mark.parametrize(
    ("since", "until", "chosen"),
    [
        (None, None, (NOW - DEFAULT_NS, NOW)),
        (None, NOW - 7, (NOW - 7 - DEFAULT_NS, NOW - 7)),
        (5, None, (5, NOW)),
        (5, 9, (5, 9)),
    ],
)
def test_of_a_ledger_the_last_thirty_days_are_replayed_unless_a_time_is_named(
    since: int | None, until: int | None, chosen: tuple[int, int]
) -> None:
    assert Recorded(FakeDecisionLines([])).window(since, until, NOW) == chosen


@pytest.mark.parametrize(
    ("since", "until", "chosen"),
    [
        (None, None, (10, 20)),
        (5, 99, (10, 20)),
        (12, 18, (12, 18)),
        (99, None, (99, 99)),
        (None, 15, (10, 15)),
    ],
)
def test_of_a_file_all_is_replayed_and_never_more_than_it_holds(
    since: int | None, until: int | None, chosen: tuple[int, int]
) -> None:
    assert Recorded(FakeDecisionLines([]), 10, 20, 1).window(since, until, NOW) == chosen
