"""
What a provider would answer, before it takes a wire format: words, counts, names.

Units: counts are inclusive, as OpenTelemetry has them. By default a token is a word: of the
    request's texts for the input, of the answer for the output.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Protocol

from tallygate.standin.directives import Directives
from tallygate.standin.tool_calls import TOKENS, ToolCall, tool_call_for

_SAID = (
    "This answer comes from the stand-in that tallygate ships: "
    "no model was asked, no prompt was kept, and nothing was billed."
)
_WORDS = _SAID.split()

_SNAPSHOTS: Mapping[str, str] = {
    "gpt-5.4": "gpt-5.4-2026-03-05",
    "gpt-5.4-mini": "gpt-5.4-mini-2026-03-17",
    "gpt-5.4-nano": "gpt-5.4-nano-2026-03-17",
    "gpt-5.5": "gpt-5.5-2026-04-23",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
}
"""The providers answer with the dated name of an alias; those that are not here answer as asked."""


class RequestUnacceptable(ValueError):
    """A request that the provider would refuse; `param` is the field, where it has one."""

    def __init__(self, message: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param = param
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as far as the stand-in cares."""

    model: str
    stream: bool = False
    reports_usage: bool = True
    """False for an OpenAI stream whose caller did not ask for usage."""
    tier: str = ""
    input_tokens: int = 0
    most_output_tokens: int | None = None
    directive_text: str = ""
    operation: str = ""
    """Where one path serves several: what is done in truth, and could cost something."""
    request_metadata: Mapping[str, str] | None = None
    """What is attached for the provider's bill, where the provider knows such a thing."""
    tools: tuple[str, ...] = ()
    """The names of the tools that the request offers."""
    tool_rounds: int = 0
    """How often a tool has answered since the user last spoke."""
    extra: Mapping[str, Any]
    """What only the provider's own wire reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Inclusive token counts of one answer."""

    input: int
    cached: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    cached_audio: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What will be said, and what it is said to have cost."""

    response_id: str
    created_s: int
    model: str
    words: tuple[str, ...]
    ended_by_limit: bool
    counts: Counts
    tier: str
    reports_usage: bool
    asked: Asked
    tool: ToolCall | None = None
    """Asked for in place of words."""

    @property
    def text(self) -> str:
        return "".join(self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One server-sent event; `is_chunk` where it carries content."""

    data: bytes
    is_chunk: bool = False
    usage: Mapping[str, Any] | None = None


class Wire(Protocol):
    """One route of one provider."""

    def read(self, body: Mapping[str, Any]) -> Asked: ...
    def new_response_id(self) -> str: ...
    def served_tier(self, asked: str) -> str: ...
    def whole(self, answer: Answer) -> dict[str, Any]: ...
    def frames(self, answer: Answer) -> Iterable[Frame]: ...


def answer_for(asked: Asked, wishes: Directives, wire: Wire, created_s: int) -> Answer:
    """Make the answer that was asked for, with the wishes in it."""
    tool = tool_call_for(wishes, asked.tools, asked.tool_rounds)
    words, ended_by_limit = words_for(asked, wishes) if tool is None else ((), False)
    return Answer(
        response_id=wire.new_response_id(),
        created_s=created_s,
        model=model_for(asked, wishes),
        words=words,
        ended_by_limit=ended_by_limit,
        counts=counts_for(wishes, asked.input_tokens, len(words) if tool is None else TOKENS),
        tier=wishes.tier or wire.served_tier(asked.tier),
        reports_usage=asked.reports_usage and not wishes.no_usage,
        asked=asked,
        tool=tool,
    )


def model_for(asked: Asked, wishes: Directives) -> str:
    """Name the model in the answer."""
    return wishes.answers_as or _SNAPSHOTS.get(asked.model, asked.model)


def counts_for(wishes: Directives, input_tokens: int, output_tokens: int) -> Counts:
    """Count as wished for; what was not wished for is as given."""
    return Counts(
        input=input_tokens if wishes.input is None else wishes.input,
        cached=wishes.cached,
        cache_write_5m=wishes.cache_write_5m,
        cache_write_1h=wishes.cache_write_1h,
        output=output_tokens if wishes.output is None else wishes.output,
        reasoning=wishes.reasoning,
        audio_input=wishes.audio_input,
        audio_output=wishes.audio_output,
        image_input=wishes.image_input,
        image_output=wishes.image_output,
        cached_audio=wishes.cached_audio,
    )


def words_for(asked: Asked, wishes: Directives) -> tuple[tuple[str, ...], bool]:
    """Choose the words of an answer, and say whether the caller's limit ended it."""
    wanted = wishes.chunks or len(_WORDS)
    limit = asked.most_output_tokens
    count = wanted if limit is None else min(wanted, max(limit, 1))
    chosen = islice(cycle(_WORDS), count)
    return tuple(word if i == 0 else f" {word}" for i, word in enumerate(chosen)), count < wanted


def texts_of(content: object) -> str:
    """Join the text of a message's content, whichever of the providers' shapes it has."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(part for part in parts if isinstance(part, str))
    return ""


def last_user_text(messages: list[Any]) -> str:
    """Find where the directives stand: the newest message that the user wrote."""
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if not only_tool_results(content):
                return texts_of(content)
    return ""


def only_tool_results(content: object) -> bool:
    """Tell a message that Anthropic's callers send for their tools from one of the user."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(part, dict) and part.get("type") == "tool_result" for part in content)
    )


def model_in(body: Mapping[str, Any], missing: str) -> str:
    """Read the model's name, or refuse with the provider's own words."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise RequestUnacceptable(missing, "model")
    return model[:128]


def whole_number(value: object) -> int | None:
    """Read a limit that a caller gave; what is not a positive number is no limit."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
