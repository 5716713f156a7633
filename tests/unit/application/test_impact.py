from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from fakes.contracts import CONTRACT, REGISTRY, a_contract, a_registry
from fakes.engines import ADMIT, FakeEngine
from fakes.entries import NOON_NS, SECOND_NS
from fakes.recorded_calls import FakeDecisionLines, an_input, some_calls
from tallygate.application.impact import find_impact
from tallygate.application.impact_findings import DateOrigin, Impact, Tally, Window
from tallygate.application.replay import PolicyAt
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.policy.change import Kind

DAY_NS = 86_400 * SECOND_NS
NOW = Window(
    since_ns=NOON_NS - 30 * DAY_NS,
    until_ns=NOON_NS + SECOND_NS,
    now_ns=NOON_NS + SECOND_NS,
    at_ns=NOON_NS + SECOND_NS,
)
AS_RECORDED = Window(since_ns=NOW.since_ns, until_ns=NOW.until_ns, now_ns=NOW.now_ns, at_ns=None)
REJECT = {
    "action": "reject",
    "would_action": "reject",
    "violations": [{"code": "ownership_missing", "field": "workflow_id"}],
}
Answer = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]


def day(number: int) -> str:
    """Name noon of a day, counted from the window's end."""
    return text_from_ns(NOON_NS + number * DAY_NS)


def a_policy(answer: Answer = lambda _: ADMIT, **registry: Any) -> PolicyAt:
    return PolicyAt(
        name="a-branch",
        commit=None,
        engine=FakeEngine(answer),
        contract=a_contract(),
        registry=a_registry(**registry),
        data={"contract": CONTRACT, "registry": REGISTRY | registry},
        documents={},
    )


def refusing(*services: str) -> Answer:
    """Refuse these services and nobody else."""

    def answer(question: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**ADMIT, **REJECT} if question["ownership"]["service"] in services else ADMIT

    return answer


def dated(*steps: tuple[str, Mapping[str, Any]]) -> Answer:
    """Admit until the first step, then answer as the newest step says."""

    def answer(question: Mapping[str, Any]) -> Mapping[str, Any]:
        begun = [part for at, part in steps if at <= question["now"]]
        to_come = [at for at, _ in steps if at > question["now"]]
        until = {"valid_until": min(to_come)} if to_come else {}
        return {**ADMIT, **(begun[-1] if begun else {}), **until}

    return answer


def impact_of(
    base: PolicyAt, head: PolicyAt, *inputs: Mapping[str, Any], window: Window = NOW, calls: int = 4
) -> Impact:
    lines = FakeDecisionLines([some_calls(each, calls) for each in inputs], inputs)
    return find_impact(lines, base, head, window)


def test_calls_that_head_refuses_and_base_admits_are_newly_refused() -> None:
    support, search = an_input(), an_input("search-api")

    impact = impact_of(a_policy(), a_policy(refusing("search-api")), support, search)

    (change,) = impact.changes
    assert (change.kind, change.service, change.environment) == (
        Kind.REFUSED,
        "search-api",
        "prod",
    )
    assert change.reasons == (("ownership_missing", "workflow_id"),)
    assert change.tally == Tally(calls=4, cost=Decimal(1)) == impact.refused
    assert change.of_service == 4
    assert change.samples == ("dec-search-api",)
    assert impact.replayed == Tally(calls=8, cost=Decimal(2))
    assert impact.inputs == 2


def test_calls_of_one_kind_are_added_up_over_inputs_and_spans_with_three_samples() -> None:
    one, other = an_input(), an_input(claims={"feature": "ticket-triage"})
    groups = [
        some_calls(one, 5, samples=("dec-1", "dec-2")),
        some_calls(one, 2, samples=("dec-3", "dec-4"), first_at_ns=NOON_NS - DAY_NS, unpriced=1),
        some_calls(other, 7, samples=("dec-5",), action="reject", cost=Decimal(0)),
    ]
    lines = FakeDecisionLines(groups, [one, other])

    impact = find_impact(lines, a_policy(), a_policy(refusing("support-assistant")), NOW)

    (change,) = impact.changes
    assert change.tally == Tally(calls=14, cost=Decimal("1.75"), unpriced=1, refused=7)
    assert change.samples == ("dec-1", "dec-2", "dec-3")


def test_newly_refused_comes_first_then_the_greater_number_of_calls() -> None:
    inputs = [an_input(), an_input("search-api"), an_input("support-digest")]
    base, head = a_policy(refusing("support-digest")), a_policy(refusing("search-api"))
    head_more = a_policy(refusing("search-api", "support-assistant"))
    lines = FakeDecisionLines(
        [some_calls(inputs[0], 1), some_calls(inputs[1], 2), some_calls(inputs[2], 99)], inputs
    )

    kinds = [(c.kind, c.service) for c in find_impact(lines, base, head, NOW).changes]
    more = [(c.kind, c.service) for c in find_impact(lines, base, head_more, NOW).changes]

    assert kinds == [(Kind.REFUSED, "search-api"), (Kind.ADMITTED, "support-digest")]
    assert more == [
        (Kind.REFUSED, "search-api"),
        (Kind.REFUSED, "support-assistant"),
        (Kind.ADMITTED, "support-digest"),
    ]


def test_calls_without_their_input_are_counted_and_never_guessed() -> None:
    known, lost = an_input(), an_input("search-api")
    groups = [some_calls(known), some_calls(lost, 3), some_calls(None, 5, service="old-service")]

    impact = find_impact(
        FakeDecisionLines(groups, [known]), a_policy(), a_policy(refusing("search-api")), NOW
    )

    assert impact.changes == []
    assert impact.replayed.calls == 1
    assert {name: tally.calls for name, tally in impact.not_replayed.items()} == {
        "search-api": 3,
        "old-service": 5,
    }


def test_usage_of_calls_from_before_the_window_adds_its_cost_and_nothing_else() -> None:
    support, search = an_input(), an_input("search-api")
    usage = some_calls(search, 0, cost=Decimal(3), unpriced=1, samples=("dec-before",))
    lines = FakeDecisionLines([some_calls(support, 1), usage], [support, search])
    head = a_policy(dated((day(-1), REJECT | {"mode": "report_only"}), (day(10), REJECT)))

    impact = find_impact(lines, a_policy(), a_policy(refusing("search-api")), NOW)
    (date,) = find_impact(lines, a_policy(), head, NOW).dates

    assert impact.changes == []
    assert impact.inputs == 1
    assert impact.replayed == Tally(calls=1, cost=Decimal("3.25"), unpriced=1)
    assert impact.unlike_record == Tally()
    assert date.tally == Tally(calls=1, cost=Decimal("0.25"))
    assert list(date.services) == ["support-assistant"]


def test_a_date_that_meets_no_call_is_no_date() -> None:
    usage = some_calls(an_input(), 0, cost=Decimal(3))
    lines = FakeDecisionLines([usage], [an_input()])

    impact = find_impact(lines, a_policy(), a_policy(dated((day(10), REJECT))), NOW)

    assert (impact.dates, impact.later, impact.inputs) == ([], {}, 0)


def test_usage_apart_from_its_call_by_bucket_alone_is_of_one_group_with_others() -> None:
    canaries = REGISTRY["services"] | {"support-assistant": {"canary": {"default": 50}}}
    recorded = an_input()
    groups = [
        some_calls(recorded, 0, call_bucket=3, cost=Decimal(2)),
        some_calls(recorded, 1, call_bucket=4),
        some_calls(recorded, 0, call_bucket=77, cost=Decimal(1)),
    ]
    head = a_policy(refusing("support-assistant"), services=canaries)

    impact = find_impact(FakeDecisionLines(groups, [recorded]), a_policy(), head, NOW)

    (change,) = impact.changes
    assert change.tally == Tally(calls=1, cost=Decimal("2.25"))
    assert impact.replayed == Tally(calls=1, cost=Decimal("3.25"))


def test_what_break_glass_excused_is_asked_with_it_and_is_like_its_record() -> None:
    taken = an_input(activations=["bg-search"])

    def answer(question: Mapping[str, Any]) -> Mapping[str, Any]:
        return ADMIT if "activations" in question else {**ADMIT, **REJECT}

    policy = a_policy(answer)

    assert impact_of(policy, policy, taken).unlike_record == Tally()
    assert impact_of(policy, policy, an_input()).unlike_record.calls == 4


def test_a_question_that_comes_again_is_asked_once_for_each_revision() -> None:
    base, head = a_policy(), a_policy()
    recorded = an_input()
    groups = [some_calls(recorded, service=f"s{n}", mode=m) for n in range(9) for m in ("a", "b")]

    find_impact(FakeDecisionLines(groups, [recorded]), base, head, NOW)

    assert isinstance(base.engine, FakeEngine)
    assert isinstance(head.engine, FakeEngine)
    assert len(base.engine.questions) == len(head.engine.questions) == 1


def test_as_recorded_each_call_is_decided_at_its_own_time() -> None:
    begins = day(-7)
    step = {"from": begins, "mode": "enforce"}
    services = REGISTRY["services"] | {"support-assistant": {"schedule": [step]}}
    head = a_policy(dated((begins, REJECT)), services=services)
    recorded = an_input()
    begins_ns = NOON_NS - 7 * DAY_NS
    groups = [
        some_calls(recorded, 1, first_at_ns=begins_ns - 1),
        some_calls(recorded, 10, first_at_ns=begins_ns),
        some_calls(recorded, 100, first_at_ns=NOON_NS),
    ]
    lines = FakeDecisionLines(groups, [recorded])

    as_recorded = find_impact(lines, a_policy(), head, AS_RECORDED)
    as_of_now = find_impact(lines, a_policy(), head, NOW)

    assert lines.cuts_ns == (begins_ns,)
    assert as_recorded.refused.calls == 110
    assert as_of_now.refused.calls == 111


def test_a_record_that_base_would_not_repeat_is_told_apart() -> None:
    recorded = an_input()
    groups = [some_calls(recorded, 3), some_calls(recorded, 2, mode="report_only")]

    impact = find_impact(FakeDecisionLines(groups, [recorded]), a_policy(), a_policy(), NOW)

    assert impact.unlike_record.calls == 2
    assert impact.changes == []


def test_what_base_cannot_answer_is_not_compared_and_what_head_cannot_is_the_worst() -> None:
    recorded = an_input()
    mute = a_policy(lambda _: None)

    without_base = impact_of(mute, a_policy(), recorded)
    without_head = impact_of(a_policy(), mute, recorded)

    assert (without_base.undecided.calls, without_base.changes) == (4, [])
    assert [change.kind for change in without_head.changes] == [Kind.UNANSWERED]
    assert without_head.refused.calls == 4


def test_dates_ahead_say_what_begins_when_and_whose_date_it_is() -> None:
    recorded = an_input(claims={"workflow_id": "wf-1"})
    waived = {"waived": [{"code": "ownership_missing", "field": "f", "override": "ovr-1"}]}
    base = a_policy(dated((day(3), REJECT), (day(20), {})))
    head = a_policy(dated((day(3), REJECT), (day(9), waived), (day(30), REJECT)))

    impact = impact_of(base, head, recorded)

    assert impact.changes == []
    assert [(date.at, date.kind, date.origin) for date in impact.dates] == [
        (day(3), Kind.REFUSED, DateOrigin.KEPT),
        (day(9), Kind.ADMITTED, DateOrigin.NEW),
        (day(20), Kind.ADMITTED, DateOrigin.DROPPED),
        (day(30), Kind.REFUSED, DateOrigin.NEW),
    ]
    assert impact.dates[0].tally.calls == 4
    assert impact.dates[0].workflows == 1
    assert list(impact.dates[0].services) == ["support-assistant"]


def test_what_a_date_will_refuse_and_base_would_not_stands_at_its_first_date() -> None:
    inputs = [an_input(), an_input("search-api")]
    base = a_policy(dated((day(3), REJECT)))
    sooner = a_policy(dated((day(1), REJECT), (day(2), {}), (day(4), REJECT)))
    never = a_policy()

    assert impact_of(base, sooner, *inputs).later == {day(1): Tally(calls=8, cost=Decimal(2))}
    assert impact_of(base, never, *inputs).later == {}
    assert impact_of(never, base, *inputs).later.keys() == {day(3)}


def test_an_override_that_ends_again_refuses_nothing_that_base_would_not() -> None:
    excused_for_a_while = a_policy(dated((day(-9), {}), (day(3), REJECT)))
    refused_for_good = a_policy(dated((day(-9), REJECT)))

    impact = impact_of(refused_for_good, excused_for_a_while, an_input())

    assert [change.kind for change in impact.changes] == [Kind.ADMITTED]
    assert [(date.at, date.kind) for date in impact.dates] == [(day(3), Kind.REFUSED)]
    assert impact.later == {}


def test_a_relief_that_head_takes_away_counts_from_its_date() -> None:
    base = a_policy(dated((day(-9), REJECT), (day(3), {})))
    head = a_policy(dated((day(-9), REJECT)))

    impact = impact_of(base, head, an_input())

    assert [(date.at, date.kind, date.origin) for date in impact.dates] == [
        (day(3), Kind.ADMITTED, DateOrigin.DROPPED)
    ]
    assert impact.later.keys() == {day(3)}


def test_an_instant_at_which_nothing_changes_is_no_date() -> None:
    head = a_policy(dated((day(3), {}), (day(5), {"mode_source": "schedule"})))

    assert impact_of(a_policy(), head, an_input()).dates == []


def test_call_buckets_are_told_apart_only_where_a_canary_asks_and_by_its_shares() -> None:
    canaries = REGISTRY["services"] | {
        "support-assistant": {
            "canary": {"default": 10, "prod": 25},
            "schedule": [{"from": day(3), "mode": "enforce", "canary": 50}],
        }
    }
    recorded = an_input()
    groups = [some_calls(recorded, call_bucket=bucket) for bucket in range(100)]
    lines = FakeDecisionLines(groups, [recorded])

    find_impact(lines, a_policy(), a_policy(), NOW)
    assert lines.by_call_bucket is False

    impact = find_impact(lines, a_policy(), a_policy(services=canaries), NOW)
    assert lines.by_call_bucket is True
    assert impact.replayed.calls == 100


def test_progress_is_told_from_the_first_input_to_the_last() -> None:
    told: list[tuple[int, int | None]] = []
    inputs = [an_input(claims={"workflow_id": f"wf-{n}"}) for n in range(130)]
    lines = FakeDecisionLines([some_calls(each) for each in inputs], inputs)

    find_impact(lines, a_policy(), a_policy(), NOW, lambda done, of: told.append((done, of)))

    assert told[0] == (0, None)
    assert told[-1] == (130, 130)
    assert (64, 130) in told
