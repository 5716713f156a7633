"""
Attempts of several rounds: tools that LiteLLM calls for a model, and sessions over a WebSocket.

A tool is opened by the pre-call hook that LiteLLM runs for it, and settled by what it logs of it;
the round of the model that asked for it, and the one that its result leads to, are named. A session
is one attempt, and each of its turns a usage event.
"""

from __future__ import annotations

from tallygate.application.flow import Admission
from tallygate.domain.ledger.events import Outcome
from tallygate.proxy import passing
from tallygate.proxy.answers import turn_in
from tallygate.proxy.call_types import MCP_TOOL
from tallygate.proxy.later import Later
from tallygate.proxy.recorder import Recorder
from tallygate.proxy.state import Attempt, CallState, Session


class Rounds:
    """What is written of tools and turns."""

    def __init__(self, recorder: Recorder, later: Later) -> None:
        self._recorder = recorder
        self._later = later

    def tool_called(self, state: CallState, admission: Admission, tool: str | None) -> None:
        """Open an attempt for a tool that is about to be called; its server is the provider."""
        now_ns = self._recorder.now_ns()
        attempt = Attempt(0, now_ns, MCP_TOOL, call=state, admission=admission)
        state.sends += 1
        attempt.number = state.sends
        attempt.facts = passing.tool_facts(attempt, tool, _asked_by(state))
        state.attempts.append(attempt)
        self._recorder.open(attempt)

    def tool_answered(self, state: CallState, tool: object, outcome: Outcome) -> None:
        """Settle the tool that LiteLLM logs; of several calls of one tool, the first."""
        waiting = [a for a in state.attempts if a.call_type == MCP_TOOL and a.is_pending]
        name = tool.removeprefix("MCP: ") if isinstance(tool, str) else None
        same = [a for a in waiting if a.facts is not None and a.facts.request_model == name]
        if same or waiting:
            self._recorder.settle((same or waiting)[0], outcome)

    def frame(self, state: CallState, data: str | bytes) -> None:
        """Take an event of a session: a turn is written as soon as the provider says its usage."""
        found = turn_in(data)
        attempt = next((a for a in reversed(state.attempts) if a.is_pending), None)
        if found is not None and attempt is not None and state.session is not None:
            state.session.turns += 1
            self._later.turn(attempt, *found)

    def end_session(self, state: CallState, session: Session) -> None:
        """Settle a conversation; its turns are written already."""
        for attempt in state.pending():
            outcome = passing.session_ended(session, attempt, self._recorder.now_ns())
            self._recorder.settle(attempt, outcome)


def led_to_by_tool(state: CallState) -> str | None:
    """Return the tool's event where the model's next round follows on a tool's result."""
    last = next((a for a in reversed(state.attempts) if a.event is not None), None)
    is_tool = last is not None and last.call_type == MCP_TOOL
    return last.event.event_id if is_tool and last is not None and last.event else None


def _asked_by(state: CallState) -> str | None:
    asking = (a for a in reversed(state.attempts) if a.event and a.call_type != MCP_TOOL)
    attempt = next(asking, None)
    return attempt.event.event_id if attempt is not None and attempt.event else None
