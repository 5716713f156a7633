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
from litellm.responses.utils import ResponsesAPIRequestUtils

from tallygate.domain.ledger.events import AttemptFacts, Outcome, Status, UsageSource
from tallygate.proxy.call_types import UNWATCHED, operation_of
from tallygate.proxy.state import Attempt, CallState
from tallygate.proxy.usage import counted_from, counted_in, part_of, used, whole_of

CLIENT_CLOSED: Final = 499
"""LiteLLM's status for a client that went away."""

_IS_PROVIDERS: Final = re.compile("batches|bedrock|/v1/messages|responses|files|thread|assistant")
"""Routes on which LiteLLM leaves `metadata` to the provider (litellm_pre_call_utils)."""
_MOCKS: Final = ("mock_response", "mock_tool_calls", "mock_timeout")
_REQUEST_ID_HEADERS: Final = ("llm_provider-x-request-id", "llm_provider-request-id")
_TIMEOUTS: Final = frozenset({"Timeout", "APITimeoutError", "TimeoutError"})
_SAFE_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,200}")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def note_request(attempt: Attempt, kwargs: Mapping[str, Any]) -> None:
    """Read a deployment hook's kwargs: what the router chose, and what it asks for."""
    attempt.deployment_id = deployment_of(kwargs)
    attempt.request_service_tier = tier_of(kwargs)
    attempt.asked_model = token_of(kwargs.get("model"))
    attempt.asked_provider = token_of(kwargs.get("custom_llm_provider"))
    attempt.file_id = token_of(kwargs.get("file_id"))
    attempt.is_mocked = any(kwargs.get(name) is not None for name in _MOCKS)
    attempt.counted = counted_from(operation_of(attempt.call_type), kwargs)


def is_told_twice(attempt: Attempt) -> bool:
    """Whether LiteLLM says once more that the same request goes out."""
    if attempt.is_recognised and not attempt.settled:
        attempt.is_recognised = False
        return True
    return attempt.call_type in UNWATCHED and attempt.facts is not None and not attempt.settled


def attempt_facts(
    attempt: Attempt,
    details: Mapping[str, Any],
    opened_at_ns: int,
    retry_of: str | None,
    caused_by: str | None = None,
) -> AttemptFacts:
    """Read `model_call_details` at the moment the request goes on the wire."""
    params = mapping_of(details.get("litellm_params"))
    optional = mapping_of(details.get("optional_params"))
    provider = token_of(details.get("custom_llm_provider") or params.get("custom_llm_provider"))
    model = token_of(details.get("model"))
    if attempt.asked_model and model and not attempt.asked_model.endswith(model):
        # Tries at several models run at once, and LiteLLM's details are of another one.
        provider, model = _provider_and_model(attempt.asked_model)
    metadata = _metadata(params, attempt.call)
    model_info = mapping_of(metadata.get("model_info") or params.get("model_info"))
    return AttemptFacts(
        number=attempt.number,
        opened_at_ns=opened_at_ns,
        operation=operation_of(attempt.call_type),
        provider=provider or "unknown",
        request_model=model or "unknown",
        model_group=token_of(metadata.get("model_group")),
        deployment_id=attempt.deployment_id or token_of(model_info.get("id")),
        region=word_of(optional.get("aws_region_name") or optional.get("vertex_location")),
        stream=details.get("stream") is True or optional.get("stream") is True,
        parent_event_id=caused_by,
        retry_of_event_id=retry_of,
        request_service_tier=attempt.request_service_tier or tier_of(optional),
    )


def begun_facts(attempt: Attempt, number: int) -> AttemptFacts:
    """Describe what has begun and will not be sent."""
    provider, model = _provider_and_model(attempt.asked_model or "unknown")
    return AttemptFacts(
        number=number,
        opened_at_ns=attempt.began_ns,
        operation=operation_of(attempt.call_type),
        provider=attempt.asked_provider or provider or "unknown",
        request_model=model,
        deployment_id=attempt.deployment_id,
    )


def tier_of(params: Mapping[str, Any]) -> str | None:
    """Read the service tier that the caller asks for; any text may stand there."""
    return word_of(params.get("service_tier"))


def deployment_of(kwargs: Mapping[str, Any]) -> str | None:
    """Read LiteLLM's id of the deployment from a deployment hook's kwargs."""
    metadata = _metadata(kwargs)
    info = mapping_of(kwargs.get("model_info") or metadata.get("model_info"))
    return token_of(info.get("id"))


def answered(
    response: object,
    *,
    began_ns: int,
    now_ns: int,
    operation: str = "chat",
    counted: Mapping[str, Any] | None = None,
    usage_source: UsageSource | None = None,
) -> Outcome:
    """Read a complete response, streamed or not; `counted` is for what reports nothing itself."""
    response = whole_of(response)
    found = used(response, operation)
    if found is None and counted is not None:
        found = counted_in(response, counted), "counted"
    usage, usage_format = found if found is not None else (None, None)
    hidden = mapping_of(getattr(response, "_hidden_params", None))
    headers = mapping_of(hidden.get("additional_headers"))
    response_id = provider_response_id(part_of(response, "id"))
    return Outcome(
        status=Status.OK,
        settled_at_ns=now_ns,
        latency_us=(now_ns - began_ns) // 1000,
        # A stream's `model` is the one that was asked for.
        response_model=token_of(hidden.get("provider_response_model"))
        or token_of(part_of(response, "model")),
        provider_request_id=next(
            (said for name in _REQUEST_ID_HEADERS if (said := token_of(headers.get(name)))),
            response_id,
        ),
        response_id=response_id,
        service_tier=token_of(
            part_of(response, "service_tier") or (usage or {}).get("service_tier")
        ),
        usage_source=(usage_source or UsageSource.REPORTED) if usage else UsageSource.NONE,
        usage=usage,
        usage_format=usage_format,
        litellm_cost=cost_of(response),
    )


def provider_response_id(response_id: object) -> str | None:
    """Return the provider's own id of an answer, out of the one that LiteLLM made of it."""
    if not isinstance(response_id, str):
        return None
    text = token_of(response_id)  # LiteLLM's own may be longer than any name
    try:
        decoded = ResponsesAPIRequestUtils._decode_responses_api_response_id(response_id)  # noqa: SLF001 - LiteLLM has no other
        return token_of(decoded.get("response_id")) or text
    except Exception:  # noqa: BLE001 - of another release, perhaps; then it stays as it is
        return text


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
    return logged_cost(mapping_of(getattr(response, "_hidden_params", None)))


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


def is_client_disconnect(details: Mapping[str, Any], state: CallState) -> bool:
    """Whether LiteLLM saw the client go; a body that claims it is not believed."""
    if state.has_forged_disconnect:
        return False
    params = mapping_of(details.get("litellm_params"))
    return _metadata(params, state).get("client_disconnected") is True


def _provider_and_model(asked: str) -> tuple[str | None, str]:
    try:
        model, provider, _, _ = litellm.get_llm_provider(model=asked)
    except Exception:  # noqa: BLE001 - LiteLLM raises its own for a name that it does not know
        return None, asked
    return token_of(provider), model


def _metadata(params: Mapping[str, Any], state: CallState | None = None) -> Mapping[str, Any]:
    """
    Return LiteLLM's own metadata; beside it may stand the client's, under the other name.

    The proxy writes into `litellm_metadata` on routes whose `metadata` is the provider's.
    """
    own, other = "metadata", "litellm_metadata"
    if state is not None and _IS_PROVIDERS.search(state.rule.pattern):
        own, other = other, own
    return mapping_of(params.get(own)) or mapping_of(params.get(other))


def mapping_of(value: object) -> Mapping[str, Any]:
    """Read what should be a mapping; anything else is an empty one."""
    return value if isinstance(value, Mapping) else {}


def token_of(value: object) -> str | None:
    """Names and ids only: printable, short, one line."""
    return value if isinstance(value, str) and _SAFE_TOKEN.fullmatch(value) else None


def word_of(value: object) -> str | None:
    """Read the name of a tier or a region, which a caller may have written: a short slug."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None
