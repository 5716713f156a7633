"""
Anthropic's, Google's and Amazon's own formats, on LiteLLM's native routes and bridged.

Units: claude-sonnet-5-5 costs 2.00 dollars per million tokens in and 10.00 out, on Bedrock too
    (0.10 read from the cache, 2.50 and 4.00 written for 5 minutes and an hour); gemini-3.5-flash
    1.50 and 9.00; Nova Pro 0.80 and 3.20.
"""

from __future__ import annotations

from typing import Any

import pytest

from e2e.routes.caller import CLAUDE, FORTY_AND_SEVEN, MINI, Caller
from e2e.routes.conftest import RunScenario
from e2e.routes.scenario import Attempt, Scenario, free

BY_CLAUDE = "0.00015"  # 40 x 2.00 + 7 x 10.00 millionths
BY_GEMINI = "0.000123"  # 40 x 1.50 + 7 x 9.00
BY_NOVA = "0.0000544"  # 40 x 0.80 + 7 x 3.20
BY_MINI = "0.0000615"  # 40 x 0.75 + 7 x 4.50
CACHING = "input=1000 cached=300 cache_write_5m=200 cache_write_1h=100 output=50"
GENERATED = Attempt(operation="generate_content")
INVOKED = Attempt(asked="invoke_model")
RESPONSE = Attempt(asked="responses")
FLASH = "gemini-3.5-flash"
GEMINI = f"/v1beta/models/{FLASH}"
TO_OPENAI = f"/v1beta/models/{MINI}"


def message(caller: Caller, wishes: str = FORTY_AND_SEVEN, model: str = CLAUDE) -> Any:
    return caller.anthropic.messages.create(
        model=model, max_tokens=50, messages=caller.messages(wishes)
    )


def message_stream(caller: Caller, wishes: str = FORTY_AND_SEVEN, model: str = CLAUDE) -> None:
    asked = caller.messages(wishes)
    with caller.anthropic.messages.stream(model=model, max_tokens=50, messages=asked) as stream:
        assert stream.get_final_message().usage.output_tokens > 0


def respond(model: str, *, stream: bool = False) -> Any:
    def act(caller: Caller) -> None:
        answer = caller.openai.responses.create(model=model, input=caller.text(), stream=stream)
        if stream:
            assert list(answer)[-1].type == "response.completed"

    return act


def count(caller: Caller) -> None:
    counted = caller.anthropic.messages.count_tokens(model=CLAUDE, messages=caller.messages())
    assert counted.input_tokens == 40


def bedrock(route: str) -> Any:
    def act(caller: Caller) -> None:
        body = caller.converse() if "converse" in route else caller.invoke()
        assert caller.ok(f"/bedrock/model/{route}", body).content

    return act


SCENARIOS = (
    Scenario(name="message", act=message, cost=BY_CLAUDE, traceparent="minted"),
    Scenario(
        name="message with its cache read and written",
        act=lambda caller: message(caller, CACHING),
        # 400 x 2.00 + 300 x 0.10 + 200 x 2.50 + 100 x 4.00 + 50 x 10.00
        cost="0.00223",
    ),
    Scenario(name="message streamed", act=message_stream, cost=BY_CLAUDE, traceparent="minted"),
    Scenario(
        name="message streamed with its cache read and written",
        act=lambda caller: message_stream(caller, CACHING),
        cost="0.00223",
    ),
    Scenario(
        name="message bridged",
        act=lambda caller: message(caller, model=MINI),
        attempts=(RESPONSE,),
        cost=BY_MINI,
        traceparent="minted",
    ),
    Scenario(
        name="message bridged and streamed",
        act=lambda caller: message_stream(caller, model=MINI),
        attempts=(RESPONSE,),
        cost=BY_MINI,
        traceparent="minted",
    ),
    Scenario(
        name="message's tokens counted",
        act=count,
        attempts=(free("count_tokens", "count_tokens"),),
    ),
    Scenario(
        name="gemini",
        act=lambda caller: caller.ok(f"{GEMINI}:generateContent", caller.gemini()),
        attempts=(GENERATED,),
        cost=BY_GEMINI,
    ),
    Scenario(
        name="gemini streamed",
        act=lambda caller: caller.ok(f"{GEMINI}:streamGenerateContent?alt=sse", caller.gemini()),
        attempts=(GENERATED,),
        cost=BY_GEMINI,
    ),
    Scenario(
        # LiteLLM answers 500 without google-genai, which `litellm[proxy]` does not bring.
        name="gemini's tokens not counted",
        act=lambda caller: caller.post(f"{GEMINI}:countTokens", caller.gemini()),
        attempts=(),
    ),
    Scenario(
        name="gemini by chat",
        act=lambda caller: caller.chat(model=FLASH),
        cost=BY_GEMINI,
        traceparent="minted",
    ),
    Scenario(
        name="gemini by chat, streamed",
        act=lambda caller: list(caller.chat(model=FLASH, stream=True)),
        cost=BY_GEMINI,
        traceparent="minted",
    ),
    Scenario(name="response bridged to Claude", act=respond(CLAUDE), cost=BY_CLAUDE),
    Scenario(
        name="response bridged to Claude, streamed",
        act=respond(CLAUDE, stream=True),
        cost=BY_CLAUDE,
    ),
    Scenario(name="response bridged to Gemini", act=respond(FLASH), cost=BY_GEMINI),
    Scenario(
        name="response bridged to Gemini, streamed",
        act=respond(FLASH, stream=True),
        cost=BY_GEMINI,
    ),
    Scenario(
        name="message bridged to Gemini, streamed",
        act=lambda caller: message_stream(caller, model=FLASH),
        cost=BY_GEMINI,
    ),
    Scenario(
        name="gemini bridged to OpenAI",
        act=lambda caller: caller.ok(f"{TO_OPENAI}:generateContent", caller.gemini()),
        cost=BY_MINI,
    ),
    Scenario(
        name="gemini bridged to OpenAI, streamed",
        act=lambda caller: caller.ok(f"{TO_OPENAI}:streamGenerateContent?alt=sse", caller.gemini()),
        cost=BY_MINI,
    ),
    Scenario(name="converse", act=bedrock("nova/converse"), cost=BY_NOVA),
    Scenario(name="converse streamed", act=bedrock("nova/converse-stream"), cost=BY_NOVA),
    Scenario(
        name="invoke",
        act=bedrock("claude-on-bedrock/invoke"),
        attempts=(INVOKED,),
        cost=BY_CLAUDE,
    ),
    Scenario(
        name="invoke streamed",
        act=bedrock("claude-on-bedrock/invoke-with-response-stream"),
        attempts=(INVOKED,),
        cost=BY_CLAUDE,
    ),
    Scenario(
        name="converse by chat",
        act=lambda caller: caller.chat(model="nova"),
        cost=BY_NOVA,
        traceparent="minted",
    ),
    Scenario(
        name="converse by chat, streamed",
        act=lambda caller: list(caller.chat(model="claude-on-bedrock", stream=True)),
        cost=BY_CLAUDE,
        traceparent="minted",
    ),
    Scenario(
        name="message on Bedrock",
        act=lambda caller: message(caller, model="claude-on-bedrock"),
        attempts=(INVOKED,),
        cost=BY_CLAUDE,
    ),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_books_agree(scenario: Scenario, run: RunScenario) -> None:
    run(scenario)
