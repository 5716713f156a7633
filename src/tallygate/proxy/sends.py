"""
From bytes that leave for a provider to attempts, and from its answers to what they were answered.

An attempt that LiteLLM's hooks have made ready is opened as its first byte leaves. One that no
hook speaks of (files, batches, threads, token counts, a client library's further rounds) is
recognised by what is asked for (proxy/provider_paths.py), and opened at the same moment.

Which client sends a kind of call shows at its first answer: one that was answered without having
been seen leaving is opened then, late, and from there on by `log_pre_api_call`, which is early.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tallygate.domain.ledger.events import AttemptFacts, Outcome, Status
from tallygate.domain.usage.operations import (
    BILLED_OPERATIONS,
    CHAT,
    FREE_OPERATIONS,
    GENERATE_CONTENT,
    TEXT_COMPLETION,
)
from tallygate.proxy.call_types import UNWATCHED, operation_of
from tallygate.proxy.provider_hosts import ProviderHosts
from tallygate.proxy.provider_paths import Asked, asked_of, provider_of_host
from tallygate.proxy.recorder import Recorder
from tallygate.proxy.rust_bridge import leaves_unseen
from tallygate.proxy.sending import Target
from tallygate.proxy.state import Attempt, CallState, current_attempt, current_call
from tallygate.proxy.wire import token_of

SENT_AGAIN: Final = "sent_again"
"""The provider's client library retried by itself; what it was answered before was not shown."""

_REQUEST_IDS: Final = (
    "x-request-id",
    "request-id",
    "x-amzn-requestid",
    "apim-request-id",
    "x-debug-trace-id",
)
_WRITES: Final = frozenset({CHAT, TEXT_COMPLETION, GENERATE_CONTENT})
"""Operations in which a model writes an answer."""
_TOLD_MORE: Final = frozenset({"create_batch", "retrieve_batch"})
"""Free, and LiteLLM's hook still has something to say of the answer."""

_Kind = tuple[str, str, bool]


class Sends:
    """What the HTTP clients tell: the `Watcher` of proxy/sending.py."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._hosts = ProviderHosts()
        self._unwatched: set[_Kind] = set()
        """Kinds of call (provider, call type, stream) that were answered without being seen."""

    def ready(self, attempt: Attempt) -> None:
        """Take an attempt that is about to be sent; open it if nobody will see it leave."""
        provider, call_type, _ = kind = _kind_of(attempt)
        is_unseen = call_type in UNWATCHED or leaves_unseen(call_type, provider)
        is_unseen |= attempt.call is not None and attempt.call.session is not None
        if is_unseen or kind in self._unwatched:
            self._recorder.open(attempt)

    def is_opened(self, attempt: Attempt) -> bool:
        """Whether it is open; one that was sent behind our back is opened now, late."""
        if attempt.facts is not None and attempt.event is None and not attempt.settled:
            self._unwatched.add(_kind_of(attempt))
            self._recorder.open(attempt)
        return attempt.event is not None

    def is_awaiting_send(self, target: Target) -> bool:
        attempt = current_attempt.get()
        if attempt is not None and attempt.facts is not None:
            return True
        return current_call.get() is not None and self._asked(target) is not None

    def on_send(self, target: Target) -> None:
        """Open the attempt: its first byte leaves now."""
        attempt = current_attempt.get()
        if attempt is not None and attempt.facts is not None and not attempt.settled:
            if attempt.sent_to is None:
                self._leaves(attempt, target)
                return
            if attempt.sent_to == target and target.method == "POST":
                self._send_again(attempt)
                return
        state, asked = current_call.get(), self._asked(target)
        if state is None or asked is None:
            return
        waiting = _waiting(state, asked)
        if waiting is not None:
            self._leaves(waiting, target)
        else:
            self._recognise(state, target, asked)

    def _leaves(self, attempt: Attempt, target: Target) -> None:
        """Open what was made ready; what it is for shows best where it goes."""
        assert attempt.facts is not None
        attempt.sent_to = target
        asked = _asked(target)
        if asked is not None and attempt.facts.operation not in BILLED_OPERATIONS:
            attempt.facts = replace(attempt.facts, operation=asked.operation)
        if attempt.event is None:
            self._recorder.open(attempt)

    def _asked(self, target: Target) -> Asked | None:
        """Tell what is asked for; whatever is only read must come from where models are served."""
        asked = _asked(target)
        if asked is None or target.method == "POST" or self._hosts.holds(target.host):
            return asked
        return None

    def on_status(self, target: Target, status: int, headers: Mapping[str, str]) -> None:
        """Keep what the provider itself answered: LiteLLM's exceptions carry made-up statuses."""
        attempt = _sent_to(target)
        if attempt is None:
            return
        attempt.provider_status = status
        attempt.provider_request_id = _request_id(headers)
        if attempt.is_recognised and attempt.facts is not None:
            self._answered(attempt, attempt.facts, status)

    def _answered(self, attempt: Attempt, facts: AttemptFacts, status: int) -> None:
        now_ns = self._recorder.now_ns()
        outcome = Outcome(
            status=Status.OK if status < 400 else Status.ERROR,
            settled_at_ns=now_ns,
            http_status=status,
            latency_us=(now_ns - facts.opened_at_ns) // 1000,
        )
        if status >= 400 or facts.operation in FREE_OPERATIONS - _TOLD_MORE:
            self._recorder.settle(attempt, outcome)
        else:
            attempt.answered = outcome  # what was used may stand in the body

    def _recognise(self, state: CallState, target: Target, asked: Asked) -> None:
        """Open an attempt for what no hook has made ready."""
        admission, begun = state.admitted(), current_attempt.get()
        if admission is None:
            return
        now_ns = self._recorder.now_ns()
        is_begun = (
            begun is not None
            and begun in state.attempts
            and begun.facts is None
            and not begun.settled
        )
        attempt = begun if is_begun and _is_about(begun, asked) else None
        if attempt is None:
            attempt = Attempt(0, now_ns, asked.operation)
            state.attempts.append(attempt)
        state.sends += 1
        attempt.number, attempt.is_recognised = state.sends, True
        attempt.call, attempt.admission, attempt.sent_to = state, admission, target
        provider = provider_of_host(target.host) or (begun.asked_provider if begun else None)
        attempt.facts = AttemptFacts(
            number=attempt.number,
            opened_at_ns=now_ns,
            operation=asked.operation,
            provider=provider or (asked.dialect if self._hosts.holds(target.host) else "unknown"),
            request_model=token_of(asked.model) or attempt.asked_model or "unknown",
            deployment_id=attempt.deployment_id,
        )
        self._recorder.open(attempt)

    def _send_again(self, attempt: Attempt) -> None:
        """Settle what was sent before, and open what the client library sends now."""
        before, status = attempt.event, attempt.provider_status
        assert attempt.facts is not None
        assert before is not None
        now_ns = self._recorder.now_ns()
        outcome = Outcome(
            status=Status.UNKNOWN if status is None or status < 400 else Status.ERROR,
            settled_at_ns=now_ns,
            http_status=status,
            provider_request_id=attempt.provider_request_id,
            detail=SENT_AGAIN,
        )
        self._recorder.write(lambda: self._recorder.line.settle(before, outcome))
        if attempt.call is not None:
            attempt.call.sends += 1
            attempt.number = attempt.call.sends
        attempt.provider_status = attempt.provider_request_id = None
        attempt.facts = replace(
            attempt.facts,
            number=attempt.number,
            opened_at_ns=now_ns,
            retry_of_event_id=before.event_id,
        )
        self._recorder.open(attempt)


def _asked(target: Target) -> Asked | None:
    return asked_of(target.method, target.path)


def _waiting(state: CallState, asked: Asked) -> Attempt | None:
    """
    Find what was made ready and has not left, where another context sends it.

    A stream may be sent only when its response is first read.
    """
    return next(
        (
            attempt
            for attempt in state.attempts
            if attempt.facts is not None
            and attempt.sent_to is None
            and not attempt.settled
            and _is_same_work(attempt.facts.operation, asked.operation)
        ),
        None,
    )


def _is_same_work(ready: str, asked: str) -> bool:
    """Whether a request may be what was made ready: LiteLLM words one format in another."""
    return ready == asked or (ready in _WRITES and asked in _WRITES)


def _is_about(begun: Attempt | None, asked: Asked) -> bool:
    """Whether LiteLLM's deployment hook spoke of just this, so that its other hooks will too."""
    return begun is not None and operation_of(begun.call_type) == asked.operation


def _sent_to(target: Target) -> Attempt | None:
    """Find the attempt that an answer belongs to: this context's own, else the last one there."""
    attempt, state = current_attempt.get(), current_call.get()
    if attempt is not None and attempt.sent_to == target:
        return attempt
    sent = state.attempts if state is not None else ()
    return next(
        (a for a in reversed(sent) if a.sent_to == target and a.provider_status is None), None
    )


def _request_id(headers: Mapping[str, str]) -> str | None:
    found = next((value for name in _REQUEST_IDS if (value := headers.get(name))), None)
    return found if found is not None and len(found) <= 200 and found.isprintable() else None


def _kind_of(attempt: Attempt) -> _Kind:
    assert attempt.facts is not None
    return attempt.facts.provider, attempt.call_type, attempt.facts.stream
