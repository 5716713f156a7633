"""Attempts that no provider saw: out of LiteLLM's cache, or made up by LiteLLM itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tallygate.domain.ledger.events import NOT_SENT, Outcome, Status
from tallygate.proxy import wire
from tallygate.proxy.recorder import Recorder
from tallygate.proxy.state import Attempt, CallState, begun_attempt


class Unsent:
    """What is written of them: complete as soon as it is known."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def mocked(self, state: CallState, attempt: Attempt) -> None:
        """Note a call that LiteLLM answered by itself: no provider was asked, nothing is due."""
        admission = state.admitted()
        if attempt.settled or admission is None:
            return
        attempt.settled = True
        now_ns = self._recorder.now_ns()
        facts = wire.begun_facts(attempt, state.sends + 1)
        outcome = Outcome(status=Status.OK, settled_at_ns=now_ns, detail=NOT_SENT)
        self._recorder.write(lambda: self._recorder.line.record(admission, facts, outcome))

    def cache_hit(self, state: CallState, details: Mapping[str, Any], result: object) -> None:
        """Note an answer out of LiteLLM's cache, with what it would have cost."""
        admission, own = state.admission, begun_attempt.get()
        unsent = [a for a in state.attempts if a.facts is None and not a.settled]
        if admission is None or not unsent:
            return
        attempt = own if own in unsent and own is not None else unsent[-1]
        around: Attempt | None = attempt
        while around is not None:
            around.settled = True
            around = around.parent
        streamed = details.get("async_complete_streaming_response")
        now_ns = self._recorder.now_ns()
        attempt.number = state.sends + 1
        outcome = wire.answered(
            streamed if streamed is not None else result, began_ns=attempt.began_ns, now_ns=now_ns
        )
        facts = wire.attempt_facts(attempt, details, attempt.began_ns, None)
        self._recorder.write(
            lambda: self._recorder.line.record(
                admission, facts, replace(outcome, status=Status.CACHE_HIT, cache_policy="litellm")
            )
        )
