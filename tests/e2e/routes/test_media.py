"""
Images, sound, moderation and reranking: what is not, or not only, counted in tokens.

Units: gpt-image-1 costs 5.00 dollars per million text tokens in, 10.00 per image token in and 40.00
    out; tts-1 15.00 per million characters; whisper-1 0.0001 a second; gpt-4o-transcribe 2.50 and
    10.00 per million tokens; rerank-v3.5 2.00 per thousand searches; moderation nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from e2e.routes.caller import Caller
from e2e.routes.conftest import RunScenario
from e2e.routes.scenario import Attempt, Scenario

SOUND = b"RIFF" + b"0" * 900
PICTURE = b"\x89PNG\r\n\x1a\n" + b"0" * 50


def image(caller: Caller, **options: Any) -> Any:
    return caller.openai.images.generate(
        model="gpt-image-1", prompt=caller.text("input=40 output=70"), n=2, **options
    )


def priced_by_picture(caller: Caller) -> None:
    """Ask a model that reports no tokens."""
    caller.openai.images.generate(model="dall-e-3", prompt=caller.text(""), size="1024x1024")


def edit(caller: Caller) -> None:
    caller.openai.images.edit(
        model="gpt-image-1",
        prompt=caller.text("input=240 image_input=200 output=70"),
        image=("picture.png", PICTURE, "image/png"),
    )


def speak(caller: Caller) -> None:
    caller.openai.audio.speech.create(model="tts-1", voice="alloy", input="hello there").read()


def transcribe(model: str, **options: Any) -> Any:
    def act(caller: Caller) -> None:
        named = ("[[standin: seconds=2 input=20 audio_input=20 output=6]].wav", SOUND, "audio/wav")
        caller.openai.audio.transcriptions.create(model=model, file=named, **options)

    return act


def moderate(caller: Caller) -> None:
    caller.openai.moderations.create(model="omni-moderation-latest", input=caller.text(""))


def rerank(caller: Caller) -> None:
    asked = {"model": "rerank", "query": caller.text(""), "documents": ["a", "b"]}
    caller.ok("/v1/rerank", asked)


def paint(asked: str = "image_generation", **options: str) -> Attempt:
    return Attempt(operation="image_generation", asked=asked, **options)


def sound(operation: str) -> Attempt:
    return Attempt(operation=operation, asked=operation)


SCENARIOS = (
    # 40 x 5.00 + 70 x 40.00 millionths
    Scenario(name="image", act=image, attempts=(paint(),), cost="0.003", traceparent="minted"),
    Scenario(
        name="image that reports no tokens",
        act=priced_by_picture,
        attempts=(paint(price="unpriced"),),
        traceparent="minted",
    ),
    Scenario(
        name="image edited",
        act=edit,
        attempts=(paint("image_edit"),),
        cost="0.005",  # 40 x 5.00 + 200 x 10.00 + 70 x 40.00
    ),
    # 11 characters x 15.00
    Scenario(name="speech", act=speak, attempts=(sound("speech"),), cost="0.000165"),
    Scenario(
        name="transcription by the second",
        act=transcribe("whisper-1"),
        attempts=(sound("transcription"),),
        cost="0.0002",  # 2 x 0.0001
    ),
    Scenario(
        name="transcription by the token",
        act=transcribe("gpt-4o-transcribe"),
        attempts=(sound("transcription"),),
        cost="0.00011",  # 20 x 2.50 + 6 x 10.00
    ),
    Scenario(name="moderation", act=moderate, attempts=(sound("moderation"),)),
    Scenario(
        name="rerank",
        act=rerank,
        attempts=(sound("rerank"),),
        cost="0.002",
        traceparent="minted",
    ),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_books_agree(scenario: Scenario, run: RunScenario) -> None:
    run(scenario)


@pytest.mark.parametrize(
    ("path", "attempts"),
    [
        pytest.param(
            "images",
            # Each broken answer is tried again, up to `num_retries`.
            (paint(status="error", usage="none", price="unpriced"),) * 3,
            id="image",
        ),
        pytest.param(
            "audio",
            (replace(sound("transcription"), usage="none", price="unpriced"),),
            id="transcription",
        ),
    ],
)
def test_streams_that_litellm_cannot_pass_on_are_in_both_books(
    path: str, attempts: tuple[Attempt, ...], run: RunScenario
) -> None:
    """
    LiteLLM 1.106.2 takes the client library's stream for an answer.

    Of an image it makes a 500, of a transcription one whose text is the provider's events.
    """

    def act(caller: Caller) -> None:
        if path == "images":
            asked = {"model": "gpt-image-1", "prompt": caller.text(""), "partial_images": 1}
            answer = caller.post("/v1/images/generations", {**asked, "stream": True})
        else:
            answer = caller.http.post(
                "/v1/audio/transcriptions",
                data={"model": "gpt-4o-transcribe", "stream": "true"},
                files={"file": ("sound.wav", SOUND, "audio/wav")},
            )
        is_500 = answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR
        assert is_500 or '"text":"data: ' in answer.text

    run(Scenario(name=path, act=act, attempts=attempts, is_usage_lost=True))
