"""
From a provider's own usage numbers to disjoint meters, one normaliser per convention.

Shapes  `normalise(provider, usage_format, usage)`. Formats: `litellm` and `openai_responses`
        count inclusively (prompt tokens hold the cached ones), `anthropic` exclusively.
Errors  UsageMissing when nothing was counted, UsageUnreadable when the counts are negative, not
        whole, contradict each other, or hold something that this normaliser has no meter for: a
        count that might be billed is never dropped.
Source  LiteLLM 1.106.2 `types/utils.py::Usage`; the providers' own usage types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tallygate.domain.usage.meters import Meter, NormalisedUsage, TokenCounts
from tallygate.errors import UsageMissing, UsageUnreadable

MAX_COUNT: Final = 1_000_000_000
"""More than this in one attempt is a fault of whoever counted; it also keeps costs storable."""

OPENAI: Final = "openai/1"
ANTHROPIC: Final = "anthropic/1"
LITELLM: Final = "litellm/1"
"""LiteLLM's own convention, for providers that have no normaliser of their own."""

_OPENAI_PROVIDERS: Final = frozenset({"openai", "text-completion-openai", "azure", "azure_text"})

_CREATION_KEYS: Final = ("cache_write_tokens", "cache_creation_tokens")
_SPLIT_5M: Final = "ephemeral_5m_input_tokens"
_SPLIT_1H: Final = "ephemeral_1h_input_tokens"

# Known, and not billed apart from the counts that hold them already.
_INPUT_DETAILS_FREE: Final = frozenset({"text_tokens"})
_OUTPUT_DETAILS_FREE: Final = frozenset(
    {"text_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"}
)
_SEARCHES: Final = "web_search_requests"
_TOOLS_FREE: Final = frozenset({"tool_search_requests", "web_fetch_requests"})
# What the caller's gateway says about money or about the call itself.
_NOT_COUNTS: Final = frozenset({"cost", "service_tier", "inference_geo", "speed"})

# Iterations that LiteLLM adds up as if they were the model's own; others name another model.
_OWN_ITERATIONS: Final = frozenset({"message", "compaction"})


@dataclass(frozen=True, slots=True)
class _Names:
    """How an inclusive format spells its counts."""

    input: str
    output: str
    input_details: str
    output_details: str


_CHAT: Final = _Names(
    "prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"
)
_RESPONSES: Final = _Names(
    "input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What every convention comes to, still inclusive."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    audio_input: int = 0
    image_input: int = 0
    audio_output: int = 0
    image_output: int = 0
    web_searches: int = 0


def normalise(
    provider: str, usage_format: str | None, usage: Mapping[str, Any] | None
) -> NormalisedUsage:
    """Read one attempt's usage by the convention of its format and provider."""
    if not usage:
        raise UsageMissing("the provider reported no usage")
    match usage_format:
        case "litellm":
            name = _litellm_normaliser(provider)
            parts = _inclusive(usage, _CHAT, split_required=name == ANTHROPIC)
        case "openai_responses":
            name = OPENAI
            parts = _inclusive(usage, _RESPONSES, split_required=False)
        case "anthropic":
            name = ANTHROPIC
            parts = _exclusive(usage)
        case _:
            raise UsageUnreadable(
                f"the usage format {usage_format!r} has no normaliser: "
                "expected litellm, openai_responses or anthropic"
            )
    return _normalised(name, parts)


def _litellm_normaliser(provider: str) -> str:
    if provider == "anthropic":
        return ANTHROPIC
    return OPENAI if provider in _OPENAI_PROVIDERS else LITELLM


def _normalised(name: str, parts: _Parts) -> NormalisedUsage:
    created = parts.cache_write + parts.cache_write_5m + parts.cache_write_1h
    plain_input = parts.input - parts.cache_read - created - parts.audio_input - parts.image_input
    if plain_input < 0:
        raise UsageUnreadable(
            f"{parts.input} input tokens cannot hold {parts.cache_read} cached, {created} written "
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

    meters = {
        Meter.INPUT: plain_input,
        Meter.CACHE_READ: parts.cache_read,
        Meter.CACHE_WRITE: parts.cache_write,
        Meter.CACHE_WRITE_5M: parts.cache_write_5m,
        Meter.CACHE_WRITE_1H: parts.cache_write_1h,
        Meter.OUTPUT: plain_output,
        Meter.REASONING: parts.reasoning,
        Meter.AUDIO_INPUT: parts.audio_input,
        Meter.AUDIO_OUTPUT: parts.audio_output,
        Meter.IMAGE_INPUT: parts.image_input,
        Meter.IMAGE_OUTPUT: parts.image_output,
        Meter.WEB_SEARCHES: parts.web_searches,
    }
    counts = TokenCounts(
        input_tokens=parts.input,
        output_tokens=parts.output,
        cache_read_input_tokens=parts.cache_read,
        cache_creation_input_tokens=created,
        reasoning_output_tokens=parts.reasoning,
    )
    return NormalisedUsage(name, counts, {m: meters[m] for m in Meter if meters.get(m)})


def _inclusive(usage: Mapping[str, Any], names: _Names, *, split_required: bool) -> _Parts:
    into = _mapping(usage, names.input_details)
    out = _mapping(usage, names.output_details)
    tools = _mapping(usage, "server_tool_use")
    split = _mapping(into, "cache_creation_token_details", "cache_creation")
    cached_split = _mapping(into, "cached_tokens_details")
    _iterations(usage)  # LiteLLM has added them up; here only: are they all this model's?

    _nothing_else(
        usage,
        {names.input, names.output, names.input_details, names.output_details, "total_tokens"}
        | {"cache_read_input_tokens", "cache_creation_input_tokens", "server_tool_use"}
        | {"iterations", *_NOT_COUNTS},
    )
    _nothing_else(
        into,
        {"cached_tokens", "audio_tokens", "image_tokens", _SEARCHES, *_CREATION_KEYS}
        | {"cache_creation_token_details", "cache_creation", "cached_tokens_details"}
        | {"cache_creation_input_tokens", *_INPUT_DETAILS_FREE},
    )
    _nothing_else(out, {"reasoning_tokens", "audio_tokens", "image_tokens", *_OUTPUT_DETAILS_FREE})
    _nothing_else(tools, {_SEARCHES, *_TOOLS_FREE})
    _nothing_else(split, {_SPLIT_5M, _SPLIT_1H})
    _nothing_else(cached_split, {"text_tokens"})

    total_in, total_out = _count(usage, names.input), _count(usage, names.output)
    total = _count(usage, "total_tokens")
    if total and total != total_in + total_out:
        raise UsageUnreadable(
            f"total_tokens is {total}, but {names.input} and {names.output} add up to "
            f"{total_in + total_out}"
        )
    cache_read = _agreed((into, "cached_tokens"), (usage, "cache_read_input_tokens"))
    audio, image = _count(into, "audio_tokens"), _count(into, "image_tokens")
    if cache_read and (audio or image) and not cached_split:
        raise UsageUnreadable(
            "cached tokens beside audio or image tokens, without cached_tokens_details: "
            "how many of the cached ones are audio or images is not known"
        )
    created = _agreed(
        *((into, key) for key in (*_CREATION_KEYS, "cache_creation_input_tokens")),
        (usage, "cache_creation_input_tokens"),
    )
    whole, five_minutes, one_hour = _creation(created, split, split_required=split_required)
    return _Parts(
        input=total_in,
        output=total_out,
        cache_read=cache_read,
        cache_write=whole,
        cache_write_5m=five_minutes,
        cache_write_1h=one_hour,
        reasoning=_count(out, "reasoning_tokens"),
        audio_input=audio,
        image_input=image,
        audio_output=_count(out, "audio_tokens"),
        image_output=_count(out, "image_tokens"),
        web_searches=_agreed((tools, _SEARCHES), (into, _SEARCHES)),
    )


def _exclusive(usage: Mapping[str, Any]) -> _Parts:
    """Anthropic's own: `input_tokens` holds neither what was read from nor written to a cache."""
    tools = _mapping(usage, "server_tool_use")
    out = _mapping(usage, "output_tokens_details")
    iterations = _iterations(usage)
    known = {"input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation"}
    known |= {"cache_creation_input_tokens", "output_tokens_details", "total_tokens"}
    _nothing_else(usage, known | {"server_tool_use", "iterations", *_NOT_COUNTS})
    _nothing_else(tools, {_SEARCHES, *_TOOLS_FREE})
    _nothing_else(out, {"thinking_tokens"})

    # The top-level counts leave out compactions; the iterations hold everything.
    rounds = iterations or (usage,)
    plain = output = read = five_minutes = one_hour = 0
    for place in rounds:
        split = _mapping(place, "cache_creation")
        _nothing_else(split, {_SPLIT_5M, _SPLIT_1H})
        created = _count(place, "cache_creation_input_tokens")
        _, round_5m, round_1h = _creation(created, split, split_required=True)
        plain += _count(place, "input_tokens")
        output += _count(place, "output_tokens")
        read += _count(place, "cache_read_input_tokens")
        five_minutes += round_5m
        one_hour += round_1h
    return _Parts(
        input=plain + read + five_minutes + one_hour,
        output=output,
        cache_read=read,
        cache_write_5m=five_minutes,
        cache_write_1h=one_hour,
        reasoning=_count(out, "thinking_tokens"),
        web_searches=_count(tools, _SEARCHES),
    )


def _iterations(usage: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    found = usage.get("iterations") or ()
    if not isinstance(found, (list, tuple)):
        raise UsageUnreadable("iterations is not a list")
    for step in found:
        if not isinstance(step, Mapping) or step.get("type", "message") not in _OWN_ITERATIONS:
            raise UsageUnreadable(
                "an iteration of another kind than message or compaction may be billed at "
                "another model's price"
            )
        known = {"type", "input_tokens", "output_tokens", "cache_read_input_tokens", "model"}
        known |= {"cache_creation_input_tokens", "cache_creation", "output_tokens_details"}
        _nothing_else(step, known)
    return tuple(found)


def _creation(
    created: int, split: Mapping[str, Any], *, split_required: bool
) -> tuple[int, int, int]:
    """Return what was written to the cache: at one price, for 5 minutes, for 1 hour."""
    five_minutes, one_hour = _count(split, _SPLIT_5M), _count(split, _SPLIT_1H)
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


def _agreed(*places: tuple[Mapping[str, Any], str]) -> int:
    """Return a count that may stand in several places, which must then say the same."""
    said = {key: _count(where, key) for where, key in places if where.get(key) is not None}
    if len(set(said.values())) > 1:
        raise UsageUnreadable(
            "counts that mean the same differ: " + ", ".join(f"{k} {n}" for k, n in said.items())
        )
    return next(iter(said.values()), 0)


def _count(where: Mapping[str, Any], key: str) -> int:
    value = where.get(key)
    if value is None:
        return 0
    if type(value) is not int:  # bool is an int to isinstance
        raise UsageUnreadable(f"{key} is {type(value).__name__}, expected a whole number")
    if not 0 <= value <= MAX_COUNT:
        raise UsageUnreadable(f"{key} is {value}, expected 0 to {MAX_COUNT}")
    return value


def _mapping(where: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return the first of the keys that is there; absent reads as empty."""
    for key in keys:
        value = where.get(key)
        if value is not None:
            if not isinstance(value, Mapping):
                raise UsageUnreadable(f"{key} is {type(value).__name__}, expected an object")
            return value
    return {}


def _nothing_else(where: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse a positive number under a key that we do not know: it may be billed."""
    for key in sorted(str(key) for key in where if key not in set(known)):
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
