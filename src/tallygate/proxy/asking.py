"""
What a client's request asks for, read from the body as LiteLLM has parsed it.

Errors  None: what cannot be read is left out, or stands under a name that no registry knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from tallygate.application.flow import Admission
from tallygate.domain.attribution import onward
from tallygate.domain.attribution.contract import Contract
from tallygate.proxy.wire import mapping_of

_TOLD: Final = (
    "owner_team",
    "cost_center",
    "business_unit",
    "service",
    "environment",
    "workflow_id",
    "feature",
    "tenant_id_hash",
    "initiator",
)
"""Fields that LiteLLM is told; Bedrock takes sixteen in all."""

_MORE_MODELS: Final = (
    "fallbacks",
    "context_window_fallbacks",
    "content_policy_fallbacks",
    "models",
)
"""Where a body names further models that LiteLLM may ask."""
_UNREADABLE: Final = "?"
"""Stands for a name that is not one; it is in no model group."""


def body_of(data: Mapping[str, Any]) -> object:
    """Return the client's body, as it was before LiteLLM added anything to it."""
    return mapping_of(data.get("proxy_server_request")).get("body")


def body_metadata(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the client's own `metadata`, before LiteLLM mixes its own into it."""
    return mapping_of(mapping_of(body_of(data)).get("metadata"))


def claims_disconnect(data: Mapping[str, Any]) -> bool:
    """Whether the body writes what LiteLLM itself notes when a client goes away."""
    body = mapping_of(body_of(data))
    places = (body.get("metadata"), body.get("litellm_metadata"))
    return any("client_disconnected" in mapping_of(place) for place in places)


def strip_raw(data: Mapping[str, Any], contract: Contract) -> None:
    """Take raw identifiers out of every copy of the client's metadata that LiteLLM has made."""
    places = [data.get("metadata"), data.get("litellm_metadata")]
    places.append(mapping_of(body_of(data)).get("metadata"))
    places += [mapping_of(place).get("requester_metadata") for place in places]
    for place in places:
        if isinstance(place, dict):
            onward.strip_metadata(place, contract)


def tell_litellm(data: dict[str, Any], admission: Admission) -> None:
    """
    Write the owner where LiteLLM's own tools look for it, in place of what the caller wrote there.

    `spend_logs_metadata` reaches LiteLLM's spend logs and callbacks, and Bedrock as request
    metadata where `bedrock_request_metadata_fields` names it.
    """
    name = "litellm_metadata" if isinstance(data.get("litellm_metadata"), dict) else "metadata"
    metadata = data.get(name)
    if not isinstance(metadata, dict):
        return
    owner, call = admission.ownership, admission.call
    told = {
        **{field: getattr(owner, field) for field in _TOLD},
        "trace_id": call.trace_id,
        "tallygate_call_id": call.call_id,
    }
    metadata["spend_logs_metadata"] = {key: value for key, value in told.items() if value}
    data["litellm_trace_id"] = call.trace_id


def models_asked(data: Mapping[str, Any], query: bytes) -> tuple[str | None, ...]:
    """List every model that may answer: the one asked for first, then what the body adds to it."""
    names = [data.get("model")]
    if (named := parse_qs(query.decode("latin-1")).get("model")) is not None:
        names += named
    for place in (data, mapping_of(body_of(data))):
        for key in _MORE_MODELS:
            names += _names_in(place.get(key))
    found = [name for name in names if isinstance(name, str)]
    parts = [part.strip() for name in found for part in name.split(",")]
    return tuple(dict.fromkeys(parts)) or (None,)


def _names_in(value: object, depth: int = 3) -> list[object]:
    """Names in what LiteLLM takes as fallbacks: names, lists of them, mappings to them."""
    if value is None or isinstance(value, str):
        return [] if value is None else [value]
    if depth == 0:
        return [_UNREADABLE]
    if isinstance(value, dict):
        model = value.get("model")
        value = [model] if isinstance(model, str) else list(value.values())
    if not isinstance(value, list):
        return [_UNREADABLE]
    return [name for each in value for name in _names_in(each, depth - 1)]
