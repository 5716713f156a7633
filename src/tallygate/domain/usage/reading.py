"""
How counts are read from a provider's own numbers, and how the parts become meters.

Errors  UsageUnreadable for a count that is no whole number from 0 to MAX_COUNT, for parts that are
        larger than their whole, and for a positive number under a key that nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from tallygate.domain.usage.meters import Meter, NormalisedUsage, TokenCounts
from tallygate.errors import UsageMissing, UsageUnreadable

MAX_COUNT: Final = 1_000_000_000
"""More than this in one attempt is a fault of whoever counted; it also keeps costs storable."""

NOT_COUNTS: Final = frozenset({"cost", "service_tier", "inference_geo", "speed"})
"""What the caller's gateway says about money or about the call itself."""

_NOTHING: Final[Mapping[str, Any]] = {}
_METERS: Final = (
    Meter.INPUT,
    Meter.CACHE_READ,
    Meter.CACHE_READ_AUDIO,
    Meter.CACHE_READ_IMAGE,
    Meter.CACHE_WRITE,
    Meter.CACHE_WRITE_5M,
    Meter.CACHE_WRITE_1H,
    Meter.OUTPUT,
    Meter.REASONING,
    Meter.AUDIO_INPUT,
    Meter.AUDIO_OUTPUT,
    Meter.IMAGE_INPUT,
    Meter.IMAGE_OUTPUT,
    Meter.WEB_SEARCHES,
)
"""The meters of `metered`, in the order of Meter."""


@dataclass(slots=True, kw_only=True)  # not frozen: that takes a call a field, and it lives shortly
class Parts:
    """What every convention comes to: inclusive totals, and the parts that they hold."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_read_audio: int = 0
    cache_read_image: int = 0
    cache_write: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    audio_input: int = 0
    """Not from a cache, as is `image_input`."""
    image_input: int = 0
    audio_output: int = 0
    image_output: int = 0
    web_searches: int = 0


def metered(name: str, parts: Parts, *, summed: bool = False) -> NormalisedUsage:
    """Make the parts disjoint; UsageMissing when nothing was counted."""
    read = parts.cache_read + parts.cache_read_audio + parts.cache_read_image
    created = parts.cache_write + parts.cache_write_5m + parts.cache_write_1h
    plain_input = parts.input - read - created - parts.audio_input - parts.image_input
    if plain_input < 0:
        raise UsageUnreadable(
            f"{parts.input} input tokens cannot hold {read} cached, {created} written "
            f"to the cache, {parts.audio_input} of audio and {parts.image_input} of images"
        )
    plain_output = parts.output - parts.reasoning - parts.audio_output - parts.image_output
    if plain_output < 0:
        raise UsageUnreadable(
            f"{parts.output} output tokens cannot hold {parts.reasoning} of reasoning, "
            f"{parts.audio_output} of audio and {parts.image_output} of images"
        )
    if parts.input == 0 and parts.output == 0 and parts.web_searches == 0:
        raise UsageMissing("every count is 0, which is how LiteLLM says that none was reported")
    quantities = (
        plain_input,
        parts.cache_read,
        parts.cache_read_audio,
        parts.cache_read_image,
        parts.cache_write,
        parts.cache_write_5m,
        parts.cache_write_1h,
        plain_output,
        parts.reasoning,
        parts.audio_input,
        parts.audio_output,
        parts.image_input,
        parts.image_output,
        parts.web_searches,
    )
    counts = TokenCounts(
        input_tokens=parts.input,
        output_tokens=parts.output,
        cache_read_input_tokens=read,
        cache_creation_input_tokens=created,
        reasoning_output_tokens=parts.reasoning,
    )
    used = {meter: n for meter, n in zip(_METERS, quantities, strict=True) if n}
    return NormalisedUsage(name, counts, used, summed)


def agreed(*places: tuple[Mapping[str, Any], str]) -> int:
    """Return a count that may stand in several places, which must then say the same."""
    found: int | None = None
    for where, key in places:
        if where and where.get(key) is not None:
            said = count(where, key)
            if found is not None and said != found:
                differing = ", ".join(
                    f"{k} {count(w, k)}" for w, k in places if w.get(k) is not None
                )
                raise UsageUnreadable(f"counts that mean the same differ: {differing}")
            found = said
    return found or 0


def count(where: Mapping[str, Any], key: str) -> int:
    """Return the count under a key; an absent one is 0."""
    value = where.get(key)
    if value is None:
        return 0
    if type(value) is not int:  # bool is an int to isinstance
        raise UsageUnreadable(f"{key} is {type(value).__name__}, expected a whole number")
    if not 0 <= value <= MAX_COUNT:
        raise UsageUnreadable(f"{key} is {value}, expected 0 to {MAX_COUNT}")
    return value


def mapping(where: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return the first of the keys that is there; absent reads as empty."""
    for key in keys:
        value = where.get(key)
        if value is not None:
            if type(value) is not dict and not isinstance(value, Mapping):
                raise UsageUnreadable(f"{key} is {type(value).__name__}, expected an object")
            return value
    return _NOTHING


def items(where: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], ...]:
    """Return the objects of a list; an absent list is empty."""
    found = where.get(key)
    if found is None:
        return ()
    if not isinstance(found, (list, tuple)) or not all(isinstance(x, Mapping) for x in found):
        raise UsageUnreadable(f"{key} is not a list of objects")
    return tuple(found)


def nothing_else(where: Mapping[str, Any], known: AbstractSet[str]) -> None:
    """Refuse a positive number under a key that we do not know: it may be billed."""
    if not where or where.keys() <= known:
        return
    for key in sorted(str(key) for key in where if key not in known):
        if _holds_a_count(where.get(key)):
            raise UsageUnreadable(f"{key} is a count that tallygate has no meter for")


def _holds_a_count(value: object) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            waiting.extend(item.values())
        elif isinstance(item, (list, tuple)):
            waiting.extend(item)
        elif isinstance(item, (int, float)) and not isinstance(item, bool) and item != 0:
            return True
    return False
