"""
One request, many provider calls: several models at once, tool loops, sessions; and LiteLLM's own.

Units: gpt-5.4-mini costs 0.75 dollars per million tokens in and 4.50 out, claude-sonnet-5-5 2.00
    and 10.00, gpt-realtime 4.00 and 16.00.
"""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest
from websockets.exceptions import ConnectionClosed

from e2e.routes.caller import CLAUDE, MINI, Caller
from e2e.routes.conftest import RunScenario
from e2e.routes.scenario import CHAT, REFUSED_BY_PROVIDER, Attempt, Scenario

USUAL = "0.0000615"  # 40 x 0.75 + 7 x 4.50 millionths
BOTH = "0.0002115"  # and 40 x 2.00 + 7 x 10.00
TURN = ("realtime", 40, 7)
SESSION = Attempt(operation="realtime", asked="realtime", price="not_billed")
ROUND = Attempt(asked="responses")
TOOL = Attempt(operation="execute_tool", asked="execute_tool", price="unpriced")
TOOLS = [
    {
        "type": "mcp",
        "server_label": "litellm",
        "server_url": "litellm_proxy",
        "require_approval": "never",
    }
]


def both(caller: Caller) -> None:
    caller.chat(model=f"{MINI},{CLAUDE}")


def fastest(caller: Caller) -> None:
    wishes = f"delay=1 only={CLAUDE} input=40 output=7"
    caller.chat(wishes, model=f"{MINI},{CLAUDE}", extra_body={"fastest_response": True})


def both_streamed(caller: Caller) -> None:
    """Ask in vain: LiteLLM 1.106.2 answers 500, when both have been asked."""
    list(caller.chat(model=f"{MINI},{CLAUDE}", stream=True))


def chat_loop(**options: Any) -> Any:
    def act(caller: Caller) -> None:
        answer = caller.chat("tool=lookup rounds=2 input=40 output=7", tools=TOOLS, **options)
        if "stream" in options:
            list(answer)

    return act


def loop(**options: Any) -> Any:
    def act(caller: Caller) -> None:
        wishes = "tool=lookup rounds=2 input=40 output=7"
        answer = caller.openai.responses.create(
            model=MINI, input=caller.text(wishes), tools=TOOLS, **options
        )
        if "stream" in options:
            list(answer)

    return act


def follow_each_other(rows: list[dict[str, Any]], calls: list[dict[str, Any]]) -> None:
    """See that each tool names the round that asked for it, the next round the tool."""
    by_id = {row["event_id"]: row for row in rows}
    led_to = {(by_id[r["parent_event_id"]]["operation"], r["operation"]) for r in rows[1:]}
    assert led_to == {("chat", "execute_tool"), ("execute_tool", "chat")}


def converse(caller: Caller) -> None:
    with caller.realtime() as socket:
        caller.turn(socket)
        caller.turn(socket)


def converse_until_cut(caller: Caller) -> None:
    with caller.realtime() as socket:
        caller.turn(socket)
        caller.turn(socket, "input=40 output=7 cut=2")


def converse_and_leave(caller: Caller) -> None:
    with caller.realtime() as socket:
        caller.turn(socket)


def converse_unowned(caller: Caller) -> None:
    with caller.unowned() as silent:
        converse(silent)


def use_tool(caller: Caller) -> None:
    asked = {"server_id": "tools", "name": "lookup", "arguments": {"query": "x"}}
    assert caller.ok("/mcp-rest/tools/call", asked).json()["isError"] is False


def list_tools(caller: Caller) -> None:
    assert caller.http.get("/mcp-rest/tools/list").status_code == httpx.codes.OK


def probe(caller: Caller) -> None:
    answer = caller.http.get(f"/health?model={MINI}")
    assert answer.json()["healthy_count"] == 1


def retrieve_and_answer(caller: Caller) -> None:
    store = caller.openai.vector_stores.create(name="kept")
    config = {"vector_store_id": store.id, "custom_llm_provider": "openai"}
    body = {"model": MINI, "messages": caller.messages(), "retrieval_config": config}
    caller.ok("/v1/rag/query", body)


SCENARIOS = (
    Scenario(name="two models at once", act=both, attempts=(CHAT, CHAT), cost=BOTH),
    Scenario(
        name="the fastest of two models",
        act=fastest,
        # LiteLLM stops waiting for the other one, which the provider may bill.
        attempts=(CHAT, Attempt(status="unknown", usage="none", price="unpriced")),
        cost=USUAL,
    ),
    Scenario(
        name="two models at once, one of which refuses",
        act=lambda caller: caller.chat(
            f"status=400 only={CLAUDE} input=40 output=7", model=f"{MINI},{CLAUDE}"
        ),
        attempts=(REFUSED_BY_PROVIDER, CHAT),
        cost=USUAL,
    ),
    Scenario(
        name="two models at once, streamed",
        act=both_streamed,
        attempts=(Attempt(status="unknown", usage="none", price="unpriced"),) * 2,
        raises=openai.InternalServerError,
        is_usage_lost=True,
    ),
    Scenario(name="tool", act=use_tool, attempts=(TOOL,)),
    # Asks no model and runs no tool: nobody decides on it.
    Scenario(name="tools listed", act=list_tools, attempts=(), answers=False),
    Scenario(
        name="tool loop",
        act=loop(),
        attempts=(ROUND, TOOL, ROUND),
        cost="0.000123",  # twice the usual
        check=follow_each_other,
    ),
    Scenario(
        name="tool loop streamed",
        act=loop(stream=True),
        attempts=(ROUND, TOOL, ROUND, TOOL, ROUND),
        cost="0.0001845",  # thrice
    ),
    Scenario(
        name="tool loop of a chat",
        act=chat_loop(),
        attempts=(CHAT, TOOL, CHAT),
        cost="0.000123",
        check=follow_each_other,
    ),
    Scenario(
        # LiteLLM logs nothing of a round whose stream it reads itself: sent, answered, unpriced.
        name="tool loop of a chat, streamed",
        act=chat_loop(stream=True),
        attempts=(Attempt(status="unknown", usage="none", price="unpriced"), TOOL, CHAT),
        cost="0.0000615",
        is_usage_lost=True,
    ),
    # LiteLLM accepts a WebSocket before it asks any hook, so the gate has nothing to say by then.
    Scenario(
        name="session of two turns",
        act=converse,
        answers=False,
        attempts=(SESSION,),
        usage=(TURN, TURN),
        cost="0.000544",  # twice 40 x 4.00 + 7 x 16.00
    ),
    Scenario(
        name="session of one turn, left",
        act=converse_and_leave,
        answers=False,
        attempts=(SESSION,),
        usage=(TURN,),
        cost="0.000272",
    ),
    Scenario(
        name="session cut in its second turn",
        act=converse_until_cut,
        answers=False,
        attempts=(
            Attempt(
                operation="realtime",
                asked="realtime",
                status="error",
                price="not_billed",
            ),
        ),
        usage=(TURN,),
        cost="0.000272",
        raises=ConnectionClosed,
    ),
    Scenario(
        name="session refused",
        act=converse_unowned,
        answers=False,
        attempts=(),
        beside=(("refusal", "refused"),),
        action="reject",
        raises=AssertionError,  # an error is all that it is greeted with
    ),
    Scenario(
        name="health check",
        act=probe,
        owner="team-platform",
        cost="0.000075",  # 4 x 0.75 + 16 x 4.50: LiteLLM's own words, and at most 16 in answer
    ),
    Scenario(
        name="retrieval and answer",
        act=retrieve_and_answer,
        attempts=(
            Attempt(
                operation="vector_store_create",
                asked="vector_stores",
                usage="none",
                price="unpriced",
            ),
            Attempt(operation="search", asked="vector_store_search", price="unpriced"),
            CHAT,
        ),
        cost=USUAL,
    ),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_books_agree(scenario: Scenario, run: RunScenario) -> None:
    run(scenario)
