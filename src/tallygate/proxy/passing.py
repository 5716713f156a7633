"""
What LiteLLM hands over without a deployment hook: pass-through requests, tools, sessions.

The caller's own body stands among LiteLLM's details here, so of them only the address that the
request goes to is believed, and of the body the name of the model.

Shapes  LiteLLM's logging details, and what was read of the response -> AttemptFacts, Outcome.
Errors  None: what cannot be read is left out, and the event stays unpriced.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from tallygate.domain.ledger.events import AttemptFacts, Outcome, Status, UsageSource
from tallygate.domain.usage.operations import BATCH, CHAT, EXECUTE_TOOL, FORWARDED, USAGE_APART
from tallygate.proxy.answers import Reader
from tallygate.proxy.provider_paths import asked_of, provider_of_host
from tallygate.proxy.routes import UNKNOWN
from tallygate.proxy.state import Attempt, CallState, Session
from tallygate.proxy.usage import counts_in
from tallygate.proxy.wire import mapping_of, tier_of, token_of, word_of

FIRST_ERROR: Final = 400
NO_ANSWER: Final = "no_answer_seen"

_BROKEN_OFF: Final = "BrokenOff"
"""`error_type` of an answer that ended before its end."""
_BROKEN_SESSIONS: Final = frozenset({1006, 1011, 1012, 1013, 1014})
"""Codes with which a WebSocket closes when its other end has failed."""


def passed_facts(attempt: Attempt, details: Mapping[str, Any], opened_at_ns: int) -> AttemptFacts:
    """
    Read what LiteLLM passes through: the address that it goes to, and the model in the body.

    The rest of LiteLLM's details is the caller's own body here, and is not believed.
    """
    payload = mapping_of(details.get("passthrough_logging_payload"))
    address = urlsplit(str(payload.get("url") or ""))
    method = str(payload.get("request_method") or "POST").upper()
    asked = asked_of(method, address.path)
    rule = attempt.call.rule if attempt.call is not None else UNKNOWN
    host = address.hostname or ""
    provider = provider_of_host(host) or rule.provider or host
    body = mapping_of(payload.get("request_body"))
    operation = asked.operation if asked else FORWARDED
    if operation == "create_batch":
        operation = BATCH  # nobody will follow it to its end, so it is not free but unpriced
    if provider == "cohere" and operation == CHAT:
        provider = "cohere_chat"  # as LiteLLM calls the same host behind its chat route
    return AttemptFacts(
        number=attempt.number,
        opened_at_ns=opened_at_ns,
        operation=operation,
        provider=token_of(provider) or "unknown",
        request_model=token_of(body.get("model"))
        or token_of(asked.model if asked else None)
        or "unknown",
        stream=body.get("stream") is True or "stream" in address.path.lower(),
        request_service_tier=tier_of(body),
    )


def declared_price(details: Mapping[str, Any]) -> str | None:
    """Return the price per request that the proxy's own config gives a pass-through endpoint."""
    cost = mapping_of(details.get("passthrough_logging_payload")).get("cost_per_request")
    is_price = isinstance(cost, (int, float)) and not isinstance(cost, bool) and cost > 0
    return format(Decimal(repr(cost)), "f") if is_price else None


def tool_facts(attempt: Attempt, tool: str | None, asked_by: str | None) -> AttemptFacts:
    """Describe the call of a tool at an MCP server, and which round of the model asked for it."""
    return AttemptFacts(
        number=attempt.number,
        opened_at_ns=attempt.began_ns,
        operation=EXECUTE_TOOL,
        provider="mcp",
        request_model=token_of(tool) or "unknown",
        parent_event_id=asked_by,
    )


def tool_outcome(now_ns: int, error_type: str | None = None) -> Outcome:
    """Say how it ended; what a tool's server charges for it, no answer says."""
    return Outcome(
        status=Status.OK if error_type is None else Status.ERROR,
        settled_at_ns=now_ns,
        error_type=error_type,
        usage_source=UsageSource.REPORTED,
        usage={"requests": 1},
        usage_format="counted",
    )


def read(reader: Reader, attempt: Attempt, state: CallState, now_ns: int) -> Outcome:
    """Make the outcome of what LiteLLM only passed on, from what went by."""
    assert attempt.event is not None
    seen, opened_ns = reader.seen, attempt.event.occurred_at_ns
    http_status = attempt.provider_status if attempt.sent_to is not None else reader.status
    usage = counts_in(seen.usage)
    usage_format = seen.usage_format if usage else None
    status = Status.OK
    error_type: str | None = None
    if http_status is None or http_status >= FIRST_ERROR:
        status = Status.ERROR if http_status is not None else Status.UNKNOWN
    elif state.client_gone:
        status = Status.CANCELLED
    elif seen.has_failed or not seen.is_complete:
        status, error_type = Status.ERROR, _BROKEN_OFF
    if usage is None and attempt.counted is not None and status is Status.OK:
        usage, usage_format = dict(attempt.counted), "counted"
    if attempt.declared_price is not None and status in {Status.OK, Status.CANCELLED}:
        declared = {"requests": 1, "unit_price": attempt.declared_price}
        usage = {**declared, "reported": usage} if usage else declared
        usage_format = "declared"
    first_ns = reader.first_part_ns
    is_whole = seen.is_complete and not seen.has_failed
    source = UsageSource.REPORTED if is_whole else UsageSource.ESTIMATED
    return Outcome(
        status=status,
        settled_at_ns=now_ns,
        http_status=http_status,
        error_type=error_type,
        latency_us=(now_ns - opened_ns) // 1000,
        time_to_first_token_us=None if first_ns is None else (first_ns - opened_ns) // 1000,
        response_model=token_of(seen.model),
        response_id=token_of(seen.response_id),
        service_tier=word_of(seen.service_tier),
        usage_source=source if usage else UsageSource.NONE,
        usage=usage,
        usage_format=usage_format,
        detail=NO_ANSWER if status is Status.UNKNOWN else None,
    )


def session_ended(session: Session, attempt: Attempt, now_ns: int) -> Outcome:
    """Make the outcome of a conversation; what its turns used stands on events of their own."""
    assert attempt.event is not None
    is_broken = session.close_code in _BROKEN_SESSIONS
    return Outcome(
        status=Status.ERROR if is_broken else Status.OK,
        settled_at_ns=now_ns,
        error_type="WebSocketClosed" if is_broken else None,
        latency_us=(now_ns - attempt.event.occurred_at_ns) // 1000,
        detail=USAGE_APART if session.turns else None,
    )
