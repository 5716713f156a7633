"""From LiteLLM's request to the request line: one call's state, its decision, its headers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from tallygate.application.deciding import UNAVAILABLE
from tallygate.application.facts import CallRequest
from tallygate.application.flow import Admission, RequestLine
from tallygate.application.metrics import Metrics
from tallygate.domain.attribution import onward
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.attribution.ownership import Claims
from tallygate.domain.attribution.propagation import TRACE_HEADER_OUT, read_trace
from tallygate.domain.policy.question import CallShape
from tallygate.proxy import asking
from tallygate.proxy.answers import Reader, is_only_usage
from tallygate.proxy.call_types import MCP_TOOL, Metering
from tallygate.proxy.client_retries import ClientRetries
from tallygate.proxy.journal import Journal
from tallygate.proxy.principals import principal_of
from tallygate.proxy.refused import RefusedByPolicy
from tallygate.proxy.routes import RouteRule
from tallygate.proxy.state import Attempt, CallState, Session, current_call

log = logging.getLogger("tallygate.proxy")

UNKNOWN_CALL_TYPE: Final = "unknown"
INTERNAL: Final = RouteRule(
    pattern="internal",
    governed=False,
    decided_in="auth",
    metering=Metering.COUNTED,
    note="what LiteLLM does on its own account, such as health checks",
    is_own=True,
)
_TAKES_HEADERS: Final = frozenset(
    {"acompletion", "aembedding", "aresponses", "anthropic_messages", "atext_completion"}
)
"""Call types whose `extra_headers` LiteLLM sends on to the provider as headers."""
_SPEAKS_GOOGLES: Final = frozenset({"agenerate_content_stream", "agenerate_content"})
"""Where LiteLLM asks another provider for what it words in Google's format, it forgets usage."""
_TAKES_PLAIN_HEADERS: Final = frozenset({"aimage_generation", "arerank"})
"""Call types that take them under `headers` only; `extra_headers` would go into the body."""
_OURS_TO_SEND: Final = frozenset({"traceparent", TRACE_HEADER_OUT})
"""A caller's `extra_headers` of these names, in any spelling, would go out beside the gate's."""
_MESSAGES: Final = "/v1/messages"
"""Its streams are Anthropic's own events, of which LiteLLM logs nothing when one breaks off."""


class Calls:
    """All calls of this process: opened by the tap, decided once, accounted by the journal."""

    def __init__(self, line: RequestLine, journal: Journal, metrics: Metrics | None = None) -> None:
        self._line = line
        self._journal = journal
        self._metrics = metrics
        self._is_blind = False
        self._retries = ClientRetries()

    # The tap's side.

    def open_call(self, scope: Mapping[str, Any], rule: RouteRule) -> CallState:
        headers = scope.get("headers") or ()
        return CallState(
            call_id=self._line.new_id(),
            started_at_ns=self._line.clock.now_ns(),
            headers=headers,
            trace=read_trace(headers, self._line.new_id().replace("-", "")),
            query=scope.get("query_string", b""),
            client_retry_count=_retry_count(headers),
            rule=rule,
            observe=self._observe,
            session=Session() if scope.get("type") == "websocket" else None,
            answer=Reader() if rule.is_passed else None,
            overheard=Reader() if rule.pattern == _MESSAGES else None,
        )

    def headers_onward(self, state: CallState) -> list[tuple[bytes, bytes]]:
        """Return the request's headers as LiteLLM gets them: no raw identifiers, always a trace."""
        headers = list(onward.headers_onward(state.headers, self._line.policy.contract))
        if state.rule.is_passed and not any(name == b"traceparent" for name, _ in headers):
            span_id = self._line.new_id().replace("-", "")[-16:]
            headers.append((b"traceparent", state.trace.traceparent(span_id).encode()))
        return headers

    def before_response(self, state: CallState) -> list[tuple[bytes, bytes]]:
        """Write what is answered, and return the headers that go out with the response."""
        self._journal.write_answers(state)
        if state.admission is None:
            return []  # nothing is disclosed before authentication
        decision = state.admission.decision
        headers = {
            "x-tallygate-call-id": state.call_id,
            "x-tallygate-decision-id": decision.decision_id,
            TRACE_HEADER_OUT: state.trace.trace_id,
            "x-tallygate-mode": decision.mode,
            "x-tallygate-action": decision.action,
        }
        if decision.violations:
            headers["x-tallygate-violations"] = ",".join(
                f"{violation['code']}:{violation['field']}" for violation in decision.violations
            )
        return [(name.encode(), value.encode()) for name, value in headers.items()]

    def answer_begins(
        self, state: CallState, status: int, headers: Iterable[tuple[bytes, bytes]]
    ) -> None:
        state.answered_status = status
        with self._reading(state):
            for reader in state.readers():
                reader.starts(status, {name.lower(): value for name, value in headers})

    def is_hidden(self, state: CallState, data: bytes) -> bool:
        """Whether a part of a stream is only the usage that the gate, not the client, asked for."""
        return state.hides_usage and b'"usage"' in data and is_only_usage(data)

    def answer_part(self, state: CallState, data: bytes, *, more: bool) -> None:
        with self._reading(state):
            for reader in state.readers():
                reader.part(data, self._line.clock.now_ns())
                if not more:
                    reader.ends()

    def frame(self, state: CallState, message: Mapping[str, Any]) -> None:
        """Take what a WebSocket sends to the client: the provider's own events."""
        if state.session is None:
            return
        if message["type"] == "websocket.close":
            state.session.close_code = message.get("code", 1000)
        elif message["type"] == "websocket.send":
            with self._reading(state):
                data = message.get("text") or message.get("bytes") or b""
                self._journal.rounds.frame(state, data)

    @contextmanager
    def _reading(self, state: CallState) -> Iterator[None]:
        """Keep a failure to read out of the answer that is read; its usage is then unknown."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - accounting may not fail the answer
            state.answer = state.overheard = None
            log.error("answer_not_read error=%s", type(error).__name__)  # noqa: TRY400 - no text of it

    def end_call(self, state: CallState) -> None:
        self._journal.end_call(state)
        self._retries.ended(state)

    # Authentication and decision.

    def open_untapped(self, scope: Mapping[str, Any], rule: RouteRule) -> CallState:
        """Open the state of a call that the tap took for none that reaches a provider."""
        log.warning("call_not_tapped route=%s", rule.pattern)
        state = self.open_call(scope, rule)
        current_call.set(state)
        self._journal.end_call(state)  # nobody will say when its response ends
        return state

    def know_principal(self, state: CallState, key: object) -> None:
        """Note who LiteLLM says is calling; the first hook that knows it counts."""
        if state.principal.key_hash is not None or state.principal.team is not None:
            return
        state.principal = principal_of(key, state.headers)

    async def admit(self, state: CallState, data: Mapping[str, Any], call_type: str) -> None:
        """Decide once per call; raises RefusedByPolicy. `data` is LiteLLM's request data."""
        if not state.rule.governed:
            return
        if state.admission is None:
            async with state.deciding:
                if state.admission is None:
                    state.admission = await self._decide(state, data, call_type)
            asking.strip_raw(data, state.admission.contract)
        if state.admission.refusal is not None:
            raise RefusedByPolicy(state.admission.refusal)
        if isinstance(data, dict):
            asking.tell_litellm(data, state.admission)
        held, state.held_details = state.held_details, None
        if held is not None:
            self._journal.on_wire(state, state.admission, held)
        if call_type == MCP_TOOL:
            if "mcp_tool_name" not in data:
                return  # on its own routes LiteLLM asks twice, the first time before it is resolved
            name = _text_of(data["mcp_tool_name"])
            self._journal.rounds.tool_called(state, state.admission, name)

    async def _decide(self, state: CallState, data: Mapping[str, Any], call_type: str) -> Admission:
        model, *others = asking.models_asked(data, state.query)
        state.has_forged_disconnect = asking.claims_disconnect(data)
        shape = CallShape(
            route=state.rule.pattern,
            call_type=call_type,
            model=model,
            other_models=tuple(name for name in others if name is not None),
            stream=data.get("stream") is True,
            is_known=state.rule.known,
        )
        request = CallRequest(
            call_id=state.call_id,
            started_at_ns=state.started_at_ns,
            claims=Claims(state.headers, asking.body_metadata(data)),
            principal=state.principal,
            trace=state.trace,
            shape=shape,
            client_retry_count=state.client_retry_count or 0,
            retry_of_call_id=self._retries.call_before(state, asking.body_of(data)),
        )
        try:
            admission = await self._line.admit(request)
        except Exception as error:  # noqa: BLE001 - a fault of ours is no decision
            log.error("admission_failed error=%s", type(error).__name__)  # noqa: TRY400 - no text of it
            admission = self._line.admit_blind(request)
        self._say_if_blind(admission)
        self._count(admission)
        return admission

    def _count(self, admission: Admission) -> None:
        if self._metrics is None:
            return
        service = admission.ownership.service
        is_known = service in self._line.policy.registry.services
        try:
            self._metrics.decided(admission.decision, service if is_known else None)
        except Exception as error:  # noqa: BLE001 - a number that cannot be kept fails no call
            self._metrics = None
            log.error("metrics_stopped error=%s", type(error).__name__)  # noqa: TRY400 - once, without its text

    def _say_if_blind(self, admission: Admission) -> None:
        """Log the moment at which the policy stops answering, and the one at which it is back."""
        is_blind = admission.decision.status == UNAVAILABLE
        if is_blind != self._is_blind:
            self._is_blind = is_blind
            log.error("decision_unavailable") if is_blind else log.warning("decision_available")

    # The hooks around a provider call.

    def begin_attempt(self, kwargs: dict[str, Any], call_type: str) -> dict[str, Any]:
        """Begin an attempt, and give the provider the trace where it takes headers."""
        state = self._state()
        attempt = self._journal.begin(state, kwargs, call_type)
        if kwargs.get("stream") is True:
            if call_type == "atext_completion":
                self._ask_for_usage(state, kwargs)
            elif attempt.parent is not None and attempt.parent.call_type in _SPEAKS_GOOGLES:
                kwargs.setdefault("stream_options", {"include_usage": True})
        return self._with_trace(state, attempt, kwargs, call_type)

    def _ask_for_usage(self, state: CallState, kwargs: dict[str, Any]) -> None:
        """Have a stream of text say what it used, which LiteLLM does for chats only."""
        options = kwargs.get("stream_options")
        if options is None or isinstance(options, dict):
            state.hides_usage = (options or {}).get("include_usage") is not True
            kwargs["stream_options"] = {**(options or {}), "include_usage": True}
            state.answer = state.answer or Reader()

    def _with_trace(
        self, state: CallState, attempt: Attempt, kwargs: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        name = "headers" if call_type in _TAKES_PLAIN_HEADERS else "extra_headers"
        headers = kwargs.get(name) or {}
        takes_headers = call_type in _TAKES_HEADERS or call_type in _TAKES_PLAIN_HEADERS
        if not takes_headers or not isinstance(headers, Mapping):
            return kwargs  # what is no mapping is LiteLLM's to refuse
        others = {key: v for key, v in headers.items() if key.lower() not in _OURS_TO_SEND}
        kwargs[name] = {**others, **_trace_headers(state, attempt)}
        return kwargs

    def on_wire(self, details: Mapping[str, Any]) -> None:
        params = details.get("litellm_params")
        if details.get("litellm_no_upstream_llm_call") is True or not isinstance(params, Mapping):
            return  # LiteLLM logs requests that it rejected itself in the same way
        state = current_call.get() or self._state()
        admission = state.admitted()
        if admission is None:
            state.held_details = details  # a socket that is passed through: decided a moment later
            return
        self._journal.on_wire(state, admission, details)
        if state.rule is INTERNAL:
            self._journal.end_call(state)  # no response will end it

    def answered(self, response: object) -> None:
        if (state := current_call.get()) is not None:
            self._journal.answered(state, response)

    def failed(self, exception: BaseException) -> None:
        if (state := current_call.get()) is not None:
            self._journal.failed(state, exception)

    def logged(self, details: Mapping[str, Any], result: object) -> None:
        if (state := current_call.get()) is not None:
            self._journal.logged(state, details, result)

    def log_failed(self, details: Mapping[str, Any], result: object) -> None:
        if (state := current_call.get()) is not None:
            self._journal.log_failed(state, details, result)

    def _state(self) -> CallState:
        """Find the current call; make one for what LiteLLM does without a client."""
        state = current_call.get()
        if state is None or (state.rule is INTERNAL and state.is_over()):
            state = self.open_call({}, INTERNAL)
            current_call.set(state)
        return state

    def _observe(self, state: CallState) -> Admission:
        """Find out who pays for a call that nobody had to decide on."""
        return self._line.observe(
            CallRequest(
                call_id=state.call_id,
                started_at_ns=state.started_at_ns,
                claims=Claims(state.headers),
                principal=Principal() if state.rule.is_own else state.principal,
                trace=state.trace,
                shape=CallShape(
                    route=state.rule.pattern, call_type=UNKNOWN_CALL_TYPE, model=None, stream=False
                ),
                client_retry_count=state.client_retry_count or 0,
                is_own=not state.headers or state.rule.is_own,
            )
        )


def _trace_headers(state: CallState, attempt: Attempt) -> dict[str, str]:
    headers = {"traceparent": state.trace.traceparent(attempt.span_id)}
    if state.trace.is_opaque:
        headers[TRACE_HEADER_OUT] = state.trace.trace_id
    return headers


def _retry_count(headers: Any) -> int | None:
    for name, value in headers:
        if name == b"x-stainless-retry-count" and value.isdigit() and len(value) < 5:
            return int(value)
    return None


def _text_of(value: object) -> str | None:
    return value if isinstance(value, str) else None
