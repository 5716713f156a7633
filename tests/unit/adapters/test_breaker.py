from __future__ import annotations

import asyncio

import pytest

from tallygate.adapters.engines.breaker import OPEN_S, UNANSWERED_TO_OPEN, Breaker, Unanswered
from tallygate.errors import EngineFailed


class Ticks:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def breaker(ticks: Ticks) -> Breaker:
    return Breaker(ticks)


def goes_unanswered(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(Unanswered, match="silence"), breaker.around():
            raise Unanswered("silence")


def is_held_back(breaker: Breaker) -> bool:
    try:
        with breaker.around():
            return False
    except Unanswered:
        return True


def test_it_opens_after_several_in_a_row_and_not_before(breaker: Breaker) -> None:
    goes_unanswered(breaker, UNANSWERED_TO_OPEN - 1)
    assert not is_held_back(breaker)  # and this answer starts the count again

    goes_unanswered(breaker, UNANSWERED_TO_OPEN - 1)
    assert not breaker.is_open
    goes_unanswered(breaker)

    assert breaker.is_open
    assert is_held_back(breaker)


def test_an_answer_that_cannot_be_used_is_an_answer(breaker: Breaker) -> None:
    """Method: one caller's odd question, asked again and again, may shut out nobody."""
    for _ in range(UNANSWERED_TO_OPEN * 3):
        with pytest.raises(EngineFailed, match="answered 500"), breaker.around():
            raise EngineFailed("answered 500")

    assert not breaker.is_open


def test_after_a_while_one_question_tries_and_the_others_wait_for_it(
    breaker: Breaker, ticks: Ticks
) -> None:
    goes_unanswered(breaker, UNANSWERED_TO_OPEN)
    ticks.now += OPEN_S

    with breaker.around():
        assert is_held_back(breaker)

    assert not breaker.is_open
    assert not is_held_back(breaker)


def test_a_try_that_goes_unanswered_keeps_it_open_for_as_long_again(
    breaker: Breaker, ticks: Ticks
) -> None:
    goes_unanswered(breaker, UNANSWERED_TO_OPEN)
    ticks.now += OPEN_S
    goes_unanswered(breaker)

    ticks.now += OPEN_S - 0.01
    assert is_held_back(breaker)
    ticks.now += 0.01
    assert not is_held_back(breaker)


def test_a_try_whose_client_goes_away_leaves_the_next_one_free(
    breaker: Breaker, ticks: Ticks
) -> None:
    goes_unanswered(breaker, UNANSWERED_TO_OPEN)
    ticks.now += OPEN_S
    with pytest.raises(asyncio.CancelledError), breaker.around():
        raise asyncio.CancelledError

    assert breaker.is_open
    assert not is_held_back(breaker)


def test_an_answer_to_a_question_from_before_closes_it(breaker: Breaker) -> None:
    with breaker.around():
        goes_unanswered(breaker, UNANSWERED_TO_OPEN)
        assert breaker.is_open

    assert not is_held_back(breaker)
