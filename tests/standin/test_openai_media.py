"""Completions, images, audio and moderation, as the official `openai` client reads them."""

from __future__ import annotations

import io
import wave
from typing import Any

import httpx
import openai
import pytest

POINT = ("point.png", b"\x89PNG not really", "image/png")


def _wav(seconds: float) -> bytes:
    written = io.BytesIO()
    with wave.open(written, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0\0" * int(8000 * seconds))
    return written.getvalue()


def _last_call(book: httpx.Client) -> dict[str, Any]:
    return book.get("/calls").json()[-1]


def test_a_text_completion_is_billed_like_a_chat(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    answer = openai_client.completions.create(
        model="gpt-3.5-turbo-instruct", prompt="[[standin: chunks=3]] two words", max_tokens=9
    )

    assert answer.choices[0].text == "This answer comes"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 3)
    call = _last_call(book)
    assert (call["operation"], call["response_id"]) == ("text_completion", answer.id)
    assert call["provider_request_id"] == answer._request_id


def test_a_text_completion_s_stream_ends_with_usage_only_where_asked(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    asked: dict[str, Any] = {"model": "gpt-3.5-turbo-instruct", "prompt": "[[standin: chunks=3]] a"}
    options = {"include_usage": True}
    told = list(openai_client.completions.create(**asked, stream=True, stream_options=options))
    options = {"include_usage": False}
    untold = list(openai_client.completions.create(**asked, stream=True, stream_options=options))

    assert told[-1].usage is not None
    assert told[-1].usage.completion_tokens == 3
    assert "".join(chunk.choices[0].text for chunk in untold) == "This answer comes"
    assert all(chunk.usage is None for chunk in untold)
    first, second = book.get("/calls").json()
    assert first["usage"]["total_tokens"] == 4
    assert (second["usage"], second["billed"]["output"]) == (None, 3)


def test_an_image_model_of_the_gpt_family_reports_tokens(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    made = openai_client.images.generate(
        model="gpt-image-1", prompt="a grey point", n=2, quality="low", size="1024x1024"
    )

    assert made.data is not None
    assert [bool(image.b64_json) for image in made.data] == [True, True]
    assert made.usage is not None
    assert (made.usage.input_tokens, made.usage.output_tokens) == (3, 544)
    assert made.usage.input_tokens_details.text_tokens == 3
    call = _last_call(book)
    assert (call["operation"], call["billed"]["images"]) == ("image_generation", 2)
    assert call["usage"]["total_tokens"] == 547


def test_usage_of_an_image_is_told_by_the_caller(openai_client: openai.OpenAI) -> None:
    told = "[[standin: input=250 image_input=200 output=99]] a point"

    usage = openai_client.images.edit(model="gpt-image-1", image=POINT, prompt=told).usage

    assert usage is not None
    details = usage.input_tokens_details
    assert (details.text_tokens, details.image_tokens, usage.output_tokens) == (50, 200, 99)


def test_every_image_that_is_edited_counts(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    edited = openai_client.images.edit(
        model="gpt-image-1", image=[POINT, POINT], prompt="make it grey"
    )

    assert edited.usage is not None
    assert edited.usage.input_tokens_details.image_tokens == 400
    assert edited.usage.input_tokens == 403
    assert _last_call(book)["operation"] == "image_edit"


def test_dall_e_reports_no_usage_and_is_billed_by_the_image(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    made = openai_client.images.generate(model="dall-e-3", prompt="a point")

    assert made.usage is None
    assert made.data is not None
    assert made.data[0].url is not None
    assert (_last_call(book)["usage"], _last_call(book)["billed"]["images"]) == (None, 1)


def test_an_image_stream_ends_with_its_usage(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    events = list(openai_client.images.generate(model="gpt-image-1", prompt="a", stream=True))

    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    assert events[-1].type == "image_generation.completed"
    assert events[-1].usage.output_tokens == 1056
    assert _last_call(book)["usage"]["output_tokens"] == 1056


def test_speech_is_bytes_and_is_billed_by_the_character(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    spoken = openai_client.audio.speech.create(
        model="tts-1", voice="alloy", input="15 as it stands"
    )

    assert spoken.response.headers["content-type"] == "audio/mpeg"
    assert spoken.content.startswith(b"ID3")
    call = _last_call(book)
    assert (call["operation"], call["usage"]) == ("speech", None)
    assert call["billed"]["characters"] == 15


def test_a_speech_stream_of_events_reports_tokens(standin_url: str, book: httpx.Client) -> None:
    asked = {"model": "gpt-4o-mini-tts", "voice": "alloy", "stream_format": "sse"}
    answer = httpx.post(
        f"{standin_url}/v1/audio/speech",
        json={**asked, "input": "[[standin: input=7 output=30 chunks=2]]"},
        headers={"authorization": "Bearer sk-any"},
    )

    assert answer.text.count("speech.audio.delta") == 2
    assert '"usage":{"input_tokens":7,"output_tokens":30,"total_tokens":37}' in answer.text
    assert _last_call(book)["usage"]["output_tokens"] == 30


def test_whisper_reports_seconds_rounded_up(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    heard = openai_client.audio.transcriptions.create(
        model="whisper-1", file=("said.wav", _wav(2.2)), prompt="hm"
    )

    assert heard.usage is not None
    assert heard.usage.to_dict() == {"type": "duration", "seconds": 3}
    call = _last_call(book)
    assert (call["operation"], call["model"]) == ("transcription", "whisper-1")
    assert (call["usage"], call["billed"]["seconds"]) == ({"type": "duration", "seconds": 3}, 3)


def test_gpt_transcription_reports_tokens_whole_and_streamed(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    told = "[[standin: input=100 audio_input=90 output=20 chunks=2]]"
    sound = ("said.wav", _wav(1))
    model = "gpt-4o-transcribe"

    whole = openai_client.audio.transcriptions.create(model=model, file=sound, prompt=told)
    events = list(
        openai_client.audio.transcriptions.create(model=model, file=sound, prompt=told, stream=True)
    )

    assert whole.usage is not None
    assert whole.usage.type == "tokens"
    assert whole.usage.input_token_details is not None
    assert whole.usage.input_token_details.text_tokens == 10
    assert [event.type for event in events] == [
        "transcript.text.delta",
        "transcript.text.delta",
        "transcript.text.done",
    ]
    first, second = book.get("/calls").json()
    assert first["usage"] == second["usage"]
    assert (first["stream"], second["stream"]) == (False, True)


@pytest.mark.parametrize("form", ["text", "srt", "vtt", "verbose_json"])
def test_a_transcription_comes_in_the_form_that_was_asked_for(
    openai_client: openai.OpenAI, book: httpx.Client, form: Any
) -> None:
    openai_client.audio.transcriptions.create(
        model="whisper-1",
        file=("said.wav", _wav(1)),
        prompt="[[standin: seconds=12.5]]",
        response_format=form,
    )

    assert _last_call(book)["billed"]["seconds"] == 12.5
    assert (_last_call(book)["usage"] is None) == (form != "verbose_json")


def test_moderation_is_free(openai_client: openai.OpenAI, book: httpx.Client) -> None:
    judged = openai_client.moderations.create(model="omni-moderation-latest", input=["a", "b"])

    assert [result.flagged for result in judged.results] == [False, False]
    call = _last_call(book)
    assert (call["operation"], call["generates"], call["billed"]) == ("moderation", False, None)
    assert call["response_id"] == judged.id


def test_a_fault_reaches_a_form_by_its_prompt_its_file_s_name_and_its_model(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    fault = "[[standin: status=503]]"
    ways = [
        {"prompt": fault, "file": ("a.wav", _wav(1)), "model": "whisper-1"},
        {"file": (f"{fault}.wav", _wav(1)), "model": "whisper-1"},
        {"file": ("a.wav", _wav(1)), "model": f"whisper-1{fault}"},
    ]
    for way in ways:
        with pytest.raises(openai.InternalServerError):
            openai_client.audio.transcriptions.create(**way)

    calls = book.get("/calls").json()
    assert [(call["status"], call["model"]) for call in calls] == [(503, "whisper-1")] * 3


def test_a_header_cuts_what_is_bytes(openai_client: openai.OpenAI, book: httpx.Client) -> None:
    with pytest.raises(openai.APIConnectionError):
        openai_client.audio.speech.create(
            model="tts-1", voice="alloy", input="hi", extra_headers={"x-standin": "cut=0"}
        )

    assert _last_call(book)["ended"] == "cut"
    assert _last_call(book)["billed"]["characters"] == 2


def test_azure_s_paths_lead_to_the_same_routes(standin_url: str, book: httpx.Client) -> None:
    with openai.AzureOpenAI(
        api_key="any", azure_endpoint=standin_url, api_version="2025-04-01-preview", max_retries=0
    ) as client:
        messages: Any = [{"role": "user", "content": "hi"}]
        chat = client.chat.completions.create(model="my-deployment", messages=messages)
        image = client.images.generate(model="gpt-image-1", prompt="a")

    assert (chat.model, image.usage is None) == ("my-deployment", False)
    assert [call["model"] for call in book.get("/calls").json()] == ["my-deployment", "gpt-image-1"]
