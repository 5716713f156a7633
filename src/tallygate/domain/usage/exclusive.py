"""
Usage whose input count leaves out what a cache held: Anthropic's Messages, Bedrock's Converse.

Shapes  `anthropic` (native, and Anthropic's models by Bedrock's invoke) and `bedrock_converse`.
Source  The providers' own usage types; AWS `TokenUsage` and `CacheDetail`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tallygate.domain.usage.reading import (
    NOT_COUNTS,
    Parts,
    agreed,
    count,
    items,
    mapping,
    nothing_else,
)
from tallygate.errors import UsageUnreadable

ANTHROPIC: Final = "anthropic/1"
BEDROCK_CONVERSE: Final = "bedrock-converse/1"

SPLIT_5M: Final = "ephemeral_5m_input_tokens"
SPLIT_1H: Final = "ephemeral_1h_input_tokens"

_OWN_ITERATIONS: Final = frozenset({"message", "compaction"})
"""Iterations that LiteLLM adds up as if they were the model's own; others name another model."""

_KNOWN: Final = frozenset(
    {"input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation"}
    | {"cache_creation_input_tokens", "output_tokens_details", "total_tokens"}
    | {"server_tool_use", "iterations"}
    | NOT_COUNTS
)
_TOOLS_KNOWN: Final = frozenset(
    {"web_search_requests", "tool_search_requests", "web_fetch_requests"}
)
_SPLIT_KNOWN: Final = frozenset({SPLIT_5M, SPLIT_1H})
_ITERATION_KNOWN: Final = frozenset(
    {"type", "input_tokens", "output_tokens", "cache_read_input_tokens", "model"}
    | {"cache_creation_input_tokens", "cache_creation", "output_tokens_details"}
)
_CONVERSE_KNOWN: Final = frozenset(
    {"inputTokens", "outputTokens", "totalTokens", "cacheDetails", "serverToolUsage"}
    | {"cacheReadInputTokens", "cacheWriteInputTokens"}
    | {"cacheReadInputTokenCount", "cacheWriteInputTokenCount"}
    | NOT_COUNTS
)


def anthropic(usage: Mapping[str, Any]) -> Parts:
    """Anthropic's own: `input_tokens` holds neither what was read from nor written to a cache."""
    tools = mapping(usage, "server_tool_use")
    out = mapping(usage, "output_tokens_details")
    iterations = iterations_of(usage)
    nothing_else(usage, _KNOWN)
    nothing_else(tools, _TOOLS_KNOWN)
    nothing_else(out, {"thinking_tokens"})

    # The top-level counts leave out compactions; the iterations hold everything.
    rounds = iterations or (usage,)
    plain = output = read = five_minutes = one_hour = 0
    for place in rounds:
        split = mapping(place, "cache_creation")
        nothing_else(split, _SPLIT_KNOWN)
        created = count(place, "cache_creation_input_tokens")
        _, round_5m, round_1h = creation(created, split, split_required=True)
        plain += count(place, "input_tokens")
        output += count(place, "output_tokens")
        read += count(place, "cache_read_input_tokens")
        five_minutes += round_5m
        one_hour += round_1h
    return Parts(
        input=plain + read + five_minutes + one_hour,
        output=output,
        cache_read=read,
        cache_write_5m=five_minutes,
        cache_write_1h=one_hour,
        reasoning=count(out, "thinking_tokens"),
        web_searches=count(tools, "web_search_requests"),
    )


def bedrock_converse(usage: Mapping[str, Any]) -> Parts:
    """
    Read Converse's `usage`; `totalTokens` holds the cached tokens, or, of older models, does not.

    What was written to a cache without a word on its lifetime is `cache_write`, whose price a
    book has only where the lifetime makes none.
    """
    details = items(usage, "cacheDetails")
    nothing_else(usage, _CONVERSE_KNOWN)
    nothing_else(mapping(usage, "serverToolUsage"), frozenset())
    plain, output = count(usage, "inputTokens"), count(usage, "outputTokens")
    read = agreed((usage, "cacheReadInputTokens"), (usage, "cacheReadInputTokenCount"))
    created = agreed((usage, "cacheWriteInputTokens"), (usage, "cacheWriteInputTokenCount"))
    total = count(usage, "totalTokens")
    everything = plain + read + created + output
    if total and total not in (plain + output, everything):
        raise UsageUnreadable(f"totalTokens is {total}, but the counts add up to {everything}")
    split: dict[str, int] = {}
    for detail in details:
        nothing_else(detail, {"ttl", "inputTokens"})
        key = {"5m": SPLIT_5M, "1h": SPLIT_1H}.get(str(detail.get("ttl")))
        if key is None:
            raise UsageUnreadable("cacheDetails names a lifetime other than 5m and 1h")
        split[key] = split.get(key, 0) + count(detail, "inputTokens")
    whole, five_minutes, one_hour = creation(created, split, split_required=False)
    return Parts(
        input=plain + read + created,
        output=output,
        cache_read=read,
        cache_write=whole,
        cache_write_5m=five_minutes,
        cache_write_1h=one_hour,
    )


def iterations_of(usage: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the rounds of one answer, all of them the same model's."""
    found = usage.get("iterations") or ()
    if not isinstance(found, (list, tuple)):
        raise UsageUnreadable("iterations is not a list")
    for step in found:
        if not isinstance(step, Mapping) or step.get("type", "message") not in _OWN_ITERATIONS:
            raise UsageUnreadable(
                "an iteration of another kind than message or compaction may be billed at "
                "another model's price"
            )
        nothing_else(step, _ITERATION_KNOWN)
    return tuple(found)


def creation(
    created: int, split: Mapping[str, Any], *, split_required: bool
) -> tuple[int, int, int]:
    """Return what was written to the cache: at one price, for 5 minutes, for 1 hour."""
    if not created and not split:
        return 0, 0, 0
    five_minutes, one_hour = count(split, SPLIT_5M), count(split, SPLIT_1H)
    if five_minutes + one_hour == created:
        return 0, five_minutes, one_hour
    if five_minutes or one_hour:
        raise UsageUnreadable(
            f"{created} tokens were written to the cache, but {five_minutes} for 5 minutes and "
            f"{one_hour} for 1 hour"
        )
    if split_required:
        raise UsageUnreadable(
            f"{created} tokens were written to the cache without the split into 5 minutes and "
            "1 hour, which have different prices"
        )
    return created, 0, 0
