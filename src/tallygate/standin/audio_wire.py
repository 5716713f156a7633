"""
OpenAI's audio: speech, transcriptions and translations; the words are the stand-in's own.

Units: `whisper-1` is billed by the second, rounded up, and says so in `usage`; the gpt-4o models by
    tokens, ten of them a second; speech reports nothing but in a stream of events. The characters
    of a speech's input are counted as they came, a directive among them.
"""

from __future__ import annotations

import base64
import io
import math
import wave
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import orjson

from tallygate.standin.answers import Frame, RequestUnacceptable, counts_for, model_for, words_for
from tallygate.standin.book import Ending
from tallygate.standin.directives import without_directives
from tallygate.standin.routing import Call, Provider, Route

_TOKENS_A_SECOND = 10
_BYTES_A_SECOND = 16_000
"""Of what is no WAV: 128 kbit/s."""
_TYPES: Mapping[str, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


def table(openai: Provider) -> Iterator[Route]:
    """List the routes for audio."""
    for name, operation, answer in (
        ("speech", "speech", _speech),
        ("transcriptions", "transcription", _transcription),
        ("translations", "translation", _transcription),
    ):
        yield Route(
            method="POST",
            pattern=f"/v1/audio/{name}",
            provider=openai,
            operation=operation,
            answer=answer,
        )


async def _speech(call: Call) -> Ending:
    fields = call.asked.extra
    text = fields.get("input")
    if not isinstance(text, str) or not text:
        raise RequestUnacceptable("Missing required parameter: 'input'.", "input")
    words, _ = words_for(call.asked, call.wishes)
    tokens = len(without_directives(text).split())
    counts = counts_for(call.wishes, tokens, len(words) * _TOKENS_A_SECOND)
    counts = replace(counts, audio_output=counts.output)
    call.record.response_model = model_for(call.asked, call.wishes)
    call.record.billed = {**asdict(counts), "characters": len(text)}
    usage = {
        "input_tokens": counts.input,
        "output_tokens": counts.output,
        "total_tokens": counts.input + counts.output,
    }
    if fields.get("stream_format") == "sse":
        call.record.stream = True
        return await call.stream(_spoken(words, None if call.wishes.no_usage else usage))
    kind = _TYPES.get(str(fields.get("response_format") or "mp3"), "audio/mpeg")
    return await call.body(b"ID3" + "".join(words).encode(), kind)


def _spoken(words: tuple[str, ...], usage: dict[str, Any] | None) -> Iterator[Frame]:
    for word in words:
        audio = base64.b64encode(word.encode()).decode()
        yield _event({"type": "speech.audio.delta", "audio": audio}, is_chunk=True)
    yield _event({"type": "speech.audio.done", "usage": usage}, usage=usage)


async def _transcription(call: Call) -> Ending:
    fields, wishes = call.asked.extra, call.wishes
    data = call.part("file").data
    if not call.asked.model:
        raise RequestUnacceptable("you must provide a model parameter", "model")
    seconds = seconds_of(data) if wishes.seconds is None else wishes.seconds
    words, _ = words_for(call.asked, wishes)
    prompt = len(without_directives(str(fields.get("prompt") or "")).split())
    heard = math.ceil(seconds * _TOKENS_A_SECOND)
    counts = counts_for(wishes, prompt + heard, len(words))
    if wishes.input is None:
        counts = replace(counts, audio_input=heard)
    call.record.response_model = model_for(call.asked, wishes)
    call.record.billed = {**asdict(counts), "seconds": seconds}
    by_second = call.asked.model.startswith("whisper")
    audio = counts.audio_input
    usage: dict[str, Any] | None = {
        "type": "tokens",
        "input_tokens": counts.input,
        "input_token_details": {"text_tokens": counts.input - audio, "audio_tokens": audio},
        "output_tokens": counts.output,
        "total_tokens": counts.input + counts.output,
    }
    if by_second:
        usage = {"type": "duration", "seconds": seconds}
    if wishes.no_usage:
        usage = None
    if call.asked.stream and not by_second:  # whisper-1 takes no notice of `stream`
        return await call.stream(_transcribed(words, usage))
    call.record.stream = False
    return await _written(call, "".join(words), seconds, usage)


async def _written(call: Call, text: str, seconds: float, usage: dict[str, Any] | None) -> Ending:
    form = call.asked.extra.get("response_format") or "json"
    if form == "text":
        return await call.body(text.encode() + b"\n", "text/plain; charset=utf-8")
    if form in {"srt", "vtt"}:
        return await call.body(_subtitles(text, form), "text/plain; charset=utf-8")
    body: dict[str, Any] = {"text": text}
    if form == "verbose_json":
        body |= {"task": "transcribe", "language": "english", "duration": seconds}
        body["segments"] = [_segment(text, seconds)]
    if usage is not None:
        body["usage"] = usage
    return await call.json(body, usage)


def _subtitles(text: str, form: str) -> bytes:
    if form == "srt":
        return f"1\n00:00:00,000 --> 00:00:01,000\n{text}\n\n".encode()
    return f"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{text}\n\n".encode()


def _segment(text: str, seconds: float) -> dict[str, Any]:
    return {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": seconds,
        "text": text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": 0.0,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }


def _transcribed(words: tuple[str, ...], usage: dict[str, Any] | None) -> Iterator[Frame]:
    for word in words:
        yield _event({"type": "transcript.text.delta", "delta": word}, is_chunk=True)
    last: dict[str, Any] = {"type": "transcript.text.done", "text": "".join(words)}
    if usage is not None:
        last["usage"] = usage
    yield _event(last, usage=usage)


def seconds_of(data: bytes) -> float:
    """Tell how long an audio file lasts, rounded up as OpenAI bills it."""
    try:
        with wave.open(io.BytesIO(data)) as sound:
            return float(math.ceil(sound.getnframes() / sound.getframerate()))
    except (wave.Error, EOFError, ZeroDivisionError):
        return float(math.ceil(len(data) / _BYTES_A_SECOND))


def _event(
    body: dict[str, Any], *, is_chunk: bool = False, usage: dict[str, Any] | None = None
) -> Frame:
    data = b"data: %b\n\n" % orjson.dumps(body)
    return Frame(data=data, is_chunk=is_chunk, usage=usage)
