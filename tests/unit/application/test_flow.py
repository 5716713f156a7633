from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from fakes.contracts import HASHED, hashed
from fakes.engines import ADMIT, FakeEngine
from fakes.entries import an_attempt, an_outcome
from fakes.lines import (
    HEADERS,
    REJECT,
    Answer,
    BrokenSpool,
    a_line,
    a_request,
    clock_of,
    decided,
    engine_of,
    events_in,
    stages_in,
)
from fakes.spool import FakeSpool, FakeSpoolFolder
from tallygate.application.flow import PolicyInForce
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.attribution.ownership import Claims
from tallygate.domain.ledger.events import EventKind, Stage, Status
from tallygate.domain.policy.question import CallShape
from tallygate.errors import EngineFailed, SpoolUnusable


def failing(error: BaseException) -> Answer:
    def answer(_: Mapping[str, Any]) -> Mapping[str, Any]:
        raise error

    return answer


# What an admission says.


def test_an_admitted_call_leaves_nothing_in_the_spool_until_an_attempt_is_opened() -> None:
    line = a_line()

    admission = decided(line)

    assert admission.admitted
    assert admission.refusal is None
    assert admission.decision.status == "decided"
    assert admission.decision.action == "admit"
    assert events_in(line) == []


def test_an_admission_carries_the_call_as_litellm_authenticated_it() -> None:
    call = decided(a_line()).call

    assert (call.call_id, call.trace_id, call.trace_source) == ("call-1", "tr_9f4c", "received")
    assert (call.route, call.call_type) == ("/v1/chat/completions", "acompletion")
    assert (call.parent_call_id, call.span_id) == ("0123456789abcdef", "fedcba9876543210")
    assert call.client_retry_count == 2
    assert (call.principal_team, call.principal_key_hash) == ("llm-support", "key-1")
    assert call.principal_org == "org-1"
    assert call.principal_bound


def test_without_a_claimed_span_the_traces_parent_is_the_span() -> None:
    call = decided(a_line(), a_request(claims=Claims(), principal=Principal())).call

    assert call.span_id == "a" * 16
    assert call.parent_call_id is None
    assert not call.principal_bound


def test_who_pays_is_what_the_policy_derived_and_the_claim_stands_beside_it() -> None:
    derived = {"owner_team": "team-quarantine", "cost_center": "CC-9", "business_unit": "none"}
    line = a_line(lambda _: {**ADMIT, "action": "quarantine", "ownership": derived})

    admission = decided(line)

    owner = admission.ownership
    assert admission.admitted
    assert admission.decision.action == "quarantine"
    assert (owner.owner_team, owner.claimed_owner_team) == ("team-quarantine", "team-support")
    assert (owner.cost_center, owner.business_unit) == ("CC-9", "none")
    assert owner.service == "support-assistant"
    assert owner.tenant_id_hash == hashed("acme")
    assert owner.extra == {"region": "eu-west"}
    assert owner.sources["service"] == "header"


def test_without_a_derived_payer_nobody_pays_yet() -> None:
    owner = decided(a_line()).ownership

    assert owner.owner_team is None
    assert owner.claimed_owner_team == "team-support"


def test_what_the_policy_said_stands_on_the_decision() -> None:
    answer = {
        **ADMIT,
        "violations": [{"code": "c", "field": "f"}],
        "waived": [{"code": "c", "field": "f", "override": "ovr-1"}],
        "notices": [{"code": "n", "subject": "s"}],
    }

    decision = decided(a_line(lambda _: answer)).decision

    assert decision.violations == ({"code": "c", "field": "f"},)
    assert decision.waived == ({"code": "c", "field": "f", "override": "ovr-1"},)
    assert decision.notices == ({"code": "n", "subject": "s"},)
    assert decision.policy_revision == "sha256:fake"
    assert decision.latency_us == 0


def test_the_engine_is_asked_about_the_call_with_nothing_personal_in_the_question() -> None:
    line = a_line()
    decided(
        line, a_request(claims=Claims([*HEADERS, (b"x-tallygate-user-id-hash", HASHED.encode())]))
    )

    (question,) = engine_of(line).questions
    assert question["ownership"]["service"] == "support-assistant"
    assert question["shapes"]["user_id_hash"] == "ok"
    assert HASHED not in str(question)
    assert "acme" not in str(question)


# Refusals.


def test_a_rejected_call_is_refused_and_recorded_once() -> None:
    line = a_line(lambda _: REJECT)

    admission = decided(line)

    assert not admission.admitted
    assert admission.refusal is not None
    assert (admission.refusal.http_status, admission.refusal.param) == (400, "feature")
    (event,) = events_in(line)
    assert stages_in(line) == [Stage.SETTLED]
    assert event.kind is EventKind.REFUSAL
    assert event.attempt is None
    assert replace(event.decision, input=None) == admission.decision
    assert event.outcome is not None
    assert event.outcome.status is Status.REFUSED
    assert event.outcome.http_status == 400
    assert event.outcome.error_type == "ownership_missing"
    assert admission.refusal.decision_id == admission.decision.decision_id


def test_report_only_passes_and_keeps_what_would_have_happened() -> None:
    answer = {**REJECT, "action": "admit", "mode": "report_only"}
    line = a_line(lambda _: answer)

    admission = decided(line)

    assert admission.admitted
    assert admission.decision.would_action == "reject"
    assert admission.decision.violations
    assert events_in(line) == []


@pytest.mark.parametrize(
    ("mode", "is_known", "admitted"),
    [
        pytest.param("enforce", False, False, id="unknown under enforce"),
        pytest.param("enforce", True, True, id="known under enforce"),
        pytest.param("report_only", False, True, id="unknown under report_only"),
    ],
)
def test_a_route_that_cannot_be_accounted_for_is_refused_under_enforce(
    mode: str, is_known: bool, admitted: bool
) -> None:
    line = a_line(lambda _: {**ADMIT, "mode": mode})
    shape = CallShape("/v9/brand/new", "unknown", None, stream=False, is_known=is_known)

    admission = decided(line, a_request(shape=shape))

    assert admission.admitted is admitted
    assert admission.decision.action == ("admit" if admitted else "reject")
    if admission.refusal is not None:
        assert (admission.refusal.http_status, admission.refusal.code) == (403, "route_unknown")
        assert len(events_in(line)) == 1


@pytest.mark.parametrize(
    ("choice", "admitted"),
    [pytest.param("refuse", False, id="refuse"), pytest.param("pass", True, id="pass")],
)
def test_when_the_spool_is_full_the_contract_says_what_happens(choice: str, admitted: bool) -> None:
    spool = FakeSpool(FakeSpoolFolder(limit=0))
    line = a_line(spool=spool, contract={"spool_full": choice})

    admission = decided(line)

    assert admission.admitted is admitted
    if admission.refusal is not None:
        assert (admission.refusal.http_status, admission.refusal.code) == (503, "spool_full")
        assert admission.decision.action == "reject"
        assert admission.decision.would_action == "admit"
    else:
        line.open(admission, an_attempt())
        assert line.uncounted == 1


def test_a_rejection_goes_before_a_full_spool() -> None:
    line = a_line(lambda _: REJECT, spool=FakeSpool(FakeSpoolFolder(limit=0)))

    refusal = decided(line).refusal

    assert refusal is not None
    assert refusal.code == "ownership_missing"


# A policy that cannot be asked.


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: None, id="undefined"),
        pytest.param(lambda _: {}, id="an empty object"),
        pytest.param(lambda _: {**ADMIT, "action": "perhaps"}, id="an unknown action"),
        pytest.param(failing(EngineFailed("too slow")), id="an engine that fails"),
        pytest.param(failing(RuntimeError("trap")), id="an engine that raises anything"),
        pytest.param(failing(MemoryError()), id="an engine out of memory"),
        pytest.param(failing(RecursionError()), id="an engine too deep"),
    ],
)
@pytest.mark.parametrize(
    ("environment", "admitted"),
    [pytest.param(b"prod", False, id="enforcing"), pytest.param(b"staging", True, id="lenient")],
)
def test_a_blind_gate_refuses_where_it_enforces_and_passes_elsewhere(
    answer: Answer, environment: bytes, admitted: bool
) -> None:
    line = a_line(lambda _: answer)
    headers = [*HEADERS[:2], (b"x-tallygate-environment", environment)]

    admission = decided(line, a_request(claims=Claims(headers)))

    assert admission.admitted is admitted
    assert admission.decision.status == "unavailable"
    assert admission.decision.mode_source == "blind"
    assert admission.ownership.owner_team == "team-support"
    if admission.refusal is not None:
        assert admission.refusal.http_status == 503
        assert admission.refusal.code == "decision_unavailable"
        assert events_in(line)[0].decision.status == "unavailable"


def test_a_blind_answer_is_not_remembered() -> None:
    answers = iter([None, ADMIT])
    line = a_line(lambda _: next(answers), is_remembered=True)

    assert decided(line).decision.status == "unavailable"
    assert decided(line).decision.status == "decided"


# Remembered decisions.


def test_the_same_question_is_asked_once_until_its_answer_ends() -> None:
    answer = {**ADMIT, "valid_until": "2026-11-21T12:00:10Z"}  # noon plus ten
    line = a_line(lambda _: answer, is_remembered=True)
    statuses = []

    for seconds in (0, 0, 9.999, 0.001, 0):
        clock_of(line).go_on(seconds=seconds)
        statuses.append(decided(line).decision.status)

    assert statuses == ["decided", "remembered", "remembered", "decided", "decided"]
    assert len(engine_of(line).questions) == 3


def test_a_clock_that_was_set_back_asks_again() -> None:
    line = a_line(is_remembered=True)
    decided(line)
    clock_of(line).go_on(seconds=-1)

    assert decided(line).decision.status == "decided"


def test_a_remembered_rejection_is_still_a_refusal_with_an_id_of_its_own() -> None:
    line = a_line(lambda _: REJECT, is_remembered=True)

    first, second = decided(line).refusal, decided(line).refusal

    assert first is not None
    assert second is not None
    assert first.decision_id != second.decision_id
    assert len(engine_of(line).questions) == 1


def test_another_question_and_another_revision_are_asked() -> None:
    line = a_line(is_remembered=True)
    decided(line)
    assert decided(line, a_request(principal=Principal())).decision.status == "decided"
    newer = FakeEngine(revision="sha256:newer")
    line.policy = PolicyInForce(newer, line.policy.contract, line.policy.registry, True)

    assert decided(line).decision.policy_revision == "sha256:newer"
    assert len(newer.questions) == 1


def test_an_engine_that_must_be_asked_every_time_is() -> None:
    line = a_line(is_remembered=False)

    for _ in range(3):
        assert decided(line).decision.status == "decided"
    assert len(engine_of(line).questions) == 3


# Repeated refusals.


def test_after_five_identical_refusals_a_minute_the_rest_share_one_event() -> None:
    line = a_line(lambda _: REJECT)
    for _ in range(8):
        assert not decided(line).admitted
    assert [event.call_count for event in events_in(line)] == [1] * 5

    line.write_held_refusals()
    assert len(events_in(line)) == 5  # the minute is not over
    clock_of(line).go_on(seconds=60)
    line.write_held_refusals()

    assert [event.call_count for event in events_in(line)] == [1] * 5 + [3]
    assert len({event.event_id for event in events_in(line)}) == 6


def test_at_the_end_everything_that_was_held_back_is_written() -> None:
    line = a_line(lambda _: REJECT)
    for _ in range(6):
        decided(line)

    line.write_held_refusals(at_end=True)
    line.write_held_refusals(at_end=True)

    assert sum(event.call_count for event in events_in(line)) == 6


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"principal": Principal(team="llm-search")}, id="another team"),
        pytest.param(
            {"principal": Principal(team="llm-support", key_hash="key-2")}, id="another key"
        ),
        pytest.param(
            {"claims": Claims([(b"x-tallygate-service", b"support-digest")])}, id="another service"
        ),
        pytest.param(
            {"shape": CallShape("/v1/embeddings", "aembedding", None, stream=False)},
            id="another route",
        ),
    ],
)
def test_refusals_that_differ_are_not_counted_together(changes: dict[str, Any]) -> None:
    line = a_line(lambda _: REJECT)
    for _ in range(5):
        decided(line)
    decided(line, a_request(**changes))

    assert [event.call_count for event in events_in(line)] == [1] * 6


def test_a_refusal_in_the_next_minute_writes_the_last_minutes_aggregate_first() -> None:
    line = a_line(lambda _: REJECT)
    for _ in range(7):
        decided(line)
    clock_of(line).go_on(seconds=61)
    decided(line)

    assert [event.call_count for event in events_in(line)] == [1] * 5 + [2, 1]


# Attempts.


def test_an_attempt_is_opened_before_and_settled_after_the_provider() -> None:
    line = a_line()
    admission = decided(line)

    event = line.open(admission, an_attempt())
    line.settle(event, an_outcome())

    opened, settled = events_in(line)
    assert stages_in(line) == [Stage.OPENED, Stage.SETTLED]
    assert opened == event
    assert opened.outcome is None
    assert settled.event_id == opened.event_id
    assert settled.outcome == an_outcome()
    assert settled.kind is EventKind.ATTEMPT
    assert settled.writer_id == line.spool.writer_id


def test_what_comes_after_an_attempt_was_given_up_is_a_correction() -> None:
    line = a_line()
    event = line.open(decided(line), an_attempt())
    line.settle(event, an_outcome(status=Status.UNKNOWN))

    line.settle_late(event, an_outcome())

    correction = events_in(line)[-1]
    assert correction.kind is EventKind.CORRECTION
    assert correction.corrects_event_id == event.event_id
    assert correction.event_id != event.event_id
    assert correction.outcome == an_outcome()
    assert correction.attempt == event.attempt


def test_what_is_complete_at_once_is_written_once() -> None:
    line = a_line()

    line.record(decided(line), an_attempt(), an_outcome(status=Status.CACHE_HIT))

    assert stages_in(line) == [Stage.SETTLED]
    assert events_in(line)[0].outcome == an_outcome(status=Status.CACHE_HIT)


def test_what_litellm_does_on_its_own_account_is_paid_by_whom_the_registry_says() -> None:
    line = a_line(lambda _: REJECT)

    admission = line.observe(a_request(is_own=True))

    assert admission.admitted
    assert (admission.decision.action, admission.decision.would_action) == ("admit", "reject")
    assert admission.decision.mode_source == "observed"
    assert admission.ownership.claimed_owner_team == "team-platform"
    assert admission.ownership.sources == {"owner_team": "binding"}
    (question,) = engine_of(line).questions
    assert question["ownership"] == {"owner_team": "team-platform"}


def test_what_is_only_observed_is_never_refused_and_keeps_its_claims() -> None:
    line = a_line(lambda _: REJECT)

    admission = line.observe(a_request())

    assert admission.admitted
    assert admission.ownership.service == "support-assistant"
    assert stages_in(line) == []


# A spool that fails.


def test_a_spool_that_takes_nothing_does_not_keep_a_call_from_its_provider() -> None:
    line = a_line(spool=BrokenSpool())
    admission = decided(line)

    event = line.open(admission, an_attempt())

    assert admission.admitted
    assert event.attempt == an_attempt()
    assert line.uncounted == 1


def test_a_refusal_that_cannot_be_counted_is_still_a_refusal() -> None:
    line = a_line(lambda _: REJECT, spool=BrokenSpool())

    assert decided(line).refusal is not None


def test_a_refusal_stands_when_the_last_minutes_aggregate_cannot_be_written() -> None:
    line = a_line(lambda _: REJECT, spool=BrokenSpool())
    for _ in range(6):
        decided(line)
    clock_of(line).go_on(seconds=61)

    refusal = decided(line).refusal

    assert refusal is not None
    assert refusal.code == "ownership_missing"


def test_a_settlement_that_cannot_be_written_is_told_to_who_settles() -> None:
    line = a_line(spool=BrokenSpool())
    event = line.open(decided(line), an_attempt())

    with pytest.raises(SpoolUnusable):
        line.settle(event, an_outcome())


def test_a_value_that_the_policy_did_not_accept_goes_no_further() -> None:
    answer = {
        **ADMIT,
        "violations": [{"code": "ownership_unknown", "field": "feature"}],
    }
    line = a_line(lambda _: answer)
    claims = Claims(((b"x-tallygate-feature", b"jane-doe"), (b"x-tallygate-service", b"support")))

    admission = decided(line, a_request(claims=claims))

    assert admission.ownership.feature is None
    assert admission.ownership.service == "support"
