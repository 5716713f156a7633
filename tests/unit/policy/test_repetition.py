from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallygate.domain.policy.repetition import Repetition

MINUTE_NS = 60 * 1_000_000_000
SECOND_NS = 1_000_000_000


def offered(repetition: Repetition[str], key: str, event: str, at_ns: int) -> list[str]:
    """Offer one refusal as the request line does; returns what is written, aggregates first."""
    written = [f"{sample} x{count}" for sample, count in repetition.due(at_ns)]
    if repetition.admit(key, event, at_ns):
        written.append(event)
    return written


def test_the_first_five_of_a_minute_are_written_and_the_rest_share_one_line() -> None:
    repetition: Repetition[str] = Repetition()

    written = [offered(repetition, "k", f"e{n}", n) for n in range(9)]

    assert written == [["e0"], ["e1"], ["e2"], ["e3"], ["e4"], [], [], [], []]
    assert list(repetition.due(4 * SECOND_NS)) == []
    assert list(repetition.due(MINUTE_NS)) == [("e8", 4)]
    assert list(repetition.due(2 * MINUTE_NS)) == []


def test_what_is_held_back_is_handed_out_within_seconds_and_counted_once() -> None:
    repetition: Repetition[str] = Repetition()
    for number in range(9):
        offered(repetition, "k", f"e{number}", number)

    assert list(repetition.due(5 * SECOND_NS)) == [("e8", 4)]
    assert offered(repetition, "k", "e9", 6 * SECOND_NS) == []
    assert list(repetition.due(MINUTE_NS)) == [("e9", 1)]


def test_a_new_minute_begins_to_count_anew() -> None:
    repetition: Repetition[str] = Repetition(first=1)
    for number in range(3):
        offered(repetition, "k", f"e{number}", number)

    assert offered(repetition, "k", "next", MINUTE_NS) == ["e2 x2", "next"]
    assert offered(repetition, "k", "again", MINUTE_NS + 1) == []


def test_a_clock_set_back_begins_another_minute_and_loses_nothing() -> None:
    repetition: Repetition[str] = Repetition(first=1)
    offered(repetition, "k", "e0", 5 * MINUTE_NS)
    offered(repetition, "k", "e1", 5 * MINUTE_NS + 1)

    assert offered(repetition, "k", "e2", 2 * MINUTE_NS) == ["e1 x1", "e2"]


def test_different_refusals_are_counted_apart() -> None:
    repetition: Repetition[str] = Repetition(first=1)

    assert offered(repetition, "a", "a0", 0) == ["a0"]
    assert offered(repetition, "b", "b0", 0) == ["b0"]
    assert offered(repetition, "a", "a1", 0) == []
    assert list(repetition.flush()) == [("a1", 1)]


def test_the_end_hands_out_everything_that_was_held_back_once() -> None:
    repetition: Repetition[str] = Repetition(first=0)
    offered(repetition, "a", "a0", 0)
    offered(repetition, "b", "b0", 0)

    assert sorted(repetition.flush()) == [("a0", 1), ("b0", 1)]
    assert list(repetition.flush()) == []


def test_past_4096_kinds_in_a_minute_each_is_written_on_its_own() -> None:
    repetition: Repetition[int] = Repetition(first=1)

    assert all(repetition.admit(key, key, 0) for key in range(4096))
    assert all(repetition.admit(4096 + n, n, 0) for n in range(3))
    assert repetition.admit(4096, 4096, 0)  # no room to count it
    assert not repetition.admit(0, 0, 0)  # this one is still counted


@pytest.mark.parametrize("first", [0, 1, 5])
@given(
    refusals=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5 * MINUTE_NS)), max_size=60)
)
def test_no_refusal_is_lost_and_none_counts_twice(
    first: int, refusals: list[tuple[str, int]]
) -> None:
    repetition: Repetition[str] = Repetition(first=first)
    counted = 0
    for key, at_ns in refusals:
        counted += sum(count for _, count in repetition.due(at_ns))
        counted += repetition.admit(key, key, at_ns)
    counted += sum(count for _, count in repetition.flush())

    assert counted == len(refusals)
