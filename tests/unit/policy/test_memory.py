from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallygate.domain.kernel.instants import NS_PER_SECOND, text_from_ns
from tallygate.domain.policy.memory import RememberedDecisions

AT_TEN = "2026-11-21T10:00:00Z"
AT_ELEVEN = "2026-11-21T11:00:00Z"


def question(now: str = AT_TEN, **parts: Any) -> dict[str, Any]:
    return {"ownership": {"owner_team": "team-a"}, "bucket": 17, **parts, "now": now}


def remembered(capacity: int = 8) -> RememberedDecisions[str]:
    memory: RememberedDecisions[str] = RememberedDecisions(capacity)
    memory.remember("r1", question(), "admit", AT_ELEVEN)
    return memory


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param("2026-11-21T09:59:59Z", None, id="clock set back"),
        pytest.param(AT_TEN, "admit", id="same second"),
        pytest.param("2026-11-21T10:59:59Z", "admit", id="last second"),
        pytest.param(AT_ELEVEN, None, id="boundary reached"),
        pytest.param("soon", None, id="unreadable now"),
    ],
)
def test_an_answer_holds_from_its_computation_until_its_boundary(
    now: str, expected: str | None
) -> None:
    assert remembered().recall("r1", question(now)) == expected


def test_the_order_of_keys_is_no_part_of_a_question() -> None:
    shuffled = dict(reversed(question().items()))

    assert remembered().recall("r1", shuffled) == "admit"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"bucket": 18}, id="another bucket"),
        pytest.param({"bucket": "17"}, id="another type"),
        pytest.param({"ownership": {"owner_team": "team-b"}}, id="another team"),
        pytest.param({"extra": None}, id="one part more"),
    ],
)
def test_another_question_is_not_answered(other: dict[str, Any]) -> None:
    assert remembered().recall("r1", question(**other)) is None


def test_answers_die_with_the_revision() -> None:
    memory = remembered()

    assert memory.recall("r2", question()) is None
    memory.remember("r2", question(bucket=1), "reject", AT_ELEVEN)
    assert memory.recall("r1", question()) is None
    assert len(memory) == 1


def test_the_least_recently_used_answer_goes_first() -> None:
    memory: RememberedDecisions[int] = RememberedDecisions(2)
    memory.remember("r1", question(bucket=0), 0, AT_ELEVEN)
    memory.remember("r1", question(bucket=1), 1, AT_ELEVEN)
    memory.recall("r1", question(bucket=0))
    memory.remember("r1", question(bucket=2), 2, AT_ELEVEN)

    assert [memory.recall("r1", question(bucket=n)) for n in range(3)] == [0, None, 2]


def test_an_answer_is_replaced_when_the_clock_was_set_back() -> None:
    memory = remembered()
    memory.remember("r1", question("2026-11-21T09:00:00Z"), "reject", AT_TEN)

    assert memory.recall("r1", question("2026-11-21T09:30:00Z")) == "reject"
    assert memory.recall("r1", question(AT_TEN)) is None


@pytest.mark.parametrize(
    ("parts", "valid_until"),
    [
        pytest.param({"now": ""}, AT_ELEVEN, id="no readable now"),
        pytest.param({"now": AT_TEN}, "", id="no readable boundary"),
        pytest.param({"now": AT_TEN, "feature": "\ud800"}, AT_ELEVEN, id="not JSON"),
    ],
)
def test_what_cannot_be_bounded_is_not_kept(parts: dict[str, Any], valid_until: str) -> None:
    memory: RememberedDecisions[str] = RememberedDecisions(8)
    memory.remember("r1", question(**parts), "admit", valid_until)

    assert len(memory) == 0
    assert memory.recall("r1", question(**parts)) is None


class PushedOut(dict[str, Any]):
    """A question during whose reading another thread pushes the answer out."""

    memory: RememberedDecisions[str]

    def get(self, key: str, default: Any = None) -> Any:
        self.memory._answers.clear()
        return super().get(key, default)


def test_an_answer_pushed_out_meanwhile_is_still_given() -> None:
    racing = PushedOut(question())
    racing.memory = remembered()

    assert racing.memory.recall("r1", racing) == "admit"


@given(
    computed=st.integers(0, 10**6),
    length=st.integers(-5, 10**6),
    asked=st.integers(0, 2 * 10**6),
)
def test_a_hit_lies_within_the_half_open_interval(computed: int, length: int, asked: int) -> None:
    memory: RememberedDecisions[str] = RememberedDecisions(1)
    until = max(0, computed + length)
    memory.remember("r1", question(_at(computed)), "admit", _at(until))

    hit = memory.recall("r1", question(_at(asked))) is not None

    assert hit == (computed <= asked < until)


def _at(second: int) -> str:
    return text_from_ns(second * NS_PER_SECOND)
