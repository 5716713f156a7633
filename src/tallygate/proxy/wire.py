"""
LiteLLM's dictionaries and objects, read into the domain's records. Nothing else knows their shapes.

Shapes  kwargs and responses of LiteLLM's hooks -> AttemptFacts, Outcome.
Units   LiteLLM's clock is naive and local, so it is not read: instants are the gate's own.
Errors  None: what cannot be read is left out, and the event stays unpriced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import litellm

from tallygate.domain.ledger.events import AttemptFacts, Outcome, Status, UsageSource
from tallygate.proxy.state import Attempt

OPERATIONS: Final = {
    "acompletion": "chat",
    "completion": "chat",
    "anthropic_messages": "chat",
    "aresponses": "chat",
    "responses": "chat",
    "atext_completion": "text_completion",
    "text_completion": "text_completion",
    "aembedding": "embeddings",
    "embedding": "embeddings",
    "agenerate_content": "generate_content",
}
"""`gen_ai.operation.name` of LiteLLM's call types; others stand under their own name."""

CLIENT_CLOSED: Final = 499
"""LiteLLM's status for a client that went away."""

_REQUEST_ID_HEADERS: Final = ("llm_provider-x-request-id", "llm_provider-request-id")
_TIMEOUTS: Final = frozenset({"Timeout", "APITimeoutError", "TimeoutError"})
_SAFE_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,200}")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_COUNTS_DEPTH: Final = 4


def attempt_facts(
    attempt: Attempt, details: Mapping[str, Any], opened_at_ns: int, retry_of: str | None
) -> AttemptFacts:
    """Read `model_call_details` at the moment the request goes on the wire."""
    params = _mapping(details.get("litellm_params"))
    metadata = _metadata(params)
    optional = _mapping(details.get("optional_params"))
    provider = _token(details.get("custom_llm_provider") or params.get("custom_llm_provider"))
    model = _token(details.get("model"))
    if attempt.asked_model and model and not attempt.asked_model.endswith(model):
        # Tries at several models run at once, and LiteLLM's details are of another one.
        provider, model = _provider_and_model(attempt.asked_model)
    model_info = _mapping(metadata.get("model_info") or params.get("model_info"))
    return AttemptFacts(
        number=attempt.number,
        opened_at_ns=opened_at_ns,
        operation=OPERATIONS.get(attempt.call_type, attempt.call_type),
        provider=provider or "unknown",
        request_model=model or "unknown",
        model_group=_token(metadata.get("model_group")),
        deployment_id=attempt.deployment_id or _token(model_info.get("id")),
        region=_word(optional.get("aws_region_name") or optional.get("vertex_location")),
        stream=details.get("stream") is True or optional.get("stream") is True,
        retry_of_event_id=retry_of,
        request_service_tier=attempt.request_service_tier or tier_of(optional),
    )


def tier_of(params: Mapping[str, Any]) -> str | None:
    """Read the service tier that the caller asks for; any text may stand there."""
    return _word(params.get("service_tier"))


def model_of(kwargs: Mapping[str, Any]) -> str | None:
    """Read the model that the router chose from a deployment hook's kwargs."""
    return _token(kwargs.get("model"))


def deployment_of(kwargs: Mapping[str, Any]) -> str | None:
    """Read LiteLLM's id of the deployment from a deployment hook's kwargs."""
    metadata = _metadata(kwargs)
    info = _mapping(kwargs.get("model_info") or metadata.get("model_info"))
    return _token(info.get("id"))


def answered(
    response: object, *, began_ns: int, now_ns: int, usage_source: UsageSource | None = None
) -> Outcome:
    """Read a complete response, streamed or not."""
    usage = usage_of(response)
    hidden = _mapping(getattr(response, "_hidden_params", None))
    headers = _mapping(hidden.get("additional_headers"))
    source = usage_source or UsageSource.REPORTED
    return Outcome(
        status=Status.OK,
        settled_at_ns=now_ns,
        latency_us=(now_ns - began_ns) // 1000,
        # A stream's `model` is the one that was asked for.
        response_model=_token(hidden.get("provider_response_model"))
        or _token(_part(response, "model")),
        provider_request_id=next(
            (found for name in _REQUEST_ID_HEADERS if (found := _token(headers.get(name)))),
            _token(_part(response, "id")),
        ),
        service_tier=_token(_part(response, "service_tier") or (usage or {}).get("service_tier")),
        usage_source=source if usage else UsageSource.NONE,
        usage=usage,
        usage_format=usage_format_of(usage) if usage else None,
        litellm_cost=cost_of(response),
    )


def failed(exception: BaseException, attempt: Attempt, now_ns: int) -> Outcome:
    """Read a failure: its class and the provider's own status, never its text."""
    error_type = type(exception).__name__
    status = Status.TIMEOUT if error_type in _TIMEOUTS else Status.ERROR
    opened_ns = attempt.event.occurred_at_ns if attempt.event is not None else attempt.began_ns
    return Outcome(
        status=status,
        settled_at_ns=now_ns,
        http_status=_provider_status(exception, attempt),
        error_type=error_type,
        latency_us=(now_ns - opened_ns) // 1000,
    )


def is_client_closed(exception: BaseException) -> bool:
    """Whether LiteLLM ended the call because its client had gone."""
    return getattr(exception, "status_code", None) == CLIENT_CLOSED


def _provider_status(exception: BaseException, attempt: Attempt) -> int | None:
    """Return what was seen on the wire; LiteLLM's own status only where the wire was not seen."""
    if attempt.sent_to is not None:
        return attempt.provider_status
    code = getattr(exception, "status_code", None)
    return code if isinstance(code, int) else None


def cost_of(response: object) -> str | None:
    """Return LiteLLM's own figure, as text: it is a float there, and is never counted with here."""
    return logged_cost(_mapping(getattr(response, "_hidden_params", None)))


def usage_of(response: object) -> dict[str, Any] | None:
    """
    Return the usage as the provider's numbers stand in the response; None when there are none.

    LiteLLM fills in zeros where a provider reported nothing, so zeros alone are nothing.
    """
    usage = _part(response, "usage")
    dump = getattr(usage, "model_dump", None)
    if callable(dump):
        usage = dump(exclude_none=True)
    if not isinstance(usage, Mapping):
        return None
    counts = _counts(usage, _COUNTS_DEPTH)
    return counts if _has_count(counts) else None


def usage_format_of(usage: Mapping[str, Any]) -> str:
    """Name the convention: LiteLLM's own, OpenAI's Responses, or Anthropic's Messages."""
    if "prompt_tokens" in usage:
        return "litellm"
    if "input_tokens_details" in usage or "total_tokens" in usage:
        return "openai_responses"
    return "anthropic"


def usage_source_of(response: object) -> UsageSource:
    """
    Tell a provider's count from LiteLLM's own estimate for a stream that reported none.

    LiteLLM marks neither. Where a provider counted, LiteLLM passes on what the prompt's count is
    made of; its own estimate has none of that. A provider that reports bare totals is therefore
    called an estimate: wrong on the cautious side.
    """
    usage = usage_of(response) or {}
    is_bare = "prompt_tokens" in usage and "prompt_tokens_details" not in usage
    return UsageSource.ESTIMATED if is_bare else UsageSource.REPORTED


def partial_usage(details: Mapping[str, Any]) -> dict[str, Any] | None:
    """Usage of a stream that broke off, as far as LiteLLM put it together."""
    return usage_of({"usage": details.get("combined_usage_object")})


def logged_cost(details: Mapping[str, Any]) -> str | None:
    """Return LiteLLM's cost as it stands in its logging details."""
    cost = details.get("response_cost")
    return repr(cost) if isinstance(cost, (int, float)) and not isinstance(cost, bool) else None


def time_to_first_token_us(details: Mapping[str, Any]) -> int | None:
    """Subtract two of LiteLLM's own naive instants, which is safe where each alone is not."""
    began, first = details.get("api_call_start_time"), details.get("completion_start_time")
    if not isinstance(began, datetime) or not isinstance(first, datetime):
        return None
    if (began.tzinfo is None) != (first.tzinfo is None):
        return None
    elapsed_us = (first - began) // timedelta(microseconds=1)
    return elapsed_us if elapsed_us >= 0 else None


def is_client_disconnect(details: Mapping[str, Any]) -> bool:
    """Whether LiteLLM saw the client go while the stream ran."""
    return _metadata(_mapping(details.get("litellm_params"))).get("client_disconnected") is True


def body_metadata(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the client's own `metadata`, before LiteLLM mixes its own into it."""
    body = _mapping(_mapping(data.get("proxy_server_request")).get("body"))
    return _mapping(body.get("metadata"))


def _provider_and_model(asked: str) -> tuple[str | None, str]:
    try:
        model, provider, _, _ = litellm.get_llm_provider(model=asked)
    except Exception:  # noqa: BLE001 - LiteLLM raises its own for a name that it does not know
        return None, asked
    return _token(provider), model


def _metadata(params: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(params.get("litellm_metadata")) or _mapping(params.get("metadata"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _part(response: object, name: str) -> Any:
    if isinstance(response, Mapping):
        return response.get(name)
    return getattr(response, name, None)


def _token(value: object) -> str | None:
    """Names and ids only: printable, short, one line."""
    return value if isinstance(value, str) and _SAFE_TOKEN.fullmatch(value) else None


def _word(value: object) -> str | None:
    """Read the name of a tier or a region, which a caller may have written: a short slug."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _counts(usage: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    """Keep counts and short names; prices, texts and lists that a provider adds stay out."""
    kept: dict[str, Any] = {}
    for key, value in usage.items():
        if _token(key) is None or key == "cost":
            continue
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, int):
            kept[key] = value
        elif isinstance(value, float) and value.is_integer():
            kept[key] = int(value)
        elif isinstance(value, Mapping) and depth > 0:
            inner = _counts(value, depth - 1)
            if inner:
                kept[key] = inner
        elif key in {"service_tier", "speed", "inference_geo"} and _token(value):
            kept[key] = value
    return kept


def _has_count(counts: Mapping[str, Any]) -> bool:
    return any(
        _has_count(value) if isinstance(value, Mapping) else isinstance(value, int) and value > 0
        for value in counts.values()
    )
