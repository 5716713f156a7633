"""
Meters: the disjoint, billable parts of what one attempt used.

Shapes  A quantity per meter; the meters of one attempt add up and never overlap.
Units   Tokens, but for `requests` and `web_searches`, which are counts.
Source  The names of inclusive counts are OpenTelemetry's (`gen_ai.usage.*`); see `TokenCounts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Meter(StrEnum):
    """A billable part. Order here is the order of charge lines."""

    INPUT = "input"
    """Input tokens read from no cache and written to none."""
    CACHE_READ = "cache_read"
    CACHE_WRITE = "cache_write"
    """Written to a cache that has one price whatever its lifetime (OpenAI since gpt-5.6)."""
    CACHE_WRITE_5M = "cache_write_5m"
    CACHE_WRITE_1H = "cache_write_1h"
    OUTPUT = "output"
    """Output tokens that are not reasoning."""
    REASONING = "reasoning"
    AUDIO_INPUT = "audio_input"
    AUDIO_OUTPUT = "audio_output"
    IMAGE_INPUT = "image_input"
    IMAGE_OUTPUT = "image_output"
    WEB_SEARCHES = "web_searches"
    REQUESTS = "requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """
    Inclusive counts, as OpenTelemetry defines them.

    `input_tokens` holds the cached ones, `output_tokens` holds the reasoning ones.
    """

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    reasoning_output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class NormalisedUsage:
    """What a provider's own numbers mean: inclusive counts, disjoint meters, and who says so."""

    normaliser: str
    """Name and version, for example `openai/1`."""
    counts: TokenCounts
    meters: Mapping[Meter, int]
