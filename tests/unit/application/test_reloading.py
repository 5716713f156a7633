"""What becomes of a content of the policies folder: every way through the small state machine."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fakes.entries import NOON_NS
from tallygate.application.reloading import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    InForce,
    Outcome,
    Reading,
    Refused,
    Reloading,
    told_of_problems,
)
from tallygate.errors import Problem

WRONG = Problem(code="yaml_syntax", message="is not YAML.", file="registry/data.yaml", line=7)


def started(content: str = "c1", revision: str = "r1") -> Reloading:
    return Reloading(InForce(revision=revision, content=content, loaded_at_ns=NOON_NS))


def good(content: str, revision: str) -> Reading:
    return Reading(content=content, revision=revision)


def broken(content: str, *problems: Problem) -> Reading:
    return Reading(content=content, problems=problems or (WRONG,))


def test_a_good_content_is_put_in_force_as_a_whole() -> None:
    state = started()

    assert state.is_news("c2")
    assert not state.refuses(good("c2", "r2"), NOON_NS + 5)
    state.put_in_force(good("c2", "r2"), NOON_NS + 5)

    assert state.in_force == InForce(revision="r2", content="c2", loaded_at_ns=NOON_NS + 5)
    assert state.told() == ()
    assert not state.is_news("c2")


def test_a_broken_content_is_refused_once_and_what_is_in_force_stays() -> None:
    state = started()

    assert state.refuses(broken("c2"), NOON_NS)

    assert state.in_force.revision == "r1"
    assert not state.is_news("c2")
    assert state.seen_again("c2") is Outcome.UNCHANGED
    assert state.refused == Refused(content="c2", at_ns=NOON_NS, problems=(WRONG,))
    (told,) = state.told()
    assert "registry/data.yaml:7: is not YAML." in told
    assert "revision r1, decides" in told
    assert "since 2026-" in told


def test_another_broken_content_is_refused_anew() -> None:
    state = started()
    state.refuses(broken("c2"), NOON_NS)

    assert state.is_news("c3")
    state.refuses(broken("c3"), NOON_NS + 1)

    assert state.refused is not None
    assert state.refused.content == "c3"
    assert state.is_news("c2")


def test_putting_back_what_is_in_force_mends_a_refusal_without_reading_it_again() -> None:
    state = started()
    state.refuses(broken("c2"), NOON_NS)

    assert not state.is_news("c1")
    assert state.seen_again("c1") is Outcome.UNCHANGED

    assert state.refused is None
    assert state.told() == ()


def test_a_mended_folder_ends_a_start_from_the_last_good_bundle() -> None:
    in_force = InForce(revision="r0", content="", loaded_at_ns=NOON_NS, is_last_good=True)
    state = Reloading(in_force, Refused(content="c1", at_ns=NOON_NS, problems=(WRONG,)))
    assert "the last good policy of an earlier start" in state.told()[0]
    assert not state.is_news("c1")

    state.put_in_force(good("c2", "r0"), NOON_NS + 1)

    assert not state.in_force.is_last_good
    assert state.told() == ()


def test_what_could_not_be_found_out_is_tried_again_ever_more_slowly() -> None:
    state = started()

    pauses = [state.failed("no memory") for _ in range(8)]

    assert pauses[0] == FIRST_PAUSE_S
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_S
    assert state.is_news("c2")
    assert "could not be judged (no memory)" in state.told()[0]
    state.put_in_force(good("c2", "r2"), NOON_NS)
    state.refuses(good("c2", "r2"), NOON_NS)
    assert state.told() == ()
    assert state.failed("again") == FIRST_PAUSE_S


def test_warnings_last_as_long_as_the_policy_that_they_are_about() -> None:
    state = started()
    state.put_in_force(Reading(content="c2", revision="r2", warnings=("compiled here",)), NOON_NS)
    state.warn("no hash key")

    assert state.told() == ("compiled here", "no hash key")

    state.put_in_force(good("c3", "r3"), NOON_NS)
    assert state.told() == ()


def test_a_long_list_of_problems_is_cut_in_a_sentence() -> None:
    many = [Problem(code="x", message=f"wrong {n}.\nand more", file="f") for n in range(9)]

    told = told_of_problems(many)

    assert told.count("wrong") == 5
    assert told.endswith("and 4 more")
    assert "\n" not in told


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=30))
def test_whatever_comes_what_is_in_force_was_good_and_nothing_is_read_twice_in_a_row(
    pushes: list[tuple[str, bool]],
) -> None:
    state, good_ones = started("start", "start"), {"start"}
    for content, is_good in pushes:
        name = f"{content}-{is_good}"
        if not state.is_news(name):
            state.seen_again(name)
        elif state.refuses(good(name, name) if is_good else broken(name), NOON_NS):
            assert not is_good
        else:
            state.put_in_force(good(name, name), NOON_NS)
            good_ones.add(name)

        assert state.in_force.revision in good_ones
        assert (state.refused is not None) == (not is_good)
        assert not state.is_news(name)
