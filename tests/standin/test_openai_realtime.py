"""The realtime API over its socket: several turns, their usage, and a connection that drops."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import pytest
from openai.resources.realtime.realtime import RealtimeConnection
from websockets.exceptions import ConnectionClosedError, InvalidStatus

MODEL = "gpt-realtime"
KEPT = "[[standin: input=100 cached=60 cached_audio=20 audio_input=40 output=30 audio_output=25]]"


@contextmanager
def _session(client: openai.OpenAI, model: str = MODEL, **headers: str) -> Iterator[Any]:
    with client.realtime.connect(model=model, extra_headers=headers) as connection:
        assert connection.recv().type == "session.created"
        yield connection


def _say(connection: RealtimeConnection, text: str) -> None:
    content: Any = [{"type": "input_text", "text": text}]
    connection.conversation.item.create(
        item={"type": "message", "role": "user", "content": content}
    )
    connection.response.create(response={"output_modalities": ["text"]})


def _until(connection: RealtimeConnection, last: str) -> list[Any]:
    events = [connection.recv()]
    while events[-1].type != last:
        events.append(connection.recv())
    return events


def _settled(book: httpx.Client, turns: int = 0) -> dict[str, Any]:
    """Wait until the session has ended; pytest-timeout ends a wait in vain."""
    while True:
        (call,) = book.get("/calls").json()
        if call["ended"] != "open":
            assert len(call["parts"]) == turns
            return call


def test_a_turn_is_a_row_of_events_that_ends_with_usage(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    with _session(openai_client) as connection:
        _say(connection, f"{KEPT} [[standin: chunks=3]]")
        events = _until(connection, "response.done")

    assert [event.type for event in events] == [
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "conversation.item.done",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    done = events[-1].response
    assert (done.status, done.output[0].content[0].text) == ("completed", "This answer comes")
    details = done.usage.input_token_details
    assert (done.usage.input_tokens, done.usage.output_tokens) == (100, 30)
    assert (details.text_tokens, details.audio_tokens, details.cached_tokens) == (60, 40, 60)
    assert details.cached_tokens_details.text_tokens == 40
    assert done.usage.output_token_details.audio_tokens == 25
    call = _settled(book, turns=1)
    assert call["usage"] == done.usage.to_dict() == call["parts"][0]["usage"]
    assert call["parts"][0]["response_id"] == done.id


def test_a_session_of_several_turns_is_one_record_with_their_sum(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    with _session(openai_client) as connection:
        usages = []
        for text in (KEPT, "[[standin: output=5]] two words", KEPT):
            _say(connection, text)
            usages.append(_until(connection, "response.done")[-1].response.usage)

    call = _settled(book, turns=3)
    assert [part["usage"] for part in call["parts"]] == [usage.to_dict() for usage in usages]
    assert usages[1].input_tokens > 2  # it reads the first turn's answer too
    assert call["billed"]["output"] == call["usage"]["output_tokens"] == 65
    cached = call["usage"]["input_token_details"]["cached_tokens_details"]
    assert cached == {"text_tokens": 80, "audio_tokens": 40, "image_tokens": 0}
    assert (call["operation"], call["model"], call["ended"]) == ("realtime", MODEL, "complete")
    assert (call["status"], call["generates"]) == (101, True)
    assert book.get("/count").json()["received"] == 1


def test_a_session_speaks_and_hears(openai_client: openai.OpenAI, book: httpx.Client) -> None:
    with _session(openai_client) as connection:
        connection.session.update(session={"type": "realtime", "instructions": "two words"})
        assert connection.recv().session.instructions == "two words"
        connection.input_audio_buffer.append(audio=base64.b64encode(b"\0" * 96_000).decode())
        connection.input_audio_buffer.commit()
        _until(connection, "conversation.item.done")
        connection.response.create()
        events = _until(connection, "response.done")

    types = [event.type for event in events]
    assert "response.output_audio_transcript.delta" in types
    assert types.count("response.output_audio.delta") == _settled(book, turns=1)["chunks_sent"]
    usage = events[-1].response.usage
    details = usage.input_token_details
    assert (details.text_tokens, details.audio_tokens) == (2, 20)
    assert usage.output_token_details.audio_tokens == 10 * usage.output_token_details.text_tokens


def test_a_connection_dropped_inside_a_turn_was_billed_and_reported_nothing(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    with _session(openai_client) as connection:
        _say(connection, KEPT)
        _until(connection, "response.done")
        _say(connection, "[[standin: input=7 output=9 cut=2]]")
        with pytest.raises(ConnectionClosedError) as dropped:
            _until(connection, "response.done")

    assert dropped.value.rcvd is None  # no closing frame: it dropped
    call = _settled(book, turns=2)
    assert call["ended"] == "cut"
    assert [part["ended"] for part in call["parts"]] == ["complete", "cut"]
    assert (call["parts"][1]["usage"], call["parts"][1]["billed"]["output"]) == (None, 9)
    assert (call["usage"]["input_tokens"], call["billed"]["input"]) == (100, 107)


def test_a_client_that_leaves_inside_a_turn_is_seen(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    with _session(openai_client) as connection:
        _say(connection, "[[standin: chunks=500 interval=0.01]]")
        _until(connection, "response.output_text.delta")

    call = _settled(book, turns=1)
    assert (call["ended"], call["parts"][0]["ended"]) == ("client_gone", "client_gone")
    assert call["chunks_sent"] < 500


def test_a_turn_may_fail_and_the_session_goes_on(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    with _session(openai_client) as connection:
        _say(connection, "[[standin: error_after=1]]")
        failed = _until(connection, "response.done")[-1].response
        _say(connection, "[[standin: status=500]]")
        refused = _until(connection, "error")[-1].error
        _say(connection, "[[standin: misspelt=1]]")
        misspelt = _until(connection, "error")[-1].error
        _say(connection, "hi")
        answered = _until(connection, "response.done")[-1].response

    assert (failed.status, failed.usage) == ("failed", None)
    assert (refused.code, refused.type) == ("500", "server_error")
    assert "'misspelt'" in misspelt.message
    assert answered.status == "completed"
    failed_part, answered_part = _settled(book, turns=2)["parts"]
    assert (failed_part["ended"], failed_part["usage"]) == ("error", None)
    assert (answered_part["ended"], answered_part["usage"]) == (
        "complete",
        answered.usage.to_dict(),
    )


def test_wishes_in_the_handshake_s_header_hold_for_every_turn(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    headers = {"x-standin": "input=11 output=12"}
    with _session(openai_client, **headers) as connection:
        for text in ("hi", "[[standin: output=13]]"):
            _say(connection, text)
            _until(connection, "response.done")

    parts = _settled(book, turns=2)["parts"]
    assert [(p["usage"]["input_tokens"], p["usage"]["output_tokens"]) for p in parts] == [
        (11, 12),
        (11, 13),
    ]


@pytest.mark.parametrize(
    ("model", "headers", "status"),
    [
        pytest.param(MODEL, {"x-standin": "status=429"}, 429, id="header"),
        pytest.param(f"{MODEL}[[standin: status=503]]", {}, 503, id="model"),
        pytest.param(MODEL, {"Authorization": ""}, 401, id="no key"),
    ],
)
def test_a_handshake_may_be_refused(
    openai_client: openai.OpenAI,
    book: httpx.Client,
    model: str,
    headers: dict[str, str],
    status: int,
) -> None:
    with pytest.raises(InvalidStatus) as refused, _session(openai_client, model, **headers):
        pass

    assert refused.value.response.status_code == status
    call = _settled(book)
    assert (call["status"], call["ended"], call["billed"]) == (status, "error", None)
    assert refused.value.response.headers["x-request-id"] == call["provider_request_id"]


def test_the_beta_s_names_are_for_clients_that_ask_for_it(openai_client: openai.OpenAI) -> None:
    with _session(openai_client, **{"OpenAI-Beta": "realtime=v1"}) as connection:
        _say(connection, "hi")
        types = {event.type for event in _until(connection, "response.done")}

    assert "response.text.delta" in types
    assert "response.output_text.delta" not in types


def test_the_book_holds_nothing_that_was_said(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    with _session(openai_client) as connection:
        _say(connection, "pineapple")
        _until(connection, "response.done")

    _settled(book, turns=1)
    assert "pineapple" not in book.get("/calls").text
