"""
Usage read from a response on its way to the client, where its body is the provider's own.

LiteLLM passes these on without making sense of them (pass-through to a host that it does not know,
threads, streams of Gemini's and Bedrock's own formats), so what was used is read as it goes by:
whole JSON, server-sent events, AWS event streams. Nothing but counts, ids and names is kept.

Shapes  Bytes in parts of any size -> `Seen`. A body of more than `LARGEST` bytes is not read.
Errors  None: what cannot be read is left out, and the attempt stays without usage.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from botocore.eventstream import EventStreamBuffer, ParserError

_HOLDERS: Final = ("message", "response", "data")
"""Where an event holds the answer: Anthropic's first, OpenAI's Responses, LiteLLM's of threads."""

_FAILURES: Final = ("error", "response.failed")
"""Types of the events with which a stream ends badly."""

_TURN_ENDS: Final = {
    "response.done": "openai_realtime",
    "response.completed": "openai_responses",
    "response.incomplete": "openai_responses",
}

_HEARD: Final = "conversation.item.input_audio_transcription.completed"
"""What was said to a session, written down by a model of its own."""

LARGEST: Final = 32 * 1024 * 1024
"""Of a body that must be whole to be read, and of one event of a stream."""


@dataclass(slots=True)
class Seen:
    """What the provider said of its answer."""

    usage: dict[str, Any] = field(default_factory=dict)
    usage_format: str | None = None
    model: str | None = None
    response_id: str | None = None
    service_tier: str | None = None
    has_failed: bool = False
    """The stream itself says that it broke."""
    is_complete: bool = False
    """Whether the usage is the last word: a stream that broke off may have held only a part."""

    def take(self, value: object) -> None:
        """Take one JSON value: a whole answer, or one event of a stream."""
        if not isinstance(value, Mapping):
            return
        self.has_failed |= value.get("type") in _FAILURES or isinstance(value.get("error"), Mapping)
        for name in _HOLDERS:
            inner = value.get(name)
            if isinstance(inner, Mapping):
                self._take(inner)
        self._take(value)

    def _take(self, value: Mapping[str, Any]) -> None:
        self.model = _text(value.get("model") or value.get("modelVersion")) or self.model
        self.response_id = self.response_id or _text(value.get("id") or value.get("responseId"))
        self.service_tier = _text(value.get("service_tier")) or self.service_tier
        found = _usage_in(value)
        if found is not None:
            self.usage_format, usage = found
            self.usage = _merged(self.usage, usage)


class Reader:
    """Reads one response; fed by the tap."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.status: int | None = None
        self.first_part_ns: int | None = None
        self._kind = "skip"
        self._held = bytearray()
        self._frames = EventStreamBuffer()
        self._unpack: Callable[[bytes], bytes] = bytes

    def starts(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        """Take the status line and the headers, whose names are lower case."""
        self.status = status
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        encoding = headers.get(b"content-encoding", b"identity").lower()
        if encoding == b"gzip":
            unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
            self._unpack = lambda data: unpacking.decompress(data, LARGEST)
        elif encoding != b"identity":
            return
        if kind == b"text/event-stream":
            self._kind = "events"
        elif kind == b"application/vnd.amazon.eventstream":
            self._kind = "frames"
        elif kind.endswith(b"json"):
            self._kind = "whole"

    def part(self, data: bytes, now_ns: int) -> None:
        """Take a part of the body."""
        if self.first_part_ns is None and data:
            self.first_part_ns = now_ns
        try:
            data = self._unpack(data)
        except zlib.error:
            self._kind = "skip"
        if self._kind == "frames":
            self._read_frames(data)
        elif self._kind != "skip":
            self._held += data
            if self._kind == "events":
                self._read_events()
            if len(self._held) > LARGEST:
                self._kind = "skip"
                self._held.clear()

    def ends(self) -> None:
        """Take note that the body came to its end."""
        if self._kind == "whole":
            self._take_json(bytes(self._held))
        elif self._kind == "events" and self._held:
            self._held += b"\n\n"
            self._read_events()
        self.seen.is_complete = True
        self._held.clear()

    def _read_events(self) -> None:
        *lines, rest = self._held.split(b"\n")
        self._held = bytearray(rest)
        for line in lines:
            if line.startswith((b"data:", b"{", b"[{", b",{")) and _may_tell(line):
                self._take_json(bytes(line.removeprefix(b"data:").strip(b" \r,[]")))

    def _read_frames(self, data: bytes) -> None:
        self._frames.add_data(data)
        try:
            for event in self._frames:
                self._take_frame(event.payload)
        except (ParserError, struct.error, ValueError, KeyError):
            self._kind = "skip"

    def _take_frame(self, payload: bytes) -> None:
        """Take Converse's own JSON, or what `invoke` wraps: the model's event as base64."""
        if payload.startswith(b'{"bytes"'):
            with suppress(ValueError, TypeError, KeyError):
                payload = base64.b64decode(orjson.loads(payload)["bytes"])
        if _may_tell(payload):
            self._take_json(payload)

    def _take_json(self, data: bytes) -> None:
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        for each in value if isinstance(value, list) else [value]:
            self.seen.take(each)


def is_only_usage(data: bytes) -> bool:
    """Whether one server-sent event has usage and no choice."""
    try:
        value = orjson.loads(data.strip().removeprefix(b"data:"))
    except orjson.JSONDecodeError:
        return False
    if not isinstance(value, Mapping) or not value.get("usage"):
        return False
    choices = value.get("choices")
    return not isinstance(choices, list) or not any(map(_says_something, choices))


def _says_something(choice: object) -> bool:
    """Whether a choice has text or an end; LiteLLM fills in empty ones."""
    said = ("text", "delta", "message", "finish_reason")
    return isinstance(choice, Mapping) and any(choice.get(name) for name in said)


def turn_in(data: str | bytes) -> tuple[Mapping[str, Any], str] | None:
    """Find the usage of a finished turn in one event of a session, and its format."""
    if ("usage" if isinstance(data, str) else b"usage") not in data:  # type: ignore[operator]  # both are of one kind
        return None
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, Mapping):
        return None
    answer, kind = value.get("response"), value.get("type")
    if isinstance(kind, str) and kind in _TURN_ENDS and isinstance(answer, Mapping):
        usage = answer.get("usage")
        if isinstance(usage, Mapping):
            return usage, _TURN_ENDS[kind]
    if value.get("type") == _HEARD and isinstance(value.get("usage"), Mapping):
        return value["usage"], "openai_audio"
    google = value.get("usageMetadata")
    return (google, "gemini") if isinstance(google, Mapping) else None


def _may_tell(data: bytes | bytearray) -> bool:
    """Whether an event may hold what is looked for; most hold a piece of text only."""
    return b"usage" in data or b'"error"' in data


def _usage_in(value: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """Find the usage of one JSON object, and name the convention that it follows."""
    google = value.get("usageMetadata")
    if isinstance(google, Mapping):
        return "gemini", google
    meta = value.get("meta")
    if isinstance(meta, Mapping) and isinstance(meta.get("billed_units"), Mapping):
        return "cohere_rerank", meta
    usage = value.get("usage")
    return (_format_of(usage, value), usage) if isinstance(usage, Mapping) else None


def _format_of(usage: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    if "billed_units" in usage:
        return "cohere_rerank"
    if "inputTokens" in usage or "outputTokens" in usage:
        return "bedrock_converse"
    if "prompt_tokens" in usage:
        return "openai_chat"
    if usage.get("type") in ("tokens", "duration") or "seconds" in usage:
        return "openai_audio"
    if answer.get("object") == "response" or "input_tokens_details" in usage:
        is_image = "data" in answer and answer.get("object") is None
        return "openai_images" if is_image else "openai_responses"
    return "anthropic"


def _merged(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Put a later word over an earlier one: a stream's last event may say only what changed."""
    return {**before, **{name: value for name, value in now.items() if value is not None}}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
