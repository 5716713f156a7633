"""
What a caller asks of the stand-in, written inside the message: `[[standin: status=500 fail=2]]`.

Shapes: a directive is words parted by blanks: `name=value`, or a bare flag. Several may stand in
    one text, and in the header `x-standin`; the later one wins.
Units: `input` and `output` are inclusive (cached, written and reasoning tokens are part of them),
    as in OpenTelemetry; each provider's wire then says it in the provider's way.
Errors: an unknown word is refused, because a misspelt fault would be a test that tests nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

_DIRECTIVE = re.compile(r"\[\[\s*standin:([^\]]*)\]\]")
_LONGEST_DELAY_S = 600.0
_LONGEST_AUDIO_S = 1_000_000.0
_MOST_CHUNKS = 100_000
_MOST_TOKENS = 10**12


class DirectiveUnreadable(ValueError):
    """A directive that the stand-in does not know; the message names the words that exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directives:
    """Every wish of one call; the defaults are a provider that behaves."""

    status: int | None = None
    """Answer with this error; with `fail`, only while failing."""
    fail: int = 0
    """Fail that many tries of the same key, answer the next one, then start over."""
    key: str = ""
    """What counts as the same for `fail`; without it, the same text."""
    only: str = ""
    """Take status, fail, delay, cut and the like only for calls of this model (for fallbacks)."""
    retry_after: str = ""
    """The header of that name, on errors."""
    delay: float = 0.0
    """Seconds before the first byte."""
    chunks: int | None = None
    """Content chunks of a stream, words of a whole answer."""
    interval: float = 0.0
    """Seconds between chunks."""
    cut: int | None = None
    """Drop the connection after that many chunks; of a whole answer, in its middle."""
    error_after: int | None = None
    """Send the provider's error event after that many chunks of a stream."""
    malformed: bool = False
    """JSON that ends too early."""
    no_usage: bool = False
    """Report no usage at all."""
    tier: str = ""
    """The service tier that is said to have served the call."""
    answers_as: str = ""
    """The model name in the answer."""
    input: int | None = None
    cached: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int | None = None
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    cached_audio: int = 0
    """A part of cached, as audio_… and image_… are of input and output."""
    seconds: float | None = None
    """How long the audio is said to last."""
    polls: int | None = None
    """What runs in the background ends when it is looked at for that many times."""
    takes: float | None = None
    """What runs in the background ends when it is looked at after that many seconds."""
    tool: str = ""
    """Ask for that tool, where the request offers it."""
    rounds: int = 1
    """How many times, before the text comes."""
    ends: str = ""
    """How it ends, if not well: failed, expired or cancelled."""


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= _LONGEST_DELAY_S:
        raise ValueError(text)
    return value


def _duration(text: str) -> float:
    value = float(text)
    if not 0 <= value <= _LONGEST_AUDIO_S:
        raise ValueError(text)
    return value


def _whole(most: int, least: int = 0) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise ValueError(text)
        return value

    return read


def _bad_end(text: str) -> str:
    if text not in {"failed", "expired", "cancelled"}:
        raise ValueError(text)
    return text


_READERS: Mapping[str, Callable[[str], object]] = {
    "status": _whole(599, 400),
    "fail": _whole(1000),
    "key": str,
    "only": str,
    "retry_after": str,
    "delay": _seconds,
    "chunks": _whole(_MOST_CHUNKS, 1),
    "interval": _seconds,
    "cut": _whole(_MOST_CHUNKS),
    "error_after": _whole(_MOST_CHUNKS),
    "tier": str,
    "answers_as": str,
    "input": _whole(_MOST_TOKENS),
    "cached": _whole(_MOST_TOKENS),
    "cache_write_5m": _whole(_MOST_TOKENS),
    "cache_write_1h": _whole(_MOST_TOKENS),
    "output": _whole(_MOST_TOKENS),
    "reasoning": _whole(_MOST_TOKENS),
    "audio_input": _whole(_MOST_TOKENS),
    "audio_output": _whole(_MOST_TOKENS),
    "image_input": _whole(_MOST_TOKENS),
    "image_output": _whole(_MOST_TOKENS),
    "cached_audio": _whole(_MOST_TOKENS),
    "seconds": _duration,
    "polls": _whole(1000, 1),
    "takes": _seconds,
    "ends": _bad_end,
    "tool": str,
    "rounds": _whole(99, 1),
}
_FLAGS = frozenset({"malformed", "no_usage"})
_NOISE = frozenset({"usage"})
"""Reads well before token counts: `[[standin: usage input=3400 output=620]]`."""

_USAGE_FIELDS = frozenset(
    {
        "input",
        "cached",
        "cache_write_5m",
        "cache_write_1h",
        "output",
        "reasoning",
        "tier",
        "audio_input",
        "audio_output",
        "image_input",
        "image_output",
        "cached_audio",
        "seconds",
    }
)

BEHAVED = Directives()


def parse(text: str, header: str = "") -> Directives:
    """Read the wishes in a message's text; what stands in the `x-standin` header comes first."""
    found = _DIRECTIVE.findall(text)
    if header:
        found.insert(0, header)
    if not found:
        return BEHAVED
    wishes: dict[str, object] = {}
    for words in found:
        for word in words.split():
            wishes.update(_wish(word))
    directives = Directives(**wishes)  # type: ignore[arg-type]  # _READERS has one reader per field
    _check(directives)
    return directives


def _wish(word: str) -> dict[str, object]:
    name, equals, value = word.partition("=")
    if name in _NOISE and not equals:
        return {}
    if name in _FLAGS and not equals:
        return {name: True}
    reader = _READERS.get(name)
    if reader is None or not equals:
        known = ", ".join([*(f"{name}=…" for name in sorted(_READERS)), *sorted(_FLAGS)])
        raise DirectiveUnreadable(f"[[standin: …]] has the unknown word {name!r}; known: {known}")
    try:
        return {name: reader(value)}
    except ValueError:
        raise DirectiveUnreadable(
            f"[[standin: …]] gives {name} a value that it cannot have"
        ) from None


def _check(asked: Directives) -> None:
    parts = asked.cached + asked.cache_write_5m + asked.cache_write_1h
    if parts and (asked.input is None or parts > asked.input):
        raise DirectiveUnreadable(
            "cached and cache_write_… are parts of input: give an input that is at least their sum"
        )
    if asked.reasoning and (asked.output is None or asked.reasoning > asked.output):
        raise DirectiveUnreadable(
            "reasoning is a part of output: give an output that is at least as large"
        )
    _check_kinds("input", asked.input, asked.audio_input + asked.image_input)
    _check_kinds("output", asked.output, asked.audio_output + asked.image_output)
    _check_kinds("cached", asked.cached, asked.cached_audio)


def _check_kinds(name: str, whole: int | None, parts: int) -> None:
    if parts and (whole is None or parts > whole):
        raise DirectiveUnreadable(
            f"the parts of {name} for audio and images need {name}=… that is at least their sum"
        )


def for_model(asked: Directives, model: str) -> Directives:
    """Drop the faults of wishes whose `only` names another model."""
    if not asked.only or asked.only == model:
        return asked
    kept = {f.name: getattr(asked, f.name) for f in fields(asked) if f.name in _USAGE_FIELDS}
    return Directives(**kept)


def without_directives(text: str) -> str:
    """Leave the text that a model would have been asked."""
    return _DIRECTIVE.sub(" ", text) if "[[" in text else text
