"""
One session of OpenAI's realtime API: what was said so far, and what a turn answers and costs.

Units: `input_tokens` of a turn are the words of the whole conversation so far, and ten a second for
    sound that was sent in (24 kHz, 16 bit), since every turn reads all that went before. A spoken
    word is eleven tokens: one of text, ten of sound.
Source: the events and the usage object of the official client's `types/realtime`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from secrets import token_hex
from typing import Any

from tallygate.standin.answers import Asked, Counts, counts_for, words_for
from tallygate.standin.directives import Directives, for_model, parse, without_directives

_BYTES_A_SECOND = 48_000
_TOKENS_A_SECOND = 10
_BETA_NAMES: Mapping[str, str] = {
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "conversation.item.added": "conversation.item.created",
}
"""How the names read for a client that sends `OpenAI-Beta: realtime=v1`."""

Event = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One answer inside a session."""

    response_id: str
    item_id: str
    words: tuple[str, ...]
    counts: Counts
    usage: Event | None
    is_spoken: bool
    wishes: Directives
    ended_by_limit: bool

    def part(self, ended: str, *, reported: bool) -> Event:
        """Give what the book keeps of it."""
        return {
            "response_id": self.response_id,
            "usage": self.usage if reported else None,
            "billed": asdict(self.counts),
            "ended": ended,
        }


@dataclass(slots=True, kw_only=True)
class Session:
    """What a session knows; it does no I/O."""

    model: str
    header: str
    """Wishes for every turn."""
    is_beta: bool
    session_id: str = field(default_factory=lambda: f"sess_{token_hex(12)}")
    conversation_id: str = field(default_factory=lambda: f"conv_{token_hex(12)}")
    options: Event = field(default_factory=dict)
    words_so_far: int = 0
    heard_so_far: int = 0
    newest_text: str = ""
    sound: int = 0
    """Bytes in the input buffer."""

    def event(self, name: str, **fields: object) -> Event:
        """Word an event."""
        kind = _BETA_NAMES.get(name, name) if self.is_beta else name
        return {"type": kind, "event_id": f"event_{token_hex(12)}", **fields}

    def error(self, message: str, kind: str = "invalid_request_error", code: str = "") -> Event:
        """Word an error that leaves the session open."""
        error = {"type": kind, "code": code or None, "message": message, "param": None}
        return self.event("error", error={**error, "event_id": None})

    def shown(self) -> Event:
        return {
            "id": self.session_id,
            "object": "realtime.session",
            "type": "realtime",
            "model": self.model,
            "output_modalities": ["audio"],
            "modalities": ["text", "audio"],
            "instructions": "",
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            **self.options,
        }

    def update(self, options: object) -> Event:
        """Take `session.update`."""
        if not isinstance(options, dict):
            return self.error("Missing required parameter: 'session'.")
        self.options |= options
        return self.event("session.updated", session=self.shown())

    def append(self, audio: object) -> Event | None:
        """Take `input_audio_buffer.append`, which is not acknowledged."""
        try:
            self.sound += len(base64.b64decode(str(audio), validate=True))
        except binascii.Error:
            return self.error("Invalid 'audio': expected base64.")
        return None

    def commit(self) -> list[Event]:
        """Take `input_audio_buffer.commit`: the sound becomes an item."""
        if not self.sound:
            return [self.error("The input audio buffer is empty.")]
        self.heard_so_far += max(self.sound * _TOKENS_A_SECOND // _BYTES_A_SECOND, 1)
        self.sound, self.newest_text = 0, ""
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": f"item_{token_hex(10)}", "type": "message", "role": "user"}
        committed = self.event("input_audio_buffer.committed", item_id=item["id"])
        return [committed, *self._added({**item, "content": content})]

    def take_item(self, item: object) -> list[Event]:
        """Take `conversation.item.create`."""
        if not isinstance(item, dict):
            return [self.error("Missing required parameter: 'item'.")]
        content = item.get("content")
        parts = [p for p in content if isinstance(p, dict)] if isinstance(content, list) else []
        texts = [str(part.get("text") or "") for part in parts]
        self.words_so_far += sum(len(without_directives(text).split()) for text in texts)
        for part in parts:
            if isinstance(part.get("audio"), str):
                size = len(part["audio"]) * 3 // 4
                self.heard_so_far += max(size * _TOKENS_A_SECOND // _BYTES_A_SECOND, 1)
        if item.get("role") == "user":
            self.newest_text = " ".join(texts)
        return self._added({"id": f"item_{token_hex(10)}", **item})

    def _added(self, item: Event) -> list[Event]:
        shown = {"object": "realtime.item", "status": "completed", **item}
        added = self.event("conversation.item.added", previous_item_id=None, item=shown)
        if self.is_beta:
            return [added]
        done = self.event("conversation.item.done", previous_item_id=None, item=shown)
        return [added, done]

    def turn(self, asked: object) -> Turn:
        """Take `response.create`: what will be said, and what it is said to cost."""
        given = asked if isinstance(asked, dict) else {}
        told = f"{given.get('instructions') or ''} {self.newest_text}"
        wishes = for_model(parse(told, self.header), self.model)
        words, ended_by_limit = words_for(Asked(model=self.model, extra={}), wishes)
        words_in = self.words_so_far + len(
            without_directives(str(self.options.get("instructions") or "")).split()
        )
        is_spoken = "audio" in self._modalities(given)
        counts = self._counts(wishes, words_in, len(words), is_spoken=is_spoken)
        turn = Turn(
            response_id=f"resp_{token_hex(12)}",
            item_id=f"item_{token_hex(10)}",
            words=words,
            counts=counts,
            usage=None if wishes.no_usage else _usage(counts),
            is_spoken=is_spoken,
            wishes=wishes,
            ended_by_limit=ended_by_limit,
        )
        self.words_so_far += len(words)
        return turn

    def _modalities(self, given: Mapping[str, Any]) -> list[Any]:
        for source in (given, self.options):
            for name in ("output_modalities", "modalities"):
                wanted = source.get(name)
                if isinstance(wanted, list):
                    return wanted
        return ["audio"]

    def _counts(
        self, wishes: Directives, words_in: int, words_out: int, *, is_spoken: bool
    ) -> Counts:
        counts = counts_for(wishes, words_in + self.heard_so_far, words_out)
        if wishes.input is None:
            counts = replace(counts, audio_input=self.heard_so_far)
        if wishes.output is None and is_spoken:
            spoken = words_out * _TOKENS_A_SECOND
            counts = replace(counts, output=words_out + spoken, audio_output=spoken)
        return counts

    def opening(self, turn: Turn) -> Iterator[Event]:
        """Word what comes before the words of a turn."""
        place: Event = {"response_id": turn.response_id, "output_index": 0}
        yield self.event("response.created", response=self._response(turn, "in_progress"))
        item = self._item(turn, "in_progress")
        yield self.event("response.output_item.added", **place, item=item)
        yield from self._added(item)
        yield self.event(
            "response.content_part.added",
            **place,
            item_id=turn.item_id,
            content_index=0,
            part=_content(turn, ""),
        )

    def deltas(self, turn: Turn) -> Iterator[list[Event]]:
        """Word the words, one after the other."""
        place = _place(turn)
        for word in turn.words:
            if turn.is_spoken:
                transcript = "response.output_audio_transcript.delta"
                sound = base64.b64encode(word.encode()).decode()
                yield [
                    self.event(transcript, **place, delta=word),
                    self.event("response.output_audio.delta", **place, delta=sound),
                ]
            else:
                yield [self.event("response.output_text.delta", **place, delta=word)]

    def closing(self, turn: Turn) -> Iterator[Event]:
        """Word what comes after the words; the last event is `response.done`."""
        place, text = _place(turn), "".join(turn.words)
        if turn.is_spoken:
            yield self.event("response.output_audio.done", **place)
            yield self.event("response.output_audio_transcript.done", **place, transcript=text)
        else:
            yield self.event("response.output_text.done", **place, text=text)
        yield self.event("response.content_part.done", **place, part=_content(turn, text))
        item = self._item(turn, "completed", [_content(turn, text)])
        place = {"response_id": turn.response_id, "output_index": 0}
        yield self.event("response.output_item.done", **place, item=item)
        response = self._response(turn, "completed", [item])
        yield self.event("response.done", response={**response, "usage": turn.usage})

    def failure(self, turn: Turn) -> Event:
        """Word a `response.done` that failed after some words, and reports no usage."""
        error = {"type": "server_error", "code": "server_error"}
        details = {"type": "failed", "error": error}
        response = self._response(turn, "failed")
        return self.event("response.done", response={**response, "status_details": details})

    def _response(self, turn: Turn, status: str, output: list[Event] | None = None) -> Event:
        return {
            "object": "realtime.response",
            "id": turn.response_id,
            "status": status,
            "status_details": None,
            "output": output or [],
            "conversation_id": self.conversation_id,
            "output_modalities": ["audio" if turn.is_spoken else "text"],
            "max_output_tokens": "inf",
            "usage": None,
            "metadata": None,
        }

    def _item(self, turn: Turn, status: str, content: list[Event] | None = None) -> Event:
        return {
            "id": turn.item_id,
            "object": "realtime.item",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content or [],
        }


def _place(turn: Turn) -> Event:
    return {
        "response_id": turn.response_id,
        "item_id": turn.item_id,
        "output_index": 0,
        "content_index": 0,
    }


def _content(turn: Turn, text: str) -> Event:
    if turn.is_spoken:
        return {"type": "output_audio", "transcript": text}
    return {"type": "output_text", "text": text}


def _usage(counts: Counts) -> Event:
    return {
        "total_tokens": counts.input + counts.output,
        "input_tokens": counts.input,
        "output_tokens": counts.output,
        "input_token_details": {
            "text_tokens": counts.input - counts.audio_input - counts.image_input,
            "audio_tokens": counts.audio_input,
            "image_tokens": counts.image_input,
            "cached_tokens": counts.cached,
            "cached_tokens_details": {
                "text_tokens": counts.cached - counts.cached_audio,
                "audio_tokens": counts.cached_audio,
                "image_tokens": 0,
            },
        },
        "output_token_details": {
            "text_tokens": counts.output - counts.audio_output,
            "audio_tokens": counts.audio_output,
        },
    }
