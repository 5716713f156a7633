"""
Meters: the disjoint, billable parts of what one attempt used.

Shapes  A quantity per meter; the meters of one attempt add up and never overlap.
Units   Tokens, but for `images`, `characters`, `search_units`, `web_searches` and `requests`,
        which are counts, and `audio_milliseconds`, a duration: providers report fractions of a
        second, and a quantity is a whole number.
Source  The names of inclusive counts are OpenTelemetry's (`gen_ai.usage.*`); see `TokenCounts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Meter(StrEnum):
    """A billable part. Order here is the order of charge lines."""

    INPUT = "input"
    """Input tokens read from no cache and written to none."""
    CACHE_READ = "cache_read"
    """Read from a cache: text, and whatever has no meter of its own there."""
    CACHE_READ_AUDIO = "cache_read_audio"
    CACHE_READ_IMAGE = "cache_read_image"
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
    """Images and the frames of a video."""
    IMAGE_OUTPUT = "image_output"
    AUDIO_MILLISECONDS = "audio_milliseconds"
    """Sound that was listened to, where the provider bills its length."""
    CHARACTERS = "characters"
    """Characters of the text that was spoken."""
    IMAGES = "images"
    """Images made, where the provider bills each."""
    SEARCH_UNITS = "search_units"
    """A rerank of one query over up to 100 documents."""
    WEB_SEARCHES = "web_searches"
    REQUESTS = "requests"

    # Equal to its text, so hashed as its text; the one of Enum is a call into Python.
    __hash__ = str.__hash__


TOKENS: Final = frozenset(Meter) - {
    Meter.AUDIO_MILLISECONDS,
    Meter.CHARACTERS,
    Meter.IMAGES,
    Meter.SEARCH_UNITS,
    Meter.WEB_SEARCHES,
    Meter.REQUESTS,
}
"""The meters that count tokens."""


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
    """Those above 0, in the order of Meter."""
    summed: bool = False
    """Whether it adds up several calls, so that the length of each is not known."""
    span: tuple[int, int] | None = None
    """Input tokens of the shortest and of the longest of the calls that it adds up."""
