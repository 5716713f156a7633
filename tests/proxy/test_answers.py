"""What a provider says of its answer, read from bytes that come in parts of any size."""

from __future__ import annotations

import base64
import gzip
import struct
from binascii import crc32
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallygate.proxy import answers
from tallygate.proxy.answers import Reader, Seen, is_only_usage, turn_in
from tallygate.standin import event_stream

SECRET: Final = "the answer to a person"
JSON: Final = b"application/json"
EVENTS: Final = b"text/event-stream; charset=utf-8"
FRAMES: Final = event_stream.CONTENT_TYPE.encode()

CHAT_USAGE: Final = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
RESPONSES_USAGE: Final = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 3,
    "total_tokens": 15,
}
GOOGLE_USAGE: Final = {"promptTokenCount": 12, "candidatesTokenCount": 3, "totalTokenCount": 15}
CONVERSE_USAGE: Final = {"inputTokens": 12, "outputTokens": 3, "totalTokens": 15}


def read_in_parts(kind: bytes, parts: list[bytes], **headers: bytes) -> Seen:
    reader = Reader()
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    reader.starts(200, {b"content-type": kind, **named})
    for part in parts:
        reader.part(part, 7)
    reader.ends()
    return reader.seen


def read(kind: bytes, body: bytes, **headers: bytes) -> Seen:
    return read_in_parts(kind, [body], **headers)


def events(*values: object, line_end: str = "\n") -> bytes:
    return b"".join(b"data: " + orjson.dumps(value) + 2 * line_end.encode() for value in values)


def chat_chunk(text: str | None = None, **changes: Any) -> dict[str, Any]:
    choices = [{"delta": {"content": text}, "index": 0}] if text else []
    facts = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-5.4"}
    return {**facts, "choices": choices, **changes}


CHAT_STREAM: Final = (
    events(
        chat_chunk(SECRET, usage=None),
        chat_chunk(f"{SECRET} data: \u20ac"),
        chat_chunk(usage=CHAT_USAGE, service_tier="flex"),
    )
    + b"data: [DONE]\n\n"
)
MESSAGES_STREAM: Final = b"event: message_start\n" + events(
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "model": "claude-sonnet-4-5",
            "usage": {
                "input_tokens": 12,
                "cache_read_input_tokens": 4,
                "output_tokens": 1,
                "service_tier": "standard",
            },
        },
    },
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": SECRET}},
    {"type": "message_delta", "usage": {"input_tokens": None, "output_tokens": 3}},
    {"type": "message_stop"},
    line_end="\r\n",
)
CONVERSE_STREAM: Final = (
    event_stream.event("messageStart", {"role": "assistant"})
    + event_stream.event("contentBlockDelta", {"delta": {"text": SECRET}})
    + event_stream.event("metadata", {"usage": CONVERSE_USAGE, "metrics": {"latencyMs": 5}})
)


def invoked(*values: object) -> bytes:
    """Bedrock's `invoke`: the model's own events, as base64 in JSON in a frame."""
    packed = (base64.b64encode(orjson.dumps(value)).decode() for value in values)
    return b"".join(event_stream.event("chunk", {"bytes": text, "p": "abc"}) for text in packed)


INVOKE_STREAM: Final = invoked(
    {"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 12}}},
    {"type": "content_block_delta", "delta": {"text": SECRET}},
    {"type": "message_delta", "usage": {"output_tokens": 3}},
)


@pytest.mark.parametrize(
    ("body", "usage", "usage_format"),
    [
        pytest.param(
            {"object": "chat.completion", "usage": CHAT_USAGE}, CHAT_USAGE, "openai_chat", id="chat"
        ),
        pytest.param(
            {"object": "response", "usage": RESPONSES_USAGE},
            RESPONSES_USAGE,
            "openai_responses",
            id="responses",
        ),
        pytest.param(
            {"type": "message", "usage": {"input_tokens": 12, "output_tokens": 3}},
            {"input_tokens": 12, "output_tokens": 3},
            "anthropic",
            id="messages",
        ),
        pytest.param(
            {"created": 1, "data": [{"b64_json": "x"}], "usage": RESPONSES_USAGE},
            RESPONSES_USAGE,
            "openai_images",
            id="images",
        ),
        pytest.param(
            {"text": SECRET, "usage": {"type": "duration", "seconds": 9}},
            {"type": "duration", "seconds": 9},
            "openai_audio",
            id="a transcription by its length",
        ),
        pytest.param(
            {"text": SECRET, "usage": {"type": "tokens", "input_tokens": 9}},
            {"type": "tokens", "input_tokens": 9},
            "openai_audio",
            id="a transcription by its tokens",
        ),
        pytest.param({"usageMetadata": GOOGLE_USAGE}, GOOGLE_USAGE, "gemini", id="Gemini"),
        pytest.param(
            [{"usageMetadata": {"promptTokenCount": 12}}, {"usageMetadata": GOOGLE_USAGE}],
            GOOGLE_USAGE,
            "gemini",
            id="Gemini's stream as a list",
        ),
        pytest.param(
            {"output": {}, "usage": CONVERSE_USAGE},
            CONVERSE_USAGE,
            "bedrock_converse",
            id="Converse",
        ),
        pytest.param(
            {"results": [], "meta": {"billed_units": {"search_units": 2}}},
            {"billed_units": {"search_units": 2}},
            "cohere_rerank",
            id="Cohere's rerank",
        ),
    ],
)
def test_a_whole_answer_says_what_was_used_and_in_whose_convention(
    body: object, usage: Mapping[str, Any], usage_format: str
) -> None:
    seen = read(JSON, orjson.dumps(body))

    assert (seen.usage, seen.usage_format) == (usage, usage_format)
    assert seen.is_complete
    assert not seen.has_failed


def test_a_whole_answer_names_its_model_its_id_and_its_tier() -> None:
    body = {"id": "chatcmpl-1", "model": "gpt-5.4", "service_tier": "flex", "usage": CHAT_USAGE}
    google = {"responseId": "r-1", "modelVersion": "gemini-3", "usageMetadata": GOOGLE_USAGE}

    seen, of_google = read(JSON, orjson.dumps(body)), read(JSON, orjson.dumps(google))

    assert (seen.model, seen.response_id, seen.service_tier) == ("gpt-5.4", "chatcmpl-1", "flex")
    assert (of_google.model, of_google.response_id) == ("gemini-3", "r-1")


def test_a_chat_stream_is_read_from_the_chunk_that_holds_the_usage() -> None:
    seen = read(EVENTS, CHAT_STREAM)

    assert (seen.usage, seen.usage_format) == (CHAT_USAGE, "openai_chat")
    assert (seen.model, seen.response_id, seen.service_tier) == ("gpt-5.4", "chatcmpl-1", "flex")


def test_a_messages_stream_begins_its_usage_and_ends_it_later() -> None:
    seen = read(EVENTS, MESSAGES_STREAM)

    assert seen.usage == {
        "input_tokens": 12,
        "cache_read_input_tokens": 4,
        "output_tokens": 3,
        "service_tier": "standard",
    }
    assert (seen.usage_format, seen.model) == ("anthropic", "claude-sonnet-4-5")
    assert seen.response_id == "msg_1"


def test_a_responses_stream_is_read_from_its_last_event() -> None:
    answer = {"id": "resp_1", "object": "response", "model": "gpt-5.4", "error": None}
    created = {"type": "response.created", "response": {**answer, "usage": None}}
    done = {"type": "response.completed", "response": {**answer, "usage": RESPONSES_USAGE}}

    seen = read(EVENTS, events(created, done))

    assert (seen.usage, seen.usage_format) == (RESPONSES_USAGE, "openai_responses")
    assert (seen.response_id, seen.has_failed) == ("resp_1", False)


def test_a_gemini_stream_is_read_to_its_last_count() -> None:
    first = {"candidates": [{"text": SECRET}], "usageMetadata": {"promptTokenCount": 12}}

    seen = read(EVENTS, events(first, {"usageMetadata": GOOGLE_USAGE, "modelVersion": "g"}))

    assert (seen.usage, seen.usage_format, seen.model) == (GOOGLE_USAGE, "gemini", "g")


def test_a_run_of_a_thread_is_read_out_of_litellms_holder() -> None:
    run = {"id": "run_1", "object": "thread.run", "model": "gpt-5.4", "usage": CHAT_USAGE}

    seen = read(EVENTS, events({"event": "thread.run.completed", "data": run}))

    assert (seen.usage, seen.response_id) == (CHAT_USAGE, "run_1")


def test_frames_of_converse_and_of_invoke_are_read() -> None:
    converse, invoke = read(FRAMES, CONVERSE_STREAM), read(FRAMES, INVOKE_STREAM)

    assert (converse.usage, converse.usage_format) == (CONVERSE_USAGE, "bedrock_converse")
    assert (invoke.usage, invoke.usage_format) == (
        {"input_tokens": 12, "output_tokens": 3},
        "anthropic",
    )


def test_an_error_event_says_that_the_stream_broke() -> None:
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 12}}}
    error = {"type": "error", "error": {"type": "overloaded_error", "message": SECRET}}

    seen = read(EVENTS, events(start, error))

    assert seen.has_failed
    assert seen.usage == {"input_tokens": 12}
    assert read(EVENTS, events({"error": {"code": 500}})).has_failed
    failed = {"type": "response.failed", "response": {"error": {"code": "server_error"}}}
    assert read(EVENTS, events(failed)).has_failed
    assert not read(EVENTS, events({"error": None, "usage": CHAT_USAGE})).has_failed


def test_nothing_of_the_text_is_kept() -> None:
    streams = [(EVENTS, CHAT_STREAM), (EVENTS, MESSAGES_STREAM), (FRAMES, CONVERSE_STREAM)]

    for kind, body in streams:
        reader = Reader()
        reader.starts(200, {b"content-type": kind})
        reader.part(body, 1)
        reader.ends()
        assert SECRET not in repr(reader.seen)
        assert SECRET.encode() not in bytes(reader._held)


# Parts of any size.


@st.composite
def partitions(draw: st.DrawFn, body: bytes) -> list[bytes]:
    cuts = sorted(draw(st.sets(st.integers(0, len(body)), max_size=12)))
    return [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]


BODIES: Final = [
    pytest.param(JSON, orjson.dumps({"id": "1", "usage": CHAT_USAGE}), {}, id="whole"),
    pytest.param(EVENTS, CHAT_STREAM, {}, id="chat"),
    pytest.param(EVENTS, CHAT_STREAM.rstrip(b"\n"), {}, id="chat without its last line end"),
    pytest.param(EVENTS, events({"usage": CHAT_USAGE}).rstrip(), {}, id="usage at the very end"),
    pytest.param(EVENTS, MESSAGES_STREAM, {}, id="messages"),
    pytest.param(FRAMES, CONVERSE_STREAM, {}, id="converse"),
    pytest.param(FRAMES, INVOKE_STREAM, {}, id="invoke"),
    pytest.param(EVENTS, gzip.compress(CHAT_STREAM), {"content_encoding": b"gzip"}, id="gzip"),
]


@pytest.mark.parametrize(("kind", "body", "headers"), BODIES)
@given(data=st.data())
def test_the_same_is_seen_wherever_the_body_is_cut(
    kind: bytes, body: bytes, headers: dict[str, bytes], data: st.DataObject
) -> None:
    parts = data.draw(partitions(body))

    seen = read_in_parts(kind, parts, **headers)

    assert seen == read(kind, body, **headers)
    assert seen.usage


@pytest.mark.parametrize(("kind", "body", "headers"), BODIES)
def test_the_same_is_seen_byte_by_byte(kind: bytes, body: bytes, headers: dict[str, bytes]) -> None:
    parts = [bytes([byte]) for byte in body]

    assert read_in_parts(kind, parts, **headers) == read(kind, body, **headers)


def test_the_first_part_with_a_byte_in_it_is_timed() -> None:
    reader = Reader()
    reader.starts(200, {b"content-type": EVENTS})
    reader.part(b"", 1)
    assert reader.first_part_ns is None
    reader.part(b"x", 2)
    reader.part(b"y", 3)

    assert reader.first_part_ns == 2


def test_what_has_not_ended_is_not_complete() -> None:
    reader = Reader()
    reader.starts(200, {b"content-type": EVENTS})
    reader.part(CHAT_STREAM, 1)

    assert reader.seen.usage == CHAT_USAGE
    assert not reader.seen.is_complete


# What cannot be read is left out, and breaks nothing.


def framed(headers: bytes, payload: bytes) -> bytes:
    """Put together a message whose sums are right, whatever its headers are."""
    prelude = struct.pack("!II", len(headers) + len(payload) + 16, len(headers))
    body = prelude + struct.pack("!I", crc32(prelude)) + headers + payload
    return body + struct.pack("!I", crc32(body))


def broken_frames() -> Iterator[bytes]:
    yield b"\xff" * 100
    yield b"\0" * 100
    yield CONVERSE_STREAM[:-1] + bytes([CONVERSE_STREAM[-1] ^ 1])
    yield CONVERSE_STREAM[:8] + b"\0\0\0\0" + CONVERSE_STREAM[12:]
    yield framed(b"\x01\xff\x07\x00\x00", b"{}")
    yield framed(b"\x01a\x63", b"{}")
    yield event_stream.event("chunk", {"bytes": "\u00e9 usage"})
    yield event_stream.event("chunk", {"bytes": 7})
    yield event_stream.event("chunk", {"bytes": "not base64, yet of usage"})
    yield event_stream.message({":event-type": "metadata"}, b'{"usage":')


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        *((FRAMES, body) for body in broken_frames()),
        (JSON, b""),
        (JSON, b"{"),
        (JSON, b'"usage"'),
        (JSON, b'{"usage": [1], "model": 7, "id": {}}'),
        (JSON, b"[" * 5000 + b"]" * 5000),
        (EVENTS, b"data: {usage\n\n"),
        (EVENTS, b'data: "usage"\n\ndata: [["usage"]]\n\n'),
        (b"text/html", orjson.dumps({"usage": CHAT_USAGE})),
        (b"", orjson.dumps({"usage": CHAT_USAGE})),
    ],
)
def test_what_cannot_be_read_is_left_out(kind: bytes, body: bytes) -> None:
    assert read(kind, body) == Seen(is_complete=True)


@given(body=st.binary(max_size=200))
@pytest.mark.parametrize("kind", [JSON, EVENTS, FRAMES])
@pytest.mark.parametrize("encoding", [b"identity", b"gzip", b"br"])
def test_no_bytes_break_the_reader(kind: bytes, encoding: bytes, body: bytes) -> None:
    assert read(kind, body, content_encoding=encoding).usage == {}


def test_a_body_in_an_encoding_that_is_not_known_is_not_read() -> None:
    assert read(EVENTS, CHAT_STREAM, content_encoding=b"br").usage == {}


def test_gzip_that_breaks_off_keeps_what_was_read() -> None:
    packed = gzip.compress(CHAT_STREAM)

    seen = read_in_parts(EVENTS, [packed, b"\xff\xff"], content_encoding=b"gzip")

    assert seen.usage == CHAT_USAGE


def test_a_body_above_the_largest_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "LARGEST", 100)
    body = orjson.dumps({"usage": CHAT_USAGE, "text": "x" * 200})
    reader = Reader()
    reader.starts(200, {b"content-type": JSON})
    for start in range(0, len(body), 10):
        reader.part(body[start : start + 10], 1)
        assert len(reader._held) <= 110
    reader.ends()

    assert reader.seen.usage == {}
    assert read(EVENTS, events({"usage": CHAT_USAGE}) * 9).usage == CHAT_USAGE  # each is small


# Single events.


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(events(chat_chunk(usage=CHAT_USAGE)), True, id="usage alone"),
        pytest.param(events(chat_chunk(SECRET, usage=CHAT_USAGE)), False, id="usage beside text"),
        pytest.param(events(chat_chunk(SECRET, usage=None)), False, id="no usage"),
        pytest.param(events(chat_chunk(usage=None)), False, id="neither"),
        pytest.param(b"data: [DONE]\n\n", False, id="the end"),
        pytest.param(b'data: ["usage"]\n\n', False, id="a list"),
        pytest.param(
            events(chat_chunk(usage=CHAT_USAGE)) + events(chat_chunk(SECRET)), False, id="two"
        ),
    ],
)
def test_only_an_event_that_holds_nothing_else_is_hidden(event: bytes, *, expected: bool) -> None:
    assert is_only_usage(event) is expected


def test_a_turn_is_told_by_its_last_event_as_text_and_as_bytes() -> None:
    done = {"type": "response.done", "response": {"usage": {"input_tokens": 3}}}
    text = orjson.dumps(done).decode()

    assert turn_in(text) == ({"input_tokens": 3}, "openai_realtime")
    assert turn_in(text.encode()) == ({"input_tokens": 3}, "openai_realtime")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"type": "response.completed", "response": {"usage": {"a": 1}}}, "openai_responses"),
        ({"type": "response.incomplete", "response": {"usage": {"a": 1}}}, "openai_responses"),
        ({"usageMetadata": {"a": 1}, "serverContent": {}}, "gemini"),
        ({"type": "response.created", "response": {"usage": {"a": 1}}}, None),
        ({"type": "response.done", "response": {"usage": None}}, None),
        ({"type": "response.done", "usage": {"a": 1}}, None),
        ({"type": ["response.done"], "response": {"usage": {"a": 1}}}, None),
        (["usage"], None),
    ],
)
def test_a_turn_has_the_convention_of_its_session(event: object, expected: str | None) -> None:
    found = turn_in(orjson.dumps(event))

    assert (found[1] if found else None) == expected


def test_an_event_that_is_no_json_is_no_turn() -> None:
    assert turn_in("usage of a thing") is None
    assert turn_in(b"\xffusage") is None
