"""An answer asks for a tool so many times as it was told, and then says its text."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tallygate.standin.tool_calls import ToolCall, rounds_in

TOLD = "[[standin: tool=lookup rounds=2 chunks=3]]"
SCHEMA = {"type": "object", "properties": {"query": {"type": "string"}}}
NAME = "files-lookup"


def _chat_tools() -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": NAME, "parameters": SCHEMA}}]


def test_a_chat_goes_round_and_ends_in_text(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    messages: list[Any] = [{"role": "user", "content": TOLD}]
    asked = []
    for _ in range(3):
        answer = openai_client.chat.completions.create(
            model="gpt-5.4", messages=messages, tools=_chat_tools()
        )
        choice = answer.choices[0]
        if choice.finish_reason != "tool_calls":
            break
        call = choice.message.tool_calls[0]
        asked.append((call.function.name, json.loads(call.function.arguments)))
        messages += [
            choice.message.to_dict(),
            {"role": "tool", "tool_call_id": call.id, "content": "found"},
        ]

    assert asked == [(NAME, {"query": "round 1"}), (NAME, {"query": "round 2"})]
    assert answer.choices[0].message.content == "This answer comes"
    assert [call["billed"]["output"] for call in book.get("/calls").json()] == [8, 8, 3]


def test_a_streamed_chat_says_the_call_in_pieces(openai_client: openai.OpenAI) -> None:
    stream = openai_client.chat.completions.create(
        model="gpt-5.4",
        messages=[{"role": "user", "content": TOLD}],
        tools=_chat_tools(),
        stream=True,
    )
    deltas = [chunk.choices[0] for chunk in stream]

    pieces = [c.delta.tool_calls[0].function for c in deltas if c.delta.tool_calls]
    assert [piece.name for piece in pieces] == [NAME, None]
    assert json.loads("".join(piece.arguments for piece in pieces)) == {"query": "round 1"}
    assert deltas[-1].finish_reason == "tool_calls"


def test_a_tool_that_is_not_offered_is_not_asked_for(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model="gpt-5.4", messages=[{"role": "user", "content": TOLD}]
    )

    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_response_goes_round_and_ends_in_text(
    openai_client: openai.OpenAI, streamed: bool
) -> None:
    tools: list[Any] = [{"type": "function", "name": NAME, "parameters": SCHEMA, "strict": False}]

    def ask(given: list[Any]) -> Any:
        if not streamed:
            return openai_client.responses.create(model="gpt-5.4", input=given, tools=tools)
        with openai_client.responses.stream(model="gpt-5.4", input=given, tools=tools) as stream:
            return stream.get_final_response()

    said = [{"role": "user", "content": TOLD}]
    given, asked = list(said), []
    answer = ask(given)
    while answer.output[0].type == "function_call":
        call = answer.output[0]
        asked.append(json.loads(call.arguments)["query"])
        # The original input and the newest round only, as a gateway chains its follow-ups.
        given = [
            *said,
            {k: v for k, v in call.to_dict().items() if k not in {"id", "parsed_arguments"}},
            {"type": "function_call_output", "call_id": call.call_id, "output": "found"},
        ]
        answer = ask(given)

    assert asked == ["round 1", "round 2"]
    assert answer.output_text == "This answer comes"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_message_goes_round_and_ends_in_text(
    anthropic_client: anthropic.Anthropic, streamed: bool
) -> None:
    def ask(messages: list[Any]) -> Any:
        asked: dict[str, Any] = {
            "model": "claude-sonnet-5-5",
            "max_tokens": 50,
            "messages": messages,
            "tools": [{"name": NAME, "input_schema": SCHEMA}],
        }
        if not streamed:
            return anthropic_client.messages.create(**asked)
        with anthropic_client.messages.stream(**asked) as stream:
            return stream.get_final_message()

    messages: list[Any] = [{"role": "user", "content": TOLD}]
    asked = []
    answer = ask(messages)
    while answer.stop_reason == "tool_use":
        block = answer.content[0]
        asked.append(block.input)
        result = {"type": "tool_result", "tool_use_id": block.id, "content": "found"}
        use = {"type": "tool_use", "id": block.id, "name": block.name, "input": block.input}
        messages += [
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ]
        answer = ask(messages)

    assert asked == [{"query": "round 1"}, {"query": "round 2"}]
    assert answer.content[0].text == "This answer comes"


def test_a_new_message_of_the_user_starts_over(openai_client: openai.OpenAI) -> None:
    call = ToolCall(1, NAME).call_id("call")
    messages: list[Any] = [
        {"role": "user", "content": TOLD},
        {"role": "tool", "tool_call_id": call, "content": "found"},
        {"role": "user", "content": "[[standin: tool=lookup]]"},
    ]

    answer = openai_client.chat.completions.create(
        model="gpt-5.4", messages=messages, tools=_chat_tools()
    )

    assert answer.choices[0].finish_reason == "tool_calls"


def test_a_round_is_read_from_the_id_that_carries_it() -> None:
    third = ToolCall(3, NAME).call_id("toolu")

    assert rounds_in([third]) == 3
    assert rounds_in(["call_abc", "call_def"]) == 2
    assert rounds_in([]) == 0
