"""
The gate's own books per attempt: opened when its first byte leaves, settled once.

LiteLLM's success and failure events are per request, share one logging object over all retries,
and leave most tries out. So an attempt begins in the deployment hook, is made ready by
`log_pre_api_call` (which never fires for a cache hit or for a wrapper around another call), is
opened in the spool as its first byte leaves (proxy/sending.py), and is settled by whichever hook
first knows how it ended.

    begin ─► ready ─► opened ─► answered ──► settled      not streamed: before the response leaves
               │         │         failed ─────►│         provider error, timeout
               │         │         logged ─────►│         streams, pass-through, client gone
               │         └───────► sweep ──────►│ unknown ─► correction, when it ends after all
               └─► failed before a byte left ──►│ not sent, not billed

Whether the HTTP client behind a kind of call is one that is watched shows at its first send; until
then, and for those that are not, `log_pre_api_call` opens the attempt, which is early but safe.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from tallygate.application.flow import Admission, RequestLine
from tallygate.domain.kernel.instants import NS_PER_SECOND
from tallygate.domain.ledger.events import NOT_SENT, Outcome, Status, UsageSource
from tallygate.errors import SpoolError
from tallygate.proxy import wire
from tallygate.proxy.sending import Target
from tallygate.proxy.state import (
    Attempt,
    CallState,
    begun_attempt,
    current_attempt,
)

log = logging.getLogger("tallygate.proxy")

SETTLED_LATE: Final = "settled_late"
NO_OUTCOME: Final = "no_outcome_seen"
SENT_AGAIN: Final = "sent_again"
"""The provider's client library retried by itself; what it was answered before was not shown."""

_Kind = tuple[str, str, bool]


class Journal:
    """Opens and settles the attempts of every call of this process."""

    def __init__(self, line: RequestLine, settle_grace_s: float) -> None:
        self._line = line
        self._grace_ns = int(settle_grace_s * NS_PER_SECOND)
        self._lingering: set[CallState] = set()
        self._watched: set[_Kind] = set()
        """Kinds of call (provider, call type, stream) whose sends have been seen."""

    def begin(self, state: CallState, kwargs: Mapping[str, Any], call_type: str) -> Attempt:
        """Note that LiteLLM is about to try a deployment; nothing is written yet."""
        self.write_answers(state)
        around = current_attempt.get()
        is_wrapped = around is not None and around in state.attempts and around.facts is None
        attempt = Attempt(
            number=0,
            began_ns=self._line.clock.now_ns(),
            call_type=call_type,
            parent=around if is_wrapped else None,
            span_id=self._line.new_id().replace("-", "")[-16:],
            deployment_id=wire.deployment_of(kwargs),
        )
        attempt.request_service_tier = wire.tier_of(kwargs)
        attempt.asked_model = wire.model_of(kwargs)
        state.attempts.append(attempt)
        current_attempt.set(attempt)
        begun_attempt.set(attempt)
        return attempt

    def on_wire(self, state: CallState, admission: Admission, details: Mapping[str, Any]) -> None:
        """Make the attempt ready: LiteLLM is about to send it."""
        now_ns = self._line.clock.now_ns()
        attempt = current_attempt.get()
        if attempt is None or attempt not in state.attempts or attempt.facts is not None:
            # No deployment hook ran for this one (pass-through), or it goes out a second time.
            attempt = Attempt(0, now_ns, admission.call.call_type)
            state.attempts.append(attempt)
            current_attempt.set(attempt)
        failures = [a.event for a in state.attempts if a.failed and a.event is not None]
        state.sends += 1
        attempt.number = state.sends
        attempt.call, attempt.admission = state, admission
        attempt.facts = wire.attempt_facts(
            attempt, details, now_ns, failures[-1].event_id if failures else None
        )
        if _kind_of(attempt) not in self._watched:
            self._open(attempt)

    def is_awaiting_send(self) -> bool:
        attempt = current_attempt.get()
        return attempt is not None and attempt.facts is not None

    def on_send(self, target: Target) -> None:
        """Open the attempt: its first byte leaves now."""
        attempt = current_attempt.get()
        if attempt is None or attempt.facts is None or attempt.settled:
            return
        if attempt.sent_to is None:
            attempt.sent_to = target
            self._watched.add(_kind_of(attempt))
            if attempt.event is None:
                self._open(attempt)
        elif attempt.sent_to == target and target.method == "POST":
            self._send_again(attempt)

    def on_status(self, target: Target, status: int) -> None:
        """Keep what the provider itself answered: LiteLLM's exceptions carry made-up statuses."""
        attempt = current_attempt.get()
        if attempt is not None and attempt.sent_to == target:
            attempt.provider_status = status

    def answered(self, state: CallState, response: object) -> None:
        """Take a complete response. It is written with LiteLLM's cost, once that is there."""
        attempt = self._leave(state)
        if attempt is None or attempt.is_closed or not self._is_opened(attempt):
            return
        now_ns = self._line.clock.now_ns()
        attempt.answered = wire.answered(response, began_ns=_opened_ns(attempt), now_ns=now_ns)
        attempt.answer = response
        if attempt.given_up:
            self._write_answer(attempt)  # its response has long left

    def failed(self, state: CallState, exception: BaseException) -> None:
        """Take a provider's failure."""
        attempt = self._leave(state)
        if attempt is not None:
            attempt.failed = True
        if attempt is None or attempt.is_closed or attempt.facts is None:
            return
        now_ns = self._line.clock.now_ns()
        if attempt.event is not None:
            self._settle(attempt, wire.failed(exception, attempt, now_ns))
            return
        self._open(attempt)
        outcome = wire.failed(exception, attempt, now_ns)
        self._settle(attempt, replace(outcome, http_status=None, detail=NOT_SENT))

    def logged(self, state: CallState, details: Mapping[str, Any], result: object) -> None:
        """Take what LiteLLM logs at the end: cache hits, streams, what has no other hook."""
        if details.get("cache_hit") is True:
            self._cache_hit(state, details, result)
            return
        attempt = self._find(state, details)
        if attempt is None:
            return
        if attempt.answered is not None:
            self._write_answer(attempt)
            return
        streamed = details.get("async_complete_streaming_response")
        response = streamed if streamed is not None else result
        now_ns = self._line.clock.now_ns()
        gone = wire.is_client_disconnect(details) or state.client_gone
        outcome = wire.answered(
            response,
            began_ns=_opened_ns(attempt),
            now_ns=now_ns,
            usage_source=UsageSource.ESTIMATED if gone else wire.usage_source_of(response),
        )
        self._settle(
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
        attempt = self._find(state, details)
        if attempt is None or attempt.answered is not None:
            return
        now_ns = self._line.clock.now_ns()
        outcome = wire.failed(exception, attempt, now_ns)
        usage = wire.usage_of(result) or wire.partial_usage(details)
        if usage:
            outcome = replace(
                outcome,
                usage=usage,
                usage_format=wire.usage_format_of(usage),
                usage_source=UsageSource.ESTIMATED,
            )
        if wire.is_client_closed(exception):
            outcome = replace(outcome, status=Status.CANCELLED)
        self._settle(attempt, outcome)

    def write_answers(self, state: CallState) -> None:
        """Write every answer that is at hand; called before the response's first byte leaves."""
        for attempt in state.attempts:
            if attempt.answered is not None:
                self._write_answer(attempt)

    def end_call(self, state: CallState) -> None:
        """Note that the response has ended; what is still open gets the grace period."""
        state.ended_at_ns = self._line.clock.now_ns()
        self.write_answers(state)
        if state.pending():
            self._lingering.add(state)

    def sweep(self, *, at_end: bool = False) -> None:
        """Book as unknown what has had no outcome for the grace period after its response."""
        now_ns = self._line.clock.now_ns()
        for state in list(self._lingering):
            if not state.pending():
                self._lingering.discard(state)
            elif at_end or now_ns - (state.ended_at_ns or now_ns) > self._grace_ns:
                self.write_answers(state)
                for attempt in state.pending():
                    self._give_up(state, attempt, now_ns)
                self._lingering.discard(state)

    @property
    def lingering(self) -> int:
        """How many ended calls still have attempts without an outcome."""
        return sum(1 for state in self._lingering if state.pending())

    def _leave(self, state: CallState) -> Attempt | None:
        """Step out of the current attempt, back into the wrapper around it."""
        attempt = current_attempt.get()
        if attempt is None or attempt not in state.attempts:
            return None
        current_attempt.set(attempt.parent)
        if attempt.facts is None:
            attempt.settled = True  # a wrapper, or refused before it was sent: never an event
        return attempt

    def _find(self, state: CallState, details: Mapping[str, Any]) -> Attempt | None:
        """
        Find the attempt that a late hook speaks of: LiteLLM shares one object over all.

        LiteLLM logs in the context of the try, which knows it; but a stream is logged from the
        response's context, and then only a stream (or what no deployment hook began) can be meant.
        """
        own = begun_attempt.get()
        if own is not None and own in state.attempts:
            return own if self._is_opened(own) and not own.is_closed else None
        waiting = [
            attempt
            for attempt in state.attempts
            if attempt.facts is not None
            and (attempt.facts.stream or attempt.asked_model is None)
            and self._is_opened(attempt)
            and not attempt.is_closed
        ]
        deployment = wire.deployment_of(details.get("litellm_params") or {})
        same = [attempt for attempt in waiting if attempt.deployment_id == deployment]
        candidates = same or waiting
        return candidates[-1] if candidates else None

    def _cache_hit(self, state: CallState, details: Mapping[str, Any], result: object) -> None:
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
        now_ns = self._line.clock.now_ns()
        attempt.number = state.sends + 1
        outcome = wire.answered(
            streamed if streamed is not None else result, began_ns=attempt.began_ns, now_ns=now_ns
        )
        facts = wire.attempt_facts(attempt, details, attempt.began_ns, None)
        self._write(
            lambda: self._line.record(
                admission, facts, replace(outcome, status=Status.CACHE_HIT, cache_policy="litellm")
            )
        )

    def _open(self, attempt: Attempt) -> None:
        assert attempt.facts is not None, "only what LiteLLM sends is opened"
        assert attempt.admission is not None, "nothing is sent before it was decided"
        attempt.event = self._line.open(attempt.admission, attempt.facts)
        call = attempt.call
        if call is not None and call.ended_at_ns is not None:
            self._lingering.add(call)  # made after the response, by a logging callback, say

    def _is_opened(self, attempt: Attempt) -> bool:
        """Whether it is open; one that was sent behind our back is opened now, late."""
        if attempt.facts is not None and attempt.event is None:
            self._watched.discard(_kind_of(attempt))
            self._open(attempt)
        return attempt.event is not None

    def _send_again(self, attempt: Attempt) -> None:
        """Settle what was sent before, and open what the client library sends now."""
        before, status = attempt.event, attempt.provider_status
        assert attempt.facts is not None
        assert before is not None
        now_ns = self._line.clock.now_ns()
        outcome = Outcome(
            status=Status.UNKNOWN if status is None or status < 400 else Status.ERROR,
            settled_at_ns=now_ns,
            http_status=status,
            detail=SENT_AGAIN,
        )
        self._write(lambda: self._line.settle(before, outcome))
        if attempt.call is not None:
            attempt.call.sends += 1
            attempt.number = attempt.call.sends
        attempt.provider_status = None
        attempt.facts = replace(
            attempt.facts,
            number=attempt.number,
            opened_at_ns=now_ns,
            retry_of_event_id=before.event_id,
        )
        self._open(attempt)

    def _write_answer(self, attempt: Attempt) -> None:
        outcome, response = attempt.answered, attempt.answer
        attempt.answered = attempt.answer = None
        if outcome is not None:
            self._settle(attempt, replace(outcome, litellm_cost=wire.cost_of(response)))

    def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        event = attempt.event
        assert event is not None, "only what went on the wire is settled"
        if not attempt.settled:
            attempt.settled = True
            self._write(lambda: self._line.settle(event, outcome))
        elif attempt.given_up:
            attempt.given_up = False
            late = replace(outcome, detail=SETTLED_LATE)
            self._write(lambda: self._line.settle_late(event, late))

    def _give_up(self, state: CallState, attempt: Attempt, now_ns: int) -> None:
        status = Status.CANCELLED if state.client_gone else Status.UNKNOWN
        outcome = Outcome(status=status, settled_at_ns=now_ns, detail=NO_OUTCOME)
        self._settle(attempt, outcome)
        attempt.given_up = True

    def _write(self, append: Any) -> None:
        try:
            append()
        except (SpoolError, OSError) as error:
            self._line.uncounted += 1
            log.error(  # noqa: TRY400 - the error's text may hold a path, never the traceback
                "settlement_not_written", extra={"error": type(error).__name__}
            )


def _kind_of(attempt: Attempt) -> _Kind:
    assert attempt.facts is not None
    return attempt.facts.provider, attempt.call_type, attempt.facts.stream


def _opened_ns(attempt: Attempt) -> int:
    assert attempt.event is not None
    return attempt.event.occurred_at_ns
