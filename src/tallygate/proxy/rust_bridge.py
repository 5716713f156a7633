"""
Which calls LiteLLM sends from its Rust part, where no Python client is seen sending them.

From 1.103 on LiteLLM holds a catalog of routes and who serves them: OCR and Bedrock's transcription
go out from Rust, Anthropic's messages where `LITELLM_RUST` or `litellm.rust(True)` asks for it.

Errors  Where the catalog is not there, or not as it was, OCR and Bedrock's transcription count as
        unseen: an attempt is then opened a moment early, which a kill may leave as one too many.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

_ROUTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "acompletion": "chat_completions",
        "aembedding": "embeddings",
        "anthropic_messages": "messages",
        "aresponses": "responses",
        "atranscription": "transcription",
        "aocr": "ocr",
    }
)
"""LiteLLM's call types, and their names in its catalog."""
_WITHOUT_CATALOG: Final[Mapping[str, frozenset[str] | None]] = MappingProxyType(
    {"ocr": None, "transcription": frozenset({"bedrock"})}
)
"""What older releases may send from Rust, and for whom; None means every provider."""


def leaves_unseen(call_type: str, provider: str) -> bool:
    """Whether a call of this kind may go out from Rust; LiteLLM looks at more than its kind."""
    route = _ROUTES.get(call_type)
    if route is None:
        return False
    try:
        catalog: Any = import_module("litellm.rust_bridge.catalog")
        rollouts = [rule.rollout.name for rule in catalog.RULES if _is_about(rule, route, provider)]
    except (ImportError, AttributeError):
        providers = _WITHOUT_CATALOG.get(route, frozenset())
        return providers is None or provider in providers
    return any(_is_rust(rollout) for rollout in rollouts)


def _is_about(rule: Any, route: str, provider: str) -> bool:
    of_route = getattr(getattr(rule, "route", None), "value", None)
    providers = getattr(rule, "providers", None)
    return of_route == route and (providers is None or provider in providers)


def _is_rust(rollout: str) -> bool:
    """Judge a rule by itself: one that an earlier rule overrules costs precision, not a call."""
    if rollout in {"RUST_REQUIRED", "RUST_OPT_OUT"}:
        return True
    return rollout == "RUST_OPT_IN" and _is_asked_for()


def _is_asked_for() -> bool:
    configuration: Any = import_module("litellm.rust_bridge.configuration")
    return bool(configuration.rust_enabled())
