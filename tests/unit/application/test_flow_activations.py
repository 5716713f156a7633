from __future__ import annotations

from dataclasses import replace

from fakes.break_glass import a_night, glass
from fakes.contracts import a_contract, a_registry
from fakes.engines import ADMIT
from fakes.entries import NOON_NS
from fakes.lines import a_line, clock_of, decided, engine_of
from tallygate.domain.policy.recorded_input import question_from_recorded
from tallygate.domain.policy.terms import OverrideTerm


def test_the_policy_is_told_what_is_activated_for_the_service() -> None:
    line = a_line()
    line.policy = replace(line.policy, break_glass=glass())
    line.activations = lambda: [a_night()]

    decided(line)
    clock_of(line).go_on(seconds=8 * 3600)
    decided(line)

    first, later = engine_of(line).questions
    assert [told["id"] for told in first["activations"]] == ["bg-support-outage"]
    assert "activations" not in later


def test_what_the_policy_does_not_allow_is_not_told() -> None:
    line = a_line()
    line.activations = lambda: [a_night()]

    decided(line)

    assert "activations" not in engine_of(line).questions[0]


def test_the_terms_are_those_of_the_policy_and_of_what_is_activated() -> None:
    line = a_line()
    term = OverrideTerm("ovr-1", "support-assistant", NOON_NS, NOON_NS + 1)
    line.policy = replace(line.policy, break_glass=glass(), terms=(term,))
    assert line.terms_now() == (term,)

    line.activations = lambda: [a_night()]

    assert {each.override_id for each in line.terms_now()} == {"ovr-1", "bg-support-outage"}


WAIVED = [
    {"code": "ownership_missing", "field": "feature", "override": "bg-support-outage"},
    {"code": "ownership_missing", "field": "workflow_id", "override": "bg-support-outage"},
    {"code": "ownership_missing", "field": "workflow_id", "override": "ovr-2026-0007"},
]


def test_what_was_activated_is_kept_with_the_input_of_a_call_that_it_excused() -> None:
    excused = decided(a_line(lambda _: {**ADMIT, "waived": WAIVED}))
    plain = decided(a_line())

    assert excused.recorded is not None
    assert plain.recorded is not None
    assert excused.recorded["activations"] == ["bg-support-outage"]
    assert excused.recorded == {**plain.recorded, "activations": ["bg-support-outage"]}
    assert excused.decision.input_digest != plain.decision.input_digest


def test_a_replay_tells_the_policy_that_it_was_on_at_any_instant() -> None:
    recorded = decided(a_line(lambda _: {**ADMIT, "waived": WAIVED})).recorded
    assert recorded is not None

    question = question_from_recorded(
        recorded, a_contract(), a_registry(), call_bucket=None, at_ns=NOON_NS
    )

    (told,) = question["activations"]
    assert told["id"] == "bg-support-outage"
    assert told["from"] < question["now"] < told["until"]
