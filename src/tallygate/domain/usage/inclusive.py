"""
Usage whose input count holds what came from a cache: OpenAI's formats, and LiteLLM's own.

Shapes  `litellm` and `openai_chat` (chat, text completions, embeddings) and `openai_responses`
        (Responses, and the `usage` of a batch object) differ in names only. `openai_realtime`
        splits the cached tokens by modality; `openai_images` counts images as output;
        `openai_audio` is a transcription (by tokens or by seconds) or speech (tokens).
Units   Seconds of audio become whole milliseconds, a part of one counts as one.
Source  LiteLLM 1.106.2 `types/utils.py::Usage`; the providers' own usage types.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tallygate.domain.usage.exclusive import SPLIT_1H, SPLIT_5M, creation, iterations_of
from tallygate.domain.usage.meters import Meter, NormalisedUsage, TokenCounts
from tallygate.domain.usage.reading import (
    MAX_COUNT,
    NOT_COUNTS,
    Parts,
    agreed,
    count,
    mapping,
    metered,
    nothing_else,
)
from tallygate.errors import UsageMissing, UsageUnreadable

OPENAI: Final = "openai/1"
OPENAI_REALTIME: Final = "openai-realtime/1"
OPENAI_IMAGES: Final = "openai-images/1"
OPENAI_AUDIO: Final = "openai-audio/1"
LITELLM_GEMINI: Final = "litellm-gemini/1"

_SEARCHES: Final = "web_search_requests"


@dataclass(frozen=True, slots=True)
class _Names:
    """How an inclusive format spells its counts."""

    input: str
    output: str
    input_details: str
    output_details: str
    known: frozenset[str]


def _names(into: str, out: str, into_details: str, out_details: str) -> _Names:
    known = {into, out, into_details, out_details, "total_tokens", "server_tool_use", "iterations"}
    known |= {"cache_read_input_tokens", "cache_creation_input_tokens"}
    return _Names(into, out, into_details, out_details, frozenset(known | NOT_COUNTS))


CHAT: Final = _names(
    "prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"
)
RESPONSES: Final = _names(
    "input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"
)

# `text_tokens` and the predictions are held by the counts already, and not billed apart.
_INPUT_KNOWN: Final = frozenset(
    {"cached_tokens", "audio_tokens", "image_tokens", "text_tokens", _SEARCHES}
    | {"cache_write_tokens", "cache_creation_tokens"}
    | {"cache_creation_token_details", "cache_creation", "cached_tokens_details"}
    | {"cache_creation_input_tokens"}
)
_OUTPUT_KNOWN: Final = frozenset(
    {"reasoning_tokens", "audio_tokens", "image_tokens", "text_tokens"}
    | {"accepted_prediction_tokens", "rejected_prediction_tokens"}
)
_TOOLS_KNOWN: Final = frozenset({_SEARCHES, "tool_search_requests", "web_fetch_requests"})
_SPLIT_KNOWN: Final = frozenset({SPLIT_5M, SPLIT_1H})
_TEXT: Final = frozenset({"text_tokens"})
_MODALITIES: Final = frozenset({"text_tokens", "audio_tokens", "image_tokens"})

_GEMINI_KNOWN: Final = _INPUT_KNOWN | {"video_tokens", "tool_use_tokens"}

_REALTIME_KNOWN: Final = frozenset(
    {"input_tokens", "output_tokens", "total_tokens", "input_token_details", "output_token_details"}
)
_REALTIME_INPUT_KNOWN: Final = _MODALITIES | {"cached_tokens", "cached_tokens_details"}
_IMAGES_KNOWN: Final = frozenset(
    {"input_tokens", "output_tokens", "total_tokens"}
    | {"input_tokens_details", "output_tokens_details"}
    | NOT_COUNTS
)
_TRANSCRIPT_KNOWN: Final = frozenset(
    {"type", "input_tokens", "output_tokens", "total_tokens", "input_token_details"}
)
_TRANSCRIPT_INPUT_KNOWN: Final = frozenset({"text_tokens", "audio_tokens"})
_DURATION_KNOWN: Final = frozenset({"type", "seconds"})


def inclusive(usage: Mapping[str, Any], names: _Names, *, split_required: bool) -> Parts:
    """Read chat, text completion, embedding and Responses usage, LiteLLM's included."""
    into = mapping(usage, names.input_details)
    out = mapping(usage, names.output_details)
    tools = mapping(usage, "server_tool_use")
    split = mapping(into, "cache_creation_token_details", "cache_creation")
    cached_split = mapping(into, "cached_tokens_details")
    iterations_of(usage)  # LiteLLM has added them up; here only: are they all this model's?

    nothing_else(usage, names.known)
    nothing_else(into, _INPUT_KNOWN)
    nothing_else(out, _OUTPUT_KNOWN)
    nothing_else(tools, _TOOLS_KNOWN)
    nothing_else(split, _SPLIT_KNOWN)
    nothing_else(cached_split, _TEXT)

    total_in, total_out = count(usage, names.input), count(usage, names.output)
    _check_total(usage, total_in + total_out, f"{names.input} and {names.output}")
    cache_read = agreed((into, "cached_tokens"), (usage, "cache_read_input_tokens"))
    audio, image = count(into, "audio_tokens"), count(into, "image_tokens")
    if cache_read and (audio or image) and not cached_split:
        raise UsageUnreadable(
            "cached tokens beside audio or image tokens, without cached_tokens_details: "
            "how many of the cached ones are audio or images is not known"
        )
    whole, five_minutes, one_hour = creation(
        _created(into, usage), split, split_required=split_required
    )
    return Parts(
        input=total_in,
        output=total_out,
        cache_read=cache_read,
        cache_write=whole,
        cache_write_5m=five_minutes,
        cache_write_1h=one_hour,
        reasoning=count(out, "reasoning_tokens"),
        audio_input=audio,
        image_input=image,
        audio_output=count(out, "audio_tokens"),
        image_output=count(out, "image_tokens"),
        web_searches=agreed((tools, _SEARCHES), (into, _SEARCHES)),
    )


def litellm_gemini(usage: Mapping[str, Any]) -> Parts:
    """
    Read what LiteLLM makes of Gemini's usage.

    Its audio, image and video counts leave the cached tokens out as far as Google says which they
    are; what came from a cache without a word on its modality is text first, then images, which
    Google sells at one price. Tool tokens of a grounded search are in the total and not billed.
    What was written to a cache is a sign of another vendor's model at Vertex AI.
    """
    into = mapping(usage, CHAT.input_details)
    out = mapping(usage, CHAT.output_details)
    tools = mapping(usage, "server_tool_use")
    if _created(into, usage):
        return inclusive(usage, CHAT, split_required=False)
    nothing_else(usage, CHAT.known | {"reasoning_tokens"})
    nothing_else(into, _GEMINI_KNOWN)
    nothing_else(out, _OUTPUT_KNOWN)
    nothing_else(tools, _TOOLS_KNOWN)
    total_in, total_out = count(usage, CHAT.input), count(usage, CHAT.output)
    total = count(usage, "total_tokens")
    tool_use = count(into, "tool_use_tokens")
    if total != total_in + total_out + tool_use:
        _check_total(usage, total_in + total_out, f"{CHAT.input} and {CHAT.output}")
    read = agreed((into, "cached_tokens"), (usage, "cache_read_input_tokens"))
    audio = count(into, "audio_tokens")
    if read and audio:
        raise UsageUnreadable(
            "cached tokens beside audio tokens: how many of the cached ones are audio is not known"
        )
    images = count(into, "image_tokens") + count(into, "video_tokens")
    return Parts(
        input=total_in,
        output=total_out,
        cache_read=read,
        reasoning=agreed((out, "reasoning_tokens"), (usage, "reasoning_tokens")),
        audio_input=audio,
        image_input=max(0, min(images, total_in - read - audio)),
        audio_output=count(out, "audio_tokens"),
        image_output=count(out, "image_tokens"),
        web_searches=agreed((tools, _SEARCHES), (into, _SEARCHES)),
    )


def realtime(usage: Mapping[str, Any]) -> NormalisedUsage:
    """Read `response.usage` of one `response.done`; text, audio and images hold the cached ones."""
    into, out = mapping(usage, "input_token_details"), mapping(usage, "output_token_details")
    cached = mapping(into, "cached_tokens_details")
    nothing_else(usage, _REALTIME_KNOWN)
    nothing_else(into, _REALTIME_INPUT_KNOWN)
    nothing_else(out, _MODALITIES | {"reasoning_tokens"})
    nothing_else(cached, _MODALITIES)
    total_in, total_out = count(usage, "input_tokens"), count(usage, "output_tokens")
    _check_total(usage, total_in + total_out, "input_tokens and output_tokens")
    read, audio, image = (count(into, k) for k in ("cached_tokens", "audio_tokens", "image_tokens"))
    if read and (audio or image) and not cached:
        raise UsageUnreadable(
            "cached tokens beside audio or image tokens, without cached_tokens_details"
        )
    read_audio, read_image = count(cached, "audio_tokens"), count(cached, "image_tokens")
    read_text = count(cached, "text_tokens") if cached else read
    if read_text + read_audio + read_image != read or read_audio > audio or read_image > image:
        raise UsageUnreadable(f"cached_tokens_details do not make up {read} cached tokens")
    parts = Parts(
        input=total_in,
        output=total_out,
        cache_read=read_text,
        cache_read_audio=read_audio,
        cache_read_image=read_image,
        audio_input=audio - read_audio,
        image_input=image - read_image,
        reasoning=count(out, "reasoning_tokens"),
        audio_output=count(out, "audio_tokens"),
        image_output=count(out, "image_tokens"),
    )
    return metered(OPENAI_REALTIME, parts)


def images(usage: Mapping[str, Any]) -> NormalisedUsage:
    """Read what an image model reports: without output details all of the output is image."""
    into, out = mapping(usage, "input_tokens_details"), mapping(usage, "output_tokens_details")
    cached = mapping(into, "cached_tokens_details")
    nothing_else(usage, _IMAGES_KNOWN)
    nothing_else(into, _REALTIME_INPUT_KNOWN - {"audio_tokens"})
    nothing_else(cached, _MODALITIES - {"audio_tokens"})
    nothing_else(out, _TEXT | {"image_tokens"})
    total_in, total_out = count(usage, "input_tokens"), count(usage, "output_tokens")
    _check_total(usage, total_in + total_out, "input_tokens and output_tokens")
    read, image = count(into, "cached_tokens"), count(into, "image_tokens")
    if read and image and not cached:
        raise UsageUnreadable("cached tokens beside image tokens, without cached_tokens_details")
    read_image = count(cached, "image_tokens")
    if read_image > min(read, image):
        raise UsageUnreadable(
            f"{read_image} cached image tokens of {read} cached, {image} of images"
        )
    parts = Parts(
        input=total_in,
        output=total_out,
        cache_read=read - read_image,
        cache_read_image=read_image,
        image_input=image - read_image,
        image_output=count(out, "image_tokens") if out else total_out,
    )
    return metered(OPENAI_IMAGES, parts)


def audio(usage: Mapping[str, Any]) -> NormalisedUsage:
    """Read a transcription's usage, or that of speech, whose output is sound."""
    if "seconds" in usage:
        nothing_else(usage, _DURATION_KNOWN)
        return _listened(usage["seconds"])
    into = mapping(usage, "input_token_details")
    nothing_else(usage, _TRANSCRIPT_KNOWN)
    nothing_else(into, _TRANSCRIPT_INPUT_KNOWN)
    total_in, total_out = count(usage, "input_tokens"), count(usage, "output_tokens")
    _check_total(usage, total_in + total_out, "input_tokens and output_tokens")
    is_transcript = bool(into) or usage.get("type") == "tokens"
    if is_transcript and total_in and not into:
        raise UsageUnreadable("a transcription without input_token_details: how much was sound?")
    parts = Parts(
        input=total_in,
        output=total_out,
        audio_input=count(into, "audio_tokens"),
        audio_output=0 if is_transcript else total_out,
    )
    return metered(OPENAI_AUDIO, parts)


def _listened(seconds: object) -> NormalisedUsage:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise UsageUnreadable(f"seconds is {type(seconds).__name__}, expected a number")
    if not 0 <= seconds <= MAX_COUNT / 1000:
        raise UsageUnreadable(f"seconds is {seconds}, expected 0 to {MAX_COUNT // 1000}")
    milliseconds = math.ceil(Decimal(repr(seconds)) * 1000)
    if not milliseconds:
        raise UsageMissing("the transcription lasted 0 seconds, so nothing was counted")
    nothing = TokenCounts(input_tokens=0, output_tokens=0)
    return NormalisedUsage(OPENAI_AUDIO, nothing, {Meter.AUDIO_MILLISECONDS: milliseconds})


def _created(into: Mapping[str, Any], usage: Mapping[str, Any]) -> int:
    return agreed(
        (into, "cache_write_tokens"),
        (into, "cache_creation_tokens"),
        (into, "cache_creation_input_tokens"),
        (usage, "cache_creation_input_tokens"),
    )


def _check_total(usage: Mapping[str, Any], added: int, names: str) -> None:
    total = count(usage, "total_tokens")
    if total and total != added:
        raise UsageUnreadable(f"total_tokens is {total}, but {names} add up to {added}")
