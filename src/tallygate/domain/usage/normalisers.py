"""
From a provider's own usage numbers to disjoint meters, one normaliser per convention.

Shapes  `normalise(provider, usage_format, usage)`. The format says whose numbers they are:

        litellm           LiteLLM's `Usage`, whichever provider it made it from
        openai_chat       chat, text completions and embeddings, as OpenAI prints them
        openai_responses  Responses
        openai_batch      `usage` of a completed batch, or the sum of its records: many calls
        openai_images     images: text and image tokens in, image tokens out
        openai_audio      transcription (tokens or seconds) and speech (tokens)
        openai_realtime   `response.usage` of one `response.done`
        anthropic         Messages, also by Bedrock's invoke and Vertex AI
        gemini            `usageMetadata`
        bedrock_converse  Converse
        cohere_rerank     `meta`, or its `billed_units`
        counted           counted by the gate from the request, where nothing is reported

        A sum over the records of a batch has `records`, and the input tokens of its shortest and
        longest record, beside the counts of its format.

Errors  UsageMissing when nothing was counted, UsageUnreadable when the counts are negative, not
        whole, contradict each other, or hold something that this normaliser has no meter for: a
        count that might be billed is never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from tallygate.domain.usage import counted, exclusive, gemini, inclusive
from tallygate.domain.usage.exclusive import ANTHROPIC
from tallygate.domain.usage.inclusive import CHAT, LITELLM_GEMINI, OPENAI, RESPONSES
from tallygate.domain.usage.meters import NormalisedUsage
from tallygate.domain.usage.reading import count, metered
from tallygate.errors import UsageMissing, UsageUnreadable

LITELLM: Final = "litellm/1"
"""LiteLLM's own convention, for providers that have no normaliser of their own."""

COUNTED_FORMAT: Final = "counted"
"""What the gate counted itself; the words in it (size, quality) are the request's."""

RECORDS: Final = "records"
SHORTEST: Final = "shortest_input_tokens"
LONGEST: Final = "longest_input_tokens"
"""Beside the counts of any format: over how many records of a batch they are summed."""
_OF_RECORDS: Final = frozenset({RECORDS, SHORTEST, LONGEST})

_OPENAI_PROVIDERS: Final = frozenset({"openai", "text-completion-openai", "azure", "azure_text"})
_GOOGLE_PROVIDERS: Final = frozenset({"gemini", "vertex_ai", "vertex_ai_beta"})


def normalise(
    provider: str, usage_format: str | None, usage: Mapping[str, Any] | None
) -> NormalisedUsage:
    """Read one attempt's usage by the convention of its format and provider."""
    if not usage:
        raise UsageMissing("the provider reported no usage")
    if RECORDS in usage:
        return _summed(provider, usage_format, usage)
    if usage_format == "litellm":
        return _litellm(provider, usage)
    read = _FORMATS.get(usage_format or "")
    if read is None:
        raise UsageUnreadable(
            f"the usage format {usage_format!r} has no normaliser: "
            f"expected litellm or one of {', '.join(_FORMATS)}"
        )
    return read(usage)


def _summed(provider: str, usage_format: str | None, usage: Mapping[str, Any]) -> NormalisedUsage:
    """Read the sum over the records of a batch, with the lengths of its shortest and longest."""
    alone = {name: value for name, value in usage.items() if name not in _OF_RECORDS}
    found = normalise(provider, usage_format, alone)
    return replace(found, summed=True, span=(count(usage, SHORTEST), count(usage, LONGEST)))


def _litellm(provider: str, usage: Mapping[str, Any]) -> NormalisedUsage:
    if provider in _OPENAI_PROVIDERS:
        return metered(OPENAI, inclusive.inclusive(usage, CHAT, split_required=False))
    if provider == "anthropic":
        return metered(ANTHROPIC, inclusive.inclusive(usage, CHAT, split_required=True))
    if provider in _GOOGLE_PROVIDERS:
        return metered(LITELLM_GEMINI, inclusive.litellm_gemini(usage))
    return metered(LITELLM, inclusive.inclusive(usage, CHAT, split_required=False))


def _openai_chat(usage: Mapping[str, Any]) -> NormalisedUsage:
    return metered(OPENAI, inclusive.inclusive(usage, CHAT, split_required=False))


def _openai_responses(usage: Mapping[str, Any]) -> NormalisedUsage:
    return metered(OPENAI, inclusive.inclusive(usage, RESPONSES, split_required=False))


def _openai_batch(usage: Mapping[str, Any]) -> NormalisedUsage:
    names = CHAT if "prompt_tokens" in usage else RESPONSES
    return metered(OPENAI, inclusive.inclusive(usage, names, split_required=False), summed=True)


def _anthropic(usage: Mapping[str, Any]) -> NormalisedUsage:
    return metered(ANTHROPIC, exclusive.anthropic(usage))


def _bedrock_converse(usage: Mapping[str, Any]) -> NormalisedUsage:
    return metered(exclusive.BEDROCK_CONVERSE, exclusive.bedrock_converse(usage))


def _gemini(usage: Mapping[str, Any]) -> NormalisedUsage:
    return metered(gemini.GEMINI, gemini.gemini(usage))


_FORMATS: Final[Mapping[str, Callable[[Mapping[str, Any]], NormalisedUsage]]] = {
    "openai_chat": _openai_chat,
    "openai_responses": _openai_responses,
    "openai_batch": _openai_batch,
    "openai_images": inclusive.images,
    "openai_audio": inclusive.audio,
    "openai_realtime": inclusive.realtime,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "bedrock_converse": _bedrock_converse,
    "cohere_rerank": counted.cohere,
    COUNTED_FORMAT: counted.counted,
}
FORMATS: Final = ("litellm", *_FORMATS)
"""Every `usage_format` that an event may carry."""
