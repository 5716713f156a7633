from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fakes.contracts import CONTRACT, REGISTRY, a_contract, a_registry
from fakes.engines import ADMIT, FakeEngine
from fakes.entries import NOON_NS, SECOND_NS
from fakes.recorded_calls import an_input
from tallygate.application.replay import CallShares, PolicyAt, Replay, cuts_between, instants_in
from tallygate.domain.kernel.instants import ns_from_text, text_from_ns

NOON = text_from_ns(NOON_NS)
ONE, TWO = (text_from_ns(NOON_NS + hours * 3600 * SECOND_NS) for hours in (1, 2))


def a_policy(
    answer: Callable[[Mapping[str, Any]], Mapping[str, Any] | None], **registry: Any
) -> tuple[PolicyAt, FakeEngine]:
    engine = FakeEngine(answer)
    policy = PolicyAt(
        name="main",
        commit=None,
        engine=engine,
        contract=a_contract(),
        registry=a_registry(),
        data={"contract": CONTRACT, "registry": REGISTRY | registry},
        documents={},
    )
    return policy, engine


def until_one_then_two(question: Mapping[str, Any]) -> Mapping[str, Any]:
    now = question["now"]
    until = ONE if now < ONE else TWO if now < TWO else ADMIT["valid_until"]
    return {**ADMIT, "mode_source": f"until {until}", "valid_until": until}


def at(text: str) -> int:
    return ns_from_text(text)


def test_an_answer_is_used_again_for_as_long_as_it_holds_and_no_longer() -> None:
    policy, engine = a_policy(until_one_then_two)
    replay = Replay(policy)

    for instant in (NOON_NS, NOON_NS + SECOND_NS, at(ONE) - 1, at(ONE), at(TWO) - 1, NOON_NS):
        replay.decide(an_input(), None, instant)

    assert [question["now"] for question in engine.questions] == [NOON, ONE]
    assert replay.asked == 2


def test_an_instant_before_the_first_answer_is_asked_for() -> None:
    policy, engine = a_policy(until_one_then_two)
    replay = Replay(policy)

    replay.decide(an_input(), None, NOON_NS)
    replay.decide(an_input(), None, NOON_NS - SECOND_NS)

    assert len(engine.questions) == 2


def test_inputs_that_make_one_question_share_its_answer() -> None:
    policy, engine = a_policy(lambda _: ADMIT)
    replay = Replay(policy)
    call = an_input()["call"]

    for model in ("?0000aaaa", "?0000bbbb", "?0000cccc"):
        replay.decide(an_input(call=call | {"models": [model]}), None, NOON_NS)

    assert len(engine.questions) == 1


def test_no_answer_is_asked_for_twice_and_then_holds_for_its_instant() -> None:
    policy, engine = a_policy(lambda _: None)
    replay = Replay(policy)

    assert replay.decide(an_input(), None, NOON_NS) is None
    assert replay.decide(an_input(), None, NOON_NS) is None
    assert len(engine.questions) == 2
    assert list(replay.later(an_input(), None, NOON_NS)) == []


def test_later_walks_from_one_end_of_an_answer_to_the_next() -> None:
    policy, _ = a_policy(until_one_then_two)

    steps = list(Replay(policy).later(an_input(), None, NOON_NS))

    assert [(instant, before.valid_until) for instant, before, _ in steps] == [
        (ONE, ONE),
        (TWO, TWO),
    ]
    assert all(
        before.valid_until == instant != after.valid_until for instant, before, after in steps
    )


def test_an_answer_that_ends_before_it_begins_does_not_go_on_for_ever() -> None:
    policy, _ = a_policy(lambda _: {**ADMIT, "valid_until": "2020-01-01T00:00:00Z"})

    assert list(Replay(policy).later(an_input(), None, NOON_NS)) == []


def test_every_instant_of_the_data_is_found_wherever_it_stands() -> None:
    data = {"a": [{"from": ONE}, {"until": [TWO]}], "b": {"note": f"since {NOON}"}, "c": 7}

    assert list(instants_in(data)) == [ONE, TWO]
    assert list(instants_in("2026-13-01T00:00:00Z")) == []


def test_cuts_are_those_of_both_policies_within_the_time() -> None:
    early, late = text_from_ns(NOON_NS - SECOND_NS), text_from_ns(NOON_NS + 9 * SECOND_NS)
    base, _ = a_policy(lambda _: ADMIT, teams={"t": {"retired_at": early}, "u": {"from": NOON}})
    head, _ = a_policy(lambda _: ADMIT, teams={"t": {"retired_at": late}, "u": {"from": TWO}})

    cuts = cuts_between((base, head), NOON_NS - SECOND_NS, NOON_NS + 10 * SECOND_NS)

    assert cuts == (NOON_NS, at(late))


@pytest.mark.parametrize(
    ("bucket", "like"),
    [(None, None), (0, 0), (9, 0), (10, 10), (24, 10), (25, 25), (49, 25), (50, 50), (99, 50)],
)
def test_buckets_between_two_shares_are_alike(bucket: int | None, like: int | None) -> None:
    services = {
        "a": {"canary": {"default": 10, "prod": 25, "dev": 0, "staging": 100}},
        "b": {"schedule": [{"from": ONE, "canary": 50}, {"from": TWO}]},
    }
    policy, _ = a_policy(lambda _: ADMIT, services=services)

    shares = CallShares.of((policy,))

    assert shares
    assert shares.like(bucket) == like


def test_without_a_canary_no_share_tells_calls_apart() -> None:
    policy, _ = a_policy(lambda _: ADMIT)

    assert not CallShares.of((policy,))
