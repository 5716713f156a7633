"""The line where an OPA server decides."""

from __future__ import annotations

import asyncio

import pytest

from fakes.engines import ADMIT, FakeServer
from fakes.lines import REJECT, a_line, a_request, decided, engine_of, events_in
from tallygate.application.flow import RequestLine
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.policy.question import call_bucket_of


def a_served_line(server: FakeServer, *, is_remembered: bool = False) -> RequestLine:
    line = a_line(is_remembered=is_remembered)
    line.server = server
    return line


def test_the_event_says_what_the_server_answered_and_by_which_revision() -> None:
    decision = decided(a_served_line(FakeServer())).decision

    assert (decision.decision_id, decision.policy_revision) == ("opa-1", "sha256:server")
    assert decision.status == "decided"


def test_the_servers_id_of_a_decision_is_the_one_in_the_refusal_and_in_its_event() -> None:
    line = a_served_line(FakeServer(lambda _: REJECT))

    admission = decided(line)

    (event,) = events_in(line)
    assert admission.refusal is not None
    assert admission.refusal.decision_id == event.decision.decision_id == "opa-1"


def test_it_is_told_the_calls_own_bucket_also_when_the_folder_knows_of_no_canary() -> None:
    """Method: an absent one counts as the first, which a canary in the server's data enforces."""
    asked: list[object] = []
    line = a_served_line(FakeServer(lambda question: asked.append(question) or ADMIT))

    decided(line, a_request(call_id="call-9"))

    (question,) = asked
    assert isinstance(question, dict)
    assert question["call_bucket"] == call_bucket_of("call-9")


def test_a_server_that_logs_no_decisions_leaves_the_id_to_the_gate() -> None:
    line = a_served_line(FakeServer(decision_id=None))

    assert decided(line).decision.decision_id != decided(line).decision.decision_id


def test_it_is_asked_about_every_call_with_the_calls_id_and_never_answered_for() -> None:
    server = FakeServer()
    line = a_served_line(server, is_remembered=True)

    for number in range(3):
        assert decided(line, a_request(call_id=f"call-{number}")).decision.status == "decided"

    assert server.asked == ["call-0", "call-1", "call-2"]
    assert engine_of(line).questions == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: None, id="gone"),
        pytest.param(lambda _: {**ADMIT, "action": "allow"}, id="unreadable"),
        pytest.param(lambda _: {}, id="empty"),
    ],
)
def test_without_its_answer_the_gate_is_blind_and_asks_no_other_engine(answer: object) -> None:
    line = a_served_line(FakeServer(answer))  # type: ignore[arg-type]  # a lambda of the table

    refused = decided(line)
    passed = decided(line, a_request(principal=Principal()))

    assert refused.refusal is not None
    assert refused.refusal.code == "decision_unavailable"
    assert passed.admitted
    for admission in (refused, passed):
        assert admission.decision.status == "unavailable"
        assert admission.decision.policy_revision == "sha256:fake", "whose table it was"
    assert engine_of(line).questions == []


def test_what_nobody_may_be_refused_for_is_observed_by_the_embedded_engine() -> None:
    """Method: it is asked from LiteLLM's synchronous hooks, where no network may be waited for."""
    server = FakeServer()
    line = a_served_line(server)

    admission = line.observe(a_request())

    assert server.asked == []
    assert admission.decision.policy_revision == "sha256:fake"


async def test_a_client_that_leaves_before_the_answer_leaves_nothing_behind() -> None:
    line = a_served_line(FakeServer(lambda _: REJECT, answers_when=asyncio.Event()))
    deciding = asyncio.create_task(line.admit(a_request()))
    await asyncio.sleep(0)

    deciding.cancel()

    with pytest.raises(asyncio.CancelledError):
        await deciding
    assert events_in(line) == []
