"""
Chats, completions, embeddings and responses, whole, streamed and in the background.

Units: gpt-5.4-mini costs 0.75 dollars per million tokens in (0.075 read from the cache) and 4.50
    out; gpt-3.5-turbo-instruct 1.50 and 2.00; text-embedding-3-small 0.02.
"""

from __future__ import annotations

from typing import Any

import pytest

from e2e.routes.caller import MINI, Caller
from e2e.routes.conftest import RunScenario
from e2e.routes.scenario import Attempt, Scenario, free

USUAL = "0.0000615"  # 40 x 0.75 + 7 x 4.50 = 61.5 millionths
TEXT = Attempt(operation="text_completion", asked="text_completion")
RESPONSE = Attempt(asked="responses")
INSTRUCT = "gpt-3.5-turbo-instruct"
INSTRUCTED = "0.000074"  # 40 x 1.50 + 7 x 2.00


def stream_without_extra_chunk(caller: Caller) -> None:
    chunks = list(caller.chat(stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def stream_with_usage(caller: Caller) -> None:
    chunks = list(caller.chat(stream=True, stream_options={"include_usage": True}))
    assert [chunk.usage.prompt_tokens for chunk in chunks if chunk.usage] == [40]


def complete(caller: Caller, **options: Any) -> Any:
    return caller.openai.completions.create(model=INSTRUCT, prompt=caller.text(), **options)


def stream_text(caller: Caller) -> None:
    chunks = list(complete(caller, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def stream_text_with_usage(caller: Caller) -> None:
    chunks = list(complete(caller, stream=True, stream_options={"include_usage": True}))
    assert [chunk.usage.prompt_tokens for chunk in chunks if chunk.usage] == [40]


def embed(caller: Caller, *texts: str) -> None:
    model = "text-embedding-3-small"
    caller.openai.embeddings.create(model=model, input=list(texts) or caller.text("input=40"))


def respond(caller: Caller, wishes: str = "input=40 output=7", **options: Any) -> Any:
    return caller.openai.responses.create(model=MINI, input=caller.text(wishes), **options)


def respond_in_background(caller: Caller) -> None:
    """Look at it more often than it takes to be ready, and once more."""
    response = respond(caller, background=True)
    for _ in range(4):
        response = caller.openai.responses.retrieve(response.id)
    assert response.status == "completed"


def chat_under_a_name(caller: Caller) -> None:
    """Send an opaque trace id, which goes before the one of `traceparent`."""
    caller.trace_id = f"tr_{caller.trace_id}"
    headers = {"x-tallygate-trace-id": caller.trace_id}
    caller.chat(extra_headers=headers)


def is_trace_forwarded(rows: list[dict[str, Any]], calls: list[dict[str, Any]]) -> None:
    assert calls[0]["headers"]["x-tallygate-trace-id"] == rows[0]["trace_id"]


def queued(caller: Caller) -> None:
    body = {"model": MINI, "messages": caller.messages(), "priority": 0}
    caller.ok(f"/queue/chat/completions?model={MINI}", body)


SCENARIOS = (
    Scenario(name="chat", act=Caller.chat, cost=USUAL, traceparent="minted"),
    Scenario(
        name="chat with cached and reasoning tokens",
        act=lambda caller: caller.chat("input=3400 cached=1200 output=620 reasoning=500"),
        # 2,200 x 0.75 + 1,200 x 0.075 + 620 x 4.50 = 1,650 + 90 + 2,790 millionths.
        cost="0.00453",
    ),
    Scenario(
        name="chat streamed",
        act=stream_without_extra_chunk,
        cost=USUAL,
        traceparent="minted",
    ),
    Scenario(name="chat streamed with usage", act=stream_with_usage, cost=USUAL),
    Scenario(name="chat under a name", act=chat_under_a_name, cost=USUAL, check=is_trace_forwarded),
    Scenario(name="chat queued", act=queued, cost=USUAL),
    Scenario(
        name="completion",
        act=complete,
        attempts=(TEXT,),
        cost=INSTRUCTED,
        traceparent="minted",
    ),
    Scenario(name="completion streamed", act=stream_text, attempts=(TEXT,), cost=INSTRUCTED),
    Scenario(
        name="completion streamed with usage",
        act=stream_text_with_usage,
        attempts=(TEXT,),
        cost=INSTRUCTED,
    ),
    Scenario(
        name="embeddings",
        act=embed,
        attempts=(Attempt(operation="embeddings", asked="embeddings"),),
        cost="0.0000008",  # 40 x 0.02
        traceparent="minted",
    ),
    Scenario(
        name="response",
        act=respond,
        attempts=(RESPONSE,),
        cost=USUAL,
        traceparent="minted",
    ),
    Scenario(
        name="response streamed",
        act=lambda caller: list(respond(caller, stream=True)),
        attempts=(RESPONSE,),
        cost=USUAL,
        traceparent="minted",
    ),
    Scenario(
        name="response with cached and reasoning tokens, streamed",
        act=lambda caller: list(
            respond(caller, "input=3400 cached=1200 output=620 reasoning=500", stream=True)
        ),
        attempts=(RESPONSE,),
        cost="0.00453",  # as for the chat
    ),
    Scenario(
        name="response in the background, read four times",
        act=respond_in_background,
        attempts=(
            free("chat", "responses"),
            *[free("retrieve_response", "responses")] * 4,
        ),
        usage=(("chat", 40, 7),),
        cost=USUAL,
    ),
    Scenario(
        name="input tokens of a response counted",
        act=lambda caller: caller.ok(
            "/v1/responses/input_tokens", {"model": MINI, "input": caller.text()}
        ),
        attempts=(free("count_tokens", "count_tokens"),),
    ),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_books_agree(scenario: Scenario, run: RunScenario) -> None:
    run(scenario)
