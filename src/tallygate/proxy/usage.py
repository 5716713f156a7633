"""
What an answer says was used, as the provider's own numbers, and whose convention they follow.

Shapes  LiteLLM's response objects and mappings -> (usage, usage format); the formats are those of
        domain/usage/normalisers.py. Counts and short names are kept; texts, lists and prices that
        a provider adds are not.
Errors  None: what cannot be read is left out, and the event stays unpriced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tallygate.domain.ledger.events import UsageSource

_SAFE_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")
_COUNTS_DEPTH: Final = 4
_WORDS: Final = frozenset(
    {"service_tier", "serviceTier", "trafficType", "speed", "inference_geo", "type", "ttl"}
)
_LISTS: Final = frozenset({"iterations", "cacheDetails"})
"""Lists of counts; Gemini's end in `Details`."""
_OF_IMAGES: Final = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "input_tokens_details",
    "output_tokens_details",
)
_LAST_EVENTS: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.done"}
)
_TRANSCRIBES: Final = frozenset({"transcription", "speech"})
_MAX_COUNTED: Final = 1_000_000_000


def usage_of(response: object) -> dict[str, Any] | None:
    """
    Return the usage as the provider's numbers stand in the response; None when there are none.

    LiteLLM fills in zeros where a provider reported nothing, so zeros alone are nothing.
    """
    usage = part_of(response, "usage")
    dump = getattr(usage, "model_dump", None)
    if callable(dump):
        usage = dump(exclude_none=True)
    return counts_in(usage)


def counts_in(usage: object) -> dict[str, Any] | None:
    """Keep the counts of a usage object, whoever wrote it; None when nothing was counted."""
    if not isinstance(usage, Mapping):
        return None
    counts = _counts(usage, _COUNTS_DEPTH)
    return counts if _has_count(counts) else None


def used(response: object, operation: str) -> tuple[dict[str, Any], str] | None:
    """Read what an answer of that operation used, and in which format it says so."""
    google = part_of(response, "usageMetadata") or part_of(response, "usage_metadata")
    if found := counts_in(_plain(google)):
        return found, "gemini"
    meta = _plain(part_of(response, "meta"))
    if isinstance(meta, Mapping) and (found := counts_in(meta.get("billed_units"))):
        return found, "cohere_rerank"
    usage = usage_of(response)
    if usage is None:
        return None
    usage_format = usage_format_of(usage, operation)
    if usage_format == "openai_images":  # LiteLLM writes the same counts by chat's names beside
        usage = {name: usage[name] for name in _OF_IMAGES if name in usage}
    return usage, usage_format


def usage_format_of(usage: Mapping[str, Any], operation: str = "chat") -> str:
    """Name the convention that a usage object of LiteLLM's follows."""
    if operation == "image_generation" and "input_tokens" in usage:
        return "openai_images"
    if operation in _TRANSCRIBES and "prompt_tokens" not in usage:
        return "openai_audio"
    if "prompt_tokens" in usage:
        return "litellm"
    if "inputTokens" in usage:
        return "bedrock_converse"
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


def counted_from(operation: str, kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Count in the request what a provider bills by and does not report: nothing of its text."""
    match operation:
        case "speech":
            text = kwargs.get("input")
            return {"characters": len(text)} if isinstance(text, str) and text else None
        case "moderation" | "search" | "execute_tool":
            return {"requests": 1}
        case "image_generation":
            count = kwargs.get("n") or 1
            if not isinstance(count, int) or not 0 < count < _MAX_COUNTED:
                return None
            words = {
                name: value
                for name in ("size", "quality")
                if isinstance(value := kwargs.get(name), str) and re.fullmatch(r"\w{1,20}", value)
            }
            return {"images": count, **words}
    return None


def counted_in(response: object, counted: Mapping[str, Any]) -> dict[str, Any]:
    """Correct what was counted in the request by what came back."""
    data = part_of(response, "data")
    if "images" in counted and isinstance(data, list) and data:
        return {**counted, "images": len(data)}
    return dict(counted)


def whole_of(response: object) -> object:
    """Return the answer itself, where it comes inside the last event of its stream."""
    if part_of(response, "type") in _LAST_EVENTS:
        return part_of(response, "response") or response
    return response


def part_of(response: object, name: str) -> Any:
    """Return a part of what may be an object or a mapping."""
    if isinstance(response, Mapping):
        return response.get(name)
    return getattr(response, name, None)


def _plain(value: object) -> object:
    dump = getattr(value, "model_dump", None)
    return dump(exclude_none=True, by_alias=True) if callable(dump) else value


def _counts(usage: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in usage.items():
        if not isinstance(key, str) or not _SAFE_KEY.fullmatch(key) or key == "cost":
            continue
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, int):
            kept[key] = value
        elif isinstance(value, float) and (value.is_integer() or key == "seconds"):
            kept[key] = int(value) if value.is_integer() else value
        elif isinstance(value, Mapping) and depth > 0:
            inner = _counts(value, depth - 1)
            if inner:
                kept[key] = inner
        elif isinstance(value, list) and depth > 0 and (key.endswith("Details") or key in _LISTS):
            kept[key] = [_by_modality(each, depth) for each in value if isinstance(each, Mapping)]
        elif key in _WORDS and isinstance(value, str) and _SAFE_KEY.fullmatch(value):
            kept[key] = value
    return kept


def _by_modality(entry: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    """Gemini's details: a list of counts, each with the name of a modality."""
    kept = _counts(entry, depth - 1)
    modality = entry.get("modality")
    name = getattr(modality, "value", modality)
    is_name = isinstance(name, str) and re.fullmatch(r"[A-Z_]{1,40}", name)
    return {**kept, "modality": name} if is_name else kept


def _has_count(counts: Mapping[str, Any]) -> bool:
    return any(
        _has_count(value)
        if isinstance(value, Mapping)
        else isinstance(value, (int, float)) and value > 0
        for value in counts.values()
    )
