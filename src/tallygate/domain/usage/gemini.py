"""
Gemini's own `usageMetadata`, as generateContent and the Live API report it.

Shapes  `promptTokenCount` holds the cached tokens; `thoughtsTokenCount` and
        `toolUsePromptTokenCount` stand beside the counts of prompt and candidates. The details
        are lists of {modality, tokenCount}. A document counts as an image, as Google bills it, and
        so do the frames of a video.
        `webSearchQueries` is no key of Google's: the gate counts the queries of the answer's
        groundingMetadata, because each is billed and tool tokens beside them are not.
Source  Google's UsageMetadata reference; LiteLLM 1.106.2 for what old models include.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tallygate.domain.usage.reading import Parts, agreed, count, items, nothing_else
from tallygate.errors import UsageUnreadable

GEMINI: Final = "gemini/1"

_KNOWN: Final = frozenset(
    {"promptTokenCount", "cachedContentTokenCount", "candidatesTokenCount", "totalTokenCount"}
    | {"thoughtsTokenCount", "toolUsePromptTokenCount", "promptTokensDetails"}
    | {"cacheTokensDetails", "candidatesTokensDetails", "toolUsePromptTokensDetails"}
    | {"responseTokenCount", "responseTokensDetails", "trafficType", "serviceTier"}
    | {"webSearchQueries", "service_tier"}
)
_AS_IMAGE: Final = frozenset({"IMAGE", "VIDEO", "DOCUMENT"})


def gemini(usage: Mapping[str, Any]) -> Parts:
    """Read `usageMetadata`."""
    nothing_else(usage, _KNOWN)
    prompt = count(usage, "promptTokenCount")
    answer = agreed((usage, "candidatesTokenCount"), (usage, "responseTokenCount"))
    thoughts = count(usage, "thoughtsTokenCount")
    tool_use = count(usage, "toolUsePromptTokenCount")
    output = _output(usage, prompt + tool_use, answer, thoughts)

    _, audio, images = _by_modality(usage, "promptTokensDetails", prompt)
    _, tool_audio, tool_images = _by_modality(usage, "toolUsePromptTokensDetails", tool_use)
    key = (
        "candidatesTokensDetails" if "candidatesTokensDetails" in usage else "responseTokensDetails"
    )
    if any(item.get("modality") in ("VIDEO", "DOCUMENT") for item in items(usage, key)):
        raise UsageUnreadable(f"{key} holds a modality that tallygate has no meter for")
    _, audio_out, images_out = _by_modality(usage, key, answer)
    read = count(usage, "cachedContentTokenCount")
    read_text, read_audio, read_image = _cached(usage, read, prompt - audio - images, audio)
    searches = count(usage, "webSearchQueries")
    if searches:
        tool_use = tool_audio = tool_images = 0
    return Parts(
        input=prompt + tool_use,
        output=output,
        cache_read=read_text,
        cache_read_audio=read_audio,
        cache_read_image=read_image,
        reasoning=thoughts,
        audio_input=_left(audio, read_audio) + tool_audio,
        image_input=_left(images, read_image) + tool_images,
        audio_output=audio_out,
        image_output=images_out,
        web_searches=searches,
    )


def _output(usage: Mapping[str, Any], into: int, answer: int, thoughts: int) -> int:
    """Add the thoughts, unless the total shows that the answer's count holds them."""
    total = count(usage, "totalTokenCount")
    if total in (0, into + answer + thoughts):
        return answer + thoughts
    if total == into + answer:
        return answer
    raise UsageUnreadable(
        f"totalTokenCount is {total}, but the counts add up to {into + answer + thoughts}"
    )


def _by_modality(usage: Mapping[str, Any], key: str, whole: int) -> tuple[int, int, int]:
    """Split a count into text, audio and images; without details all of it is text."""
    audio = images = text = 0
    for item in items(usage, key):
        nothing_else(item, {"modality", "tokenCount"})
        tokens = count(item, "tokenCount")
        modality = item.get("modality")
        if modality == "AUDIO":
            audio += tokens
        elif modality in _AS_IMAGE:
            images += tokens
        elif modality in ("TEXT", "MODALITY_UNSPECIFIED"):
            text += tokens
        elif tokens:
            raise UsageUnreadable(f"{key} holds a modality that tallygate has no meter for")
    if text + audio + images > whole:
        raise UsageUnreadable(f"{key} holds more than the {whole} tokens that it splits")
    return whole - audio - images, audio, images


def _cached(usage: Mapping[str, Any], read: int, text: int, audio: int) -> tuple[int, int, int]:
    """Say which modalities came from the cache."""
    if not read:
        return 0, 0, 0
    if items(usage, "cacheTokensDetails"):
        return _by_modality(usage, "cacheTokensDetails", read)
    if audio:
        raise UsageUnreadable(
            "cached tokens beside audio tokens, without cacheTokensDetails: "
            "how many of the cached ones are audio is not known"
        )
    # Text and images have one price with Google, cached or not.
    return min(read, text), 0, max(0, read - text)


def _left(whole: int, cached: int) -> int:
    if cached > whole:
        raise UsageUnreadable(f"{cached} tokens of one modality were cached, of {whole}")
    return whole - cached
