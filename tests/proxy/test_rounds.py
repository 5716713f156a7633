"""Tools that LiteLLM calls for a model, and sessions of many turns: each names what caused it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest

from fakes.journal import GRACE_S, SECRET, Call, a_failure, a_response
from fakes.lines import clock_of, events_in, stages_in
from tallygate.domain.ledger.events import Event, EventKind, Stage, Status, UsageSource
from tallygate.domain.usage.operations import EXECUTE_TOOL, USAGE_APART
from tallygate.proxy.call_types import MCP_TOOL
from tallygate.proxy.state import Session, begun_attempt, current_attempt

TURN: Final = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}


@pytest.fixture(autouse=True)
def _no_attempt_around() -> Iterator[None]:
    token, begun = current_attempt.set(None), begun_attempt.set(None)
    yield
    current_attempt.reset(token)
    begun_attempt.reset(begun)


class Rounds(Call):
    """A call whose model asks for tools."""

    def round(self, tokens: int = 12) -> None:
        self.begin()
        self.on_wire()
        self.answer(a_response(tokens))

    def calls(self, tool: str) -> None:
        assert self.state.admission is not None
        self.journal.rounds.tool_called(self.state, self.state.admission, tool)

    def returns(self, error: Exception | None = None) -> None:
        if error is None:
            self.log(SECRET, call_type=MCP_TOOL)
        else:
            self.log_failed(error, call_type=MCP_TOOL)

    def ended(self) -> list[Event]:
        """End the call; returns its attempts in the order in which they were sent."""
        self.end()
        return sorted(self.settled, key=lambda event: event.attempt.number if event.attempt else 0)


class Conversation(Call):
    """A session over a WebSocket."""

    def __init__(self) -> None:
        super().__init__()
        self.state.session = Session()
        self.on_wire(model="gpt-realtime")

    def says(self, value: object) -> None:
        self.journal.rounds.frame(self.state, orjson.dumps(value).decode())

    def turn(self, usage: object = TURN) -> None:
        self.says({"type": "response.done", "response": {"usage": usage, "output": [SECRET]}})

    @property
    def turns(self) -> list[Event]:
        return [event for event in self.settled if event.kind is EventKind.USAGE]

    def attempt(self) -> Event:
        (event,) = [event for event in self.settled if event.kind is EventKind.ATTEMPT]
        return event


@pytest.fixture
def call() -> Rounds:
    return Rounds()


def parent_of(event: Event) -> str | None:
    assert event.attempt is not None
    return event.attempt.parent_event_id


def model_of(event: Event) -> str:
    assert event.attempt is not None
    return event.attempt.request_model


# Tools.


def test_a_tool_names_the_round_that_asked_and_is_named_by_the_round_that_follows(
    call: Rounds,
) -> None:
    call.round()
    call.calls("search_tickets")
    call.returns()
    call.round()

    first, tool, second = call.ended()
    assert model_of(tool) == "search_tickets"
    assert [parent_of(event) for event in (first, tool, second)] == [
        None,
        first.event_id,
        tool.event_id,
    ]


def test_a_round_that_follows_on_no_tool_was_caused_by_none(call: Rounds) -> None:
    call.round()
    call.round()

    assert [parent_of(event) for event in call.ended()] == [None, None]


def test_tools_that_run_side_by_side_were_asked_for_by_one_round(call: Rounds) -> None:
    call.round()
    for tool in ("one", "two", "three"):
        call.calls(tool)
    for _ in range(3):
        call.returns()
    call.round()

    first, *tools, last = call.ended()
    assert [model_of(tool) for tool in tools] == ["one", "two", "three"]
    assert [parent_of(tool) for tool in tools] == [first.event_id] * 3
    assert parent_of(last) == tools[-1].event_id


def test_a_tool_of_the_second_round_was_asked_for_by_the_second(call: Rounds) -> None:
    call.round()
    call.calls("one")
    call.returns()
    call.round()
    call.calls("two")
    call.returns()

    _, one, second_round, two = call.ended()
    assert parent_of(second_round) == one.event_id
    assert parent_of(two) == second_round.event_id


def test_a_tool_is_one_request_to_a_server_and_nothing_of_what_it_said(call: Rounds) -> None:
    call.calls("search_tickets")
    assert stages_in(call.line) == [Stage.OPENED]
    call.returns()
    call.end()

    (event,) = call.settled
    assert event.attempt is not None
    assert (event.attempt.operation, event.attempt.provider) == (EXECUTE_TOOL, "mcp")
    assert parent_of(event) is None
    outcome = call.only_outcome
    assert (outcome.status, outcome.usage, outcome.usage_format) == (
        Status.OK,
        {"requests": 1},
        "counted",
    )
    assert SECRET not in repr(event)


def test_a_tool_that_fails_says_how_and_not_why(call: Rounds) -> None:
    call.calls("one")
    call.calls("two")
    call.returns(a_failure())
    call.returns()

    failed, made = (event.outcome for event in call.ended())
    assert failed is not None
    assert made is not None
    assert (failed.status, failed.error_type) == (Status.ERROR, "RateLimitError")
    assert made.status is Status.OK
    assert SECRET not in repr(call.settled)


def test_litellms_own_word_that_it_calls_a_tool_opens_nothing(call: Rounds) -> None:
    call.ready(call_type=MCP_TOOL)
    call.returns()

    assert stages_in(call.line) == []


def test_a_tool_that_never_answers_is_given_up(
    call: Rounds,
) -> None:
    call.calls("one")
    call.end()
    call.sweep_after(GRACE_S + 1)

    assert call.only_outcome.status is Status.UNKNOWN


@pytest.mark.parametrize("name", ["a tool with spaces", "", None, "x" * 201])
def test_a_tools_name_is_a_name(call: Rounds, name: Any) -> None:
    call.calls(name)
    call.returns()

    assert [model_of(event) for event in call.ended()] == ["unknown"]


# Sessions.


def test_every_turn_is_written_while_the_session_runs() -> None:
    call = Conversation()
    call.turn()
    clock_of(call.line).go_on(seconds=5)
    call.turn()

    first, second = call.turns
    assert first.event_id != second.event_id
    assert second.occurred_at_ns - first.occurred_at_ns == 5_000_000_000
    assert {parent_of(turn) for turn in call.turns} == {events_in(call.line)[0].event_id}
    for turn in call.turns:
        assert turn.outcome is not None
        assert (turn.outcome.usage, turn.outcome.usage_format) == (TURN, "openai_realtime")
        assert turn.outcome.usage_source is UsageSource.REPORTED
    assert SECRET not in repr(call.settled)


def test_the_session_itself_ends_once_and_without_usage() -> None:
    call = Conversation()
    call.turn()
    call.log(a_response(99))
    call.end()
    call.log(a_response(99))
    call.sweep_after(GRACE_S + 1)

    outcome = call.attempt().outcome
    assert outcome is not None
    assert (outcome.status, outcome.usage, outcome.detail) == (Status.OK, None, USAGE_APART)
    assert len(call.turns) == 1


@pytest.mark.parametrize(
    "said",
    [
        {"type": "response.created", "response": {"usage": TURN}},
        {"type": "response.done", "response": {"usage": None}},
        {"type": "response.done", "response": {"usage": {"input_tokens": 0}}},
        {"type": "conversation.item.created", "item": {"text": "usage"}},
        ["usage"],
    ],
)
def test_an_event_that_ends_no_turn_writes_none(said: object) -> None:
    call = Conversation()
    call.says(said)

    assert call.settled == []


def test_a_turn_after_the_session_has_ended_is_nobodys() -> None:
    call = Conversation()
    call.end()
    call.turn()

    assert call.turns == []


def test_a_turn_of_a_call_that_is_no_session_is_none(call: Rounds) -> None:
    call.begin()
    call.on_wire()
    call.journal.rounds.frame(call.state, orjson.dumps({"usageMetadata": {"promptTokenCount": 3}}))

    assert call.settled == []


def test_what_was_said_of_google_is_in_its_own_convention() -> None:
    call = Conversation()
    call.says({"usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}})

    (turn,) = call.turns
    assert turn.outcome is not None
    assert turn.outcome.usage_format == "gemini"
