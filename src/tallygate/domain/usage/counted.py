"""
Usage that is no tokens of a text: Cohere's billed units, and what the gate counts itself.

Shapes  `cohere_rerank` is the answer's `meta`, the `usage` of a chat, or their `billed_units`:
        these are what counts, `tokens` and `cached_tokens` say what was read. `counted` is made
        from facts of the request where a provider reports nothing: {"characters": n},
        {"images": n, "size": "1024x1024", "quality": "hd"}, {"requests": 1},
        {"audio_milliseconds": n}; its words are conditions of the price.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tallygate.domain.usage.meters import Meter, NormalisedUsage, TokenCounts
from tallygate.domain.usage.reading import count, mapping, nothing_else
from tallygate.errors import UsageMissing

COHERE: Final = "cohere/1"
COUNTED: Final = "counted/1"

_BILLED: Final = {
    "input_tokens": Meter.INPUT,
    "output_tokens": Meter.OUTPUT,
    "images": Meter.IMAGES,
    "search_units": Meter.SEARCH_UNITS,
}
_META_KNOWN: Final = frozenset(
    {"api_version", "billed_units", "tokens", "cached_tokens", "warnings"}
)
_COUNTED: Final = {
    meter.value: meter
    for meter in (
        Meter.AUDIO_MILLISECONDS,
        Meter.CHARACTERS,
        Meter.IMAGES,
        Meter.SEARCH_UNITS,
        Meter.WEB_SEARCHES,
        Meter.REQUESTS,
    )
}


def cohere(usage: Mapping[str, Any]) -> NormalisedUsage:
    """Read what Cohere says it bills; its `tokens` are held by the units."""
    units = usage
    if "billed_units" in usage:
        nothing_else(usage, _META_KNOWN)
        units = mapping(usage, "billed_units")
    return _each(COHERE, units, _BILLED)


def counted(usage: Mapping[str, Any]) -> NormalisedUsage:
    """Read what the gate counted."""
    return _each(COUNTED, usage, _COUNTED)


def _each(name: str, usage: Mapping[str, Any], meters: Mapping[str, Meter]) -> NormalisedUsage:
    nothing_else(usage, meters.keys())
    found = {meter: n for key, meter in meters.items() if (n := count(usage, key))}
    if not found:
        raise UsageMissing("every count is 0")
    counts = TokenCounts(
        input_tokens=found.get(Meter.INPUT, 0), output_tokens=found.get(Meter.OUTPUT, 0)
    )
    return NormalisedUsage(name, counts, found)
