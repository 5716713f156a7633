"""
What a client's request asks for, read from the body as LiteLLM has parsed it.

Errors  None: what cannot be read is left out, or stands under a name that no registry knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from tallygate.proxy.wire import mapping_of

_MORE_MODELS: Final = (
    "fallbacks",
    "context_window_fallbacks",
    "content_policy_fallbacks",
    "models",
)
"""Where a body names further models that LiteLLM may ask."""
_UNREADABLE: Final = "?"
"""Stands for a name that is not one; it is in no model group."""


def body_metadata(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the client's own `metadata`, before LiteLLM mixes its own into it."""
    body = mapping_of(mapping_of(data.get("proxy_server_request")).get("body"))
    return mapping_of(body.get("metadata"))


def models_asked(data: Mapping[str, Any], query: bytes) -> tuple[str | None, ...]:
    """List every model that may answer: the one asked for first, then what the body adds to it."""
    names = [data.get("model")]
    if (named := parse_qs(query.decode("latin-1")).get("model")) is not None:
        names += named
    for place in (data, mapping_of(mapping_of(data.get("proxy_server_request")).get("body"))):
        for key in _MORE_MODELS:
            names += _names_in(place.get(key))
    found = [name for name in names if isinstance(name, str)]
    parts = [part.strip() for name in found for part in name.split(",")]
    return tuple(dict.fromkeys(parts)) or (None,)


def _names_in(value: object, depth: int = 3) -> list[object]:
    """Names in what LiteLLM takes as fallbacks: names, lists of them, mappings to them."""
    if depth == 0:
        return [_UNREADABLE]
    if value is None or isinstance(value, str):
        return [] if value is None else [value]
    if isinstance(value, dict):
        model = value.get("model")
        value = [model] if isinstance(model, str) else list(value.values())
    if not isinstance(value, list):
        return [_UNREADABLE]
    return [name for each in value for name in _names_in(each, depth - 1)]
