"""
The gate's own books per attempt: opened when its first byte leaves, settled once.

LiteLLM's success and failure events are per request, share one logging object over all retries,
and leave most tries out. So an attempt begins in the deployment hook, is made ready by
`log_pre_api_call` (which never fires for a cache hit or for a wrapper around another call), is
opened in the spool as its first byte leaves (proxy/sends.py), and is settled by whichever hook
first knows how it ended.

    begin ─► ready ─► opened ─► answered ──► settled      not streamed: before the response leaves
               │         │         failed ─────►│         provider error, timeout
               │         │         logged ─────►│         streams, client gone
               │         │         read ───────►│         what LiteLLM only passes on
               │         └───────► sweep ──────►│ unknown ─► correction, when it ends after all
               └─► failed before a byte left ──►│ not sent, not billed

What meets none of these hooks is recognised by what is sent, and by what comes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tallygate.application.flow import Admission, RequestLine
from tallygate.domain.kernel.instants import NS_PER_SECOND
from tallygate.domain.ledger.events import NOT_SENT, Outcome, Status, UsageSource
from tallygate.domain.usage.operations import FREE_OPERATIONS, USAGE_APART
from tallygate.proxy import passing, wire
from tallygate.proxy.call_types import MCP_TOOL
from tallygate.proxy.later import Later
from tallygate.proxy.recorder import Recorder
from tallygate.proxy.rounds import Rounds, led_to_by_tool
from tallygate.proxy.sends import Sends
from tallygate.proxy.state import (
    Attempt,
    CallState,
    begun_attempt,
    current_attempt,
)
from tallygate.proxy.unsent import Unsent
from tallygate.proxy.usage import (
    partial_usage,
    usage_format_of,
    usage_of,
    usage_source_of,
    whole_of,
)


class Journal:
    """Opens and settles the attempts of every call of this process."""

    def __init__(self, line: RequestLine, settle_grace_s: float) -> None:
        self._line = line
        self._grace_ns = int(settle_grace_s * NS_PER_SECOND)
        self._recorder = Recorder(line)
        self._later = Later(self._recorder)
        self._unsent = Unsent(self._recorder)
        self.rounds = Rounds(self._recorder, self._later)
        self.sends = Sends(self._recorder)

    def begin(self, state: CallState, kwargs: Mapping[str, Any], call_type: str) -> Attempt:
        """Note that LiteLLM is about to try a deployment; nothing is written yet."""
        self.write_answers(state)
        around = current_attempt.get()
        is_wrapped = around is not None and around in state.attempts and around.facts is None
        attempt = Attempt(
            number=0,
            began_ns=self._line.clock.now_ns(),
            call_type=call_type,
            call=state,
            parent=around if is_wrapped else None,
            span_id=self._line.new_id().replace("-", "")[-16:],
        )
        wire.note_request(attempt, kwargs)
        state.attempts.append(attempt)
        current_attempt.set(attempt)
        begun_attempt.set(attempt)
        return attempt

    def on_wire(self, state: CallState, admission: Admission, details: Mapping[str, Any]) -> None:
        """Make the attempt ready: LiteLLM is about to send it."""
        if details.get("call_type") == MCP_TOOL:
            return  # the pre-call hook has its name
        now_ns = self._line.clock.now_ns()
        attempt = current_attempt.get()
        if attempt is not None and attempt.is_mocked:
            return
        if attempt is not None and wire.is_told_twice(attempt):
            return
        if attempt is None or attempt not in state.attempts or attempt.facts is not None:
            # No deployment hook ran for this one (pass-through), or it goes out a second time.
            again = attempt if attempt in state.attempts else None
            attempt = Attempt(0, now_ns, admission.call.call_type, sent_with=again)
            state.attempts.append(attempt)
            current_attempt.set(attempt)
        failures = [a.event for a in state.attempts if a.failed and a.event is not None]
        state.sends += 1
        attempt.number = state.sends
        attempt.call, attempt.admission = state, admission
        retry_of = failures[-1].event_id if failures else None
        if state.rule.is_passed and attempt.asked_model is None:
            attempt.facts = passing.passed_facts(attempt, details, now_ns)
            attempt.declared_price = passing.declared_price(details)
        else:
            caused_by = led_to_by_tool(state)
            attempt.facts = wire.attempt_facts(attempt, details, now_ns, retry_of, caused_by)
        self.sends.ready(attempt)

    def answered(self, state: CallState, response: object) -> None:
        """Take a complete response. It is written with LiteLLM's cost, once that is there."""
        attempt = self._leave(state)
        if attempt is not None and attempt.is_mocked:
            self._unsent.mocked(state, attempt)
            return
        if attempt is None or attempt.is_closed or not self.sends.is_opened(attempt):
            return
        now_ns = self._line.clock.now_ns()
        self._settle_siblings(attempt)
        attempt.answered = wire.answered(
            response,
            began_ns=_opened_ns(attempt),
            now_ns=now_ns,
            operation=attempt.facts.operation if attempt.facts else "",
            counted=attempt.counted,
        )
        attempt.answer = response
        self._note_later(state, attempt, response)
        if attempt.given_up:
            self._write_answer(attempt)  # its response has long left

    def failed(self, state: CallState, exception: BaseException) -> None:
        """Take a provider's failure."""
        attempt = self._leave(state)
        if attempt is not None:
            attempt.failed = True
        if attempt is not None and attempt.is_mocked:
            self._unsent.mocked(state, attempt)
            return
        if attempt is None or attempt.is_closed or attempt.facts is None:
            return
        self._settle_siblings(attempt)
        now_ns = self._line.clock.now_ns()
        if attempt.event is not None:
            self._recorder.settle(attempt, wire.failed(exception, attempt, now_ns))
            return
        self._recorder.open(attempt)
        outcome = wire.failed(exception, attempt, now_ns)
        self._recorder.settle(attempt, replace(outcome, http_status=None, detail=NOT_SENT))

    def logged(self, state: CallState, details: Mapping[str, Any], result: object) -> None:
        """Take what LiteLLM logs at the end: cache hits, streams, what has no other hook."""
        if details.get("cache_hit") is True:
            self._unsent.cache_hit(state, details, result)
            return
        if state.session is not None:
            return  # its end says how it ended
        self._note_batch(state, details, result)
        if details.get("call_type") == MCP_TOOL:
            outcome = passing.tool_outcome(self._line.clock.now_ns())
            self.rounds.tool_answered(state, details.get("model"), outcome)
            return
        attempt = self._find(state, details)
        if attempt is None:
            return
        if attempt.answered is not None:
            if not self._is_still_read(state, attempt):
                self._write_answer(attempt)
            return
        if state.answer is not None and state.ended_at_ns is None and attempt.parent is None:
            return  # what the client gets is the provider's own word; it is read to its end first
        streamed = details.get("async_complete_streaming_response")
        response = streamed if streamed is not None else result
        now_ns = self._line.clock.now_ns()
        gone = state.client_gone or wire.is_client_disconnect(details, state)
        outcome = wire.answered(
            response,
            began_ns=_opened_ns(attempt),
            now_ns=now_ns,
            operation=attempt.facts.operation if attempt.facts else "",
            counted=attempt.counted,
            usage_source=UsageSource.ESTIMATED if gone else usage_source_of(response),
        )
        if any(self._later.background(attempt, whole_of(seen)) for seen in (result, response)):
            outcome = _apart(outcome)
        self._recorder.settle(
            attempt,
            replace(
                outcome,
                status=Status.CANCELLED if gone else Status.OK,
                litellm_cost=outcome.litellm_cost or wire.logged_cost(details),
                time_to_first_token_us=wire.time_to_first_token_us(details),
            ),
        )

    def log_failed(self, state: CallState, details: Mapping[str, Any], result: object) -> None:
        """Take a failure that no deployment hook reports: a stream that broke off."""
        exception = details.get("exception")
        if not isinstance(exception, BaseException):
            return
        if details.get("litellm_no_upstream_llm_call") is True:
            return
        if state.answer is not None and state.ended_at_ns is None:
            return  # the answer that went by says how far it came
        now_ns = self._line.clock.now_ns()
        if details.get("call_type") == MCP_TOOL:
            error = type(exception).__name__
            outcome = passing.tool_outcome(now_ns, error_type=error)
            self.rounds.tool_answered(state, details.get("model"), outcome)
            return
        attempt = self._find(state, details)
        if attempt is None or attempt.answered is not None:
            return
        outcome = wire.failed(exception, attempt, now_ns)
        usage = usage_of(result) or partial_usage(details)
        if usage:
            outcome = replace(
                outcome,
                usage=usage,
                usage_format=usage_format_of(usage),
                usage_source=UsageSource.ESTIMATED,
            )
        if wire.is_client_closed(exception):
            outcome = replace(outcome, status=Status.CANCELLED)
        self._recorder.settle(attempt, outcome)

    def write_answers(self, state: CallState) -> None:
        """Write every answer that is at hand; called before the response's first byte leaves."""
        for attempt in state.attempts:
            if attempt.answered is not None and not self._is_still_read(state, attempt):
                self._write_answer(attempt)

    def end_call(self, state: CallState) -> None:
        """Note that the response has ended; what is still open gets the grace period."""
        state.ended_at_ns = self._line.clock.now_ns()
        if state.session is not None:
            self.rounds.end_session(state, state.session)
        self._take_what_was_read(state)
        self.write_answers(state)
        if state.pending():
            self._recorder.lingering.add(state)

    def sweep(self, *, at_end: bool = False) -> None:
        """Book as unknown what has had no outcome for the grace period after its response."""
        now_ns = self._line.clock.now_ns()
        for state in list(self._recorder.lingering):
            if not state.pending() and not state.has_sums():
                self._recorder.lingering.discard(state)
            elif at_end or now_ns - (state.ended_at_ns or now_ns) > self._grace_ns:
                self.write_answers(state)
                self._later.write_sums(state)
                self._take_what_was_overheard(state, now_ns)
                for attempt in state.pending():
                    self._recorder.give_up(state, attempt, now_ns)
                self._recorder.lingering.discard(state)

    @property
    def lingering(self) -> int:
        """How many ended calls still have attempts without an outcome."""
        return sum(1 for state in self._recorder.lingering if state.pending() or state.has_sums())

    def _is_still_read(self, state: CallState, attempt: Attempt) -> bool:
        """
        Whether the response, on its way to the client, may yet tell what was used.

        Where LiteLLM words one provider's answer in another's format, it is not the provider's.
        """
        answered = attempt.answered
        is_read = state.answer is not None and state.ended_at_ns is None
        return is_read and attempt.parent is None and answered is not None and not answered.usage

    def _take_what_was_read(self, state: CallState) -> None:
        """Settle by the response's own body what LiteLLM only passes on."""
        if state.answer is None:
            return
        billed = [
            attempt
            for attempt in state.pending()
            if attempt.facts is not None
            and attempt.facts.operation not in FREE_OPERATIONS
            and attempt.parent is None
        ]
        if not billed or (billed[-1].answered and billed[-1].answered.usage):
            return
        attempt = billed[-1]
        outcome = passing.read(state.answer, attempt, state, self._line.clock.now_ns())
        cost = wire.cost_of(attempt.answer) if attempt.answer is not None else None
        attempt.answered = attempt.answer = None
        self._recorder.settle(attempt, replace(outcome, litellm_cost=cost))

    def _take_what_was_overheard(self, state: CallState, now_ns: int) -> None:
        """Settle what nobody spoke of by what the client was sent."""
        pending = state.pending()
        if state.overheard is None or not pending or not state.overheard.seen.usage:
            return
        self._recorder.settle(
            pending[-1], passing.read(state.overheard, pending[-1], state, now_ns)
        )

    def _leave(self, state: CallState) -> Attempt | None:
        """Step out of the current attempt, back into the wrapper around it."""
        attempt = current_attempt.get()
        if attempt is None or attempt not in state.attempts:
            return None
        current_attempt.set(attempt.parent)
        if attempt.facts is None and not attempt.is_mocked:
            attempt.settled = True  # a wrapper, or refused before it was sent: never an event
        return attempt

    def _find(self, state: CallState, details: Mapping[str, Any]) -> Attempt | None:
        """
        Find the attempt that a late hook speaks of: LiteLLM shares one object over all.

        LiteLLM logs in the context of the try, which knows it; but a stream is logged from the
        response's context, and then only a stream (or what no deployment hook began) can be meant.
        """
        own = begun_attempt.get()
        while own is not None and own.is_closed and own.parent is not None:
            own = own.parent  # a call within this one came last
        if own is not None and own in state.attempts:
            if own.is_mocked:
                self._unsent.mocked(state, own)
                return None
            return own if self.sends.is_opened(own) and not own.is_closed else None
        waiting = [
            attempt
            for attempt in state.attempts
            if attempt.facts is not None
            and (attempt.facts.stream or attempt.asked_model is None)
            and self.sends.is_opened(attempt)
            and not attempt.is_closed
        ]
        deployment = wire.deployment_of(details.get("litellm_params") or {})
        same = [attempt for attempt in waiting if attempt.deployment_id == deployment]
        candidates = same or waiting
        return candidates[-1] if candidates else None

    def _note_later(self, state: CallState, attempt: Attempt, response: object) -> None:
        """Look whether what was used is told here, or comes later, apart from the attempt."""
        assert attempt.answered is not None
        assert attempt.facts is not None
        if attempt.call_type == "aretrieve_batch":
            self._later.polled(state, attempt, response)
        elif attempt.facts.operation not in FREE_OPERATIONS and (
            self._later.under_way(attempt, response)
            or self._later.background(attempt, whole_of(response))
        ):
            attempt.answered = _apart(attempt.answered)

    def _note_batch(self, state: CallState, details: Mapping[str, Any], result: object) -> None:
        match details.get("call_type"):
            case "afile_content":
                own = begun_attempt.get()
                self._later.output_read(state, own.file_id if own else None, result)
            case "aretrieve_batch":
                hidden = getattr(result, "_hidden_params", None) or {}
                self._later.summed(state, result, hidden.get("batch_models"))

    def _settle_siblings(self, last: Attempt) -> None:
        """Settle what was sent one by one and is answered as one: the last has the usage of all."""
        before = last.sent_with
        while before is not None:
            if before.is_pending and before.event is not None:
                now_ns = self._line.clock.now_ns()
                outcome = Outcome(
                    status=Status.OK,
                    settled_at_ns=now_ns,
                    latency_us=(now_ns - before.event.occurred_at_ns) // 1000,
                    detail=USAGE_APART,
                )
                self._recorder.settle(before, outcome)
            before = before.sent_with

    def _write_answer(self, attempt: Attempt) -> None:
        outcome, response = attempt.answered, attempt.answer
        attempt.answered = attempt.answer = None
        if outcome is not None:
            self._recorder.settle(attempt, replace(outcome, litellm_cost=wire.cost_of(response)))


def _apart(outcome: Outcome) -> Outcome:
    """Leave out the usage that an event of its own has."""
    return replace(
        outcome,
        usage=None,
        usage_format=None,
        usage_source=UsageSource.NONE,
        detail=USAGE_APART,
    )


def _opened_ns(attempt: Attempt) -> int:
    assert attempt.event is not None
    return attempt.event.occurred_at_ns
