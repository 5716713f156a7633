"""
Pass-through: what LiteLLM sends on as it came, to hosts it knows and to a gateway it does not.

The gateway's host is in no rule book, so what goes there is counted and unpriced, unless the
proxy's config has a price per request for the path.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from e2e.routes.caller import MINI, Caller
from e2e.routes.conftest import RunScenario
from e2e.routes.proxy_config import GATEWAY_PRICE
from e2e.routes.scenario import REFUSED_BY_PROVIDER, Attempt, Scenario, free

USUAL = "0.0000615"  # 40 x 0.75 + 7 x 4.50 millionths
BY_CLAUDE = "0.00015"  # 40 x 2.00 + 7 x 10.00
BY_GEMINI = "0.000123"  # 40 x 1.50 + 7 x 9.00
BY_COHERE = "0.0000102"  # 40 x 0.15 + 7 x 0.60
UNPRICED = Attempt(price="unpriced")
FLAT = Attempt(operation="pass_through", asked="pass_through")
LONG = "chunks=20 interval=0.1 input=40 output=20"
VERSION = {"anthropic_version": "2023-06-01"}
CUT = "chunks=6 cut=3 interval=0.1 input=40 output=20"
GATEWAY_CHAT, GATEWAY_MESSAGES = "/gateway/v1/chat/completions", "/gateway/v1/messages"


def chat(path: str, wishes: str = "input=40 output=7", **options: Any) -> Any:
    def act(caller: Caller) -> None:
        caller.ok(path, {"model": MINI, "messages": caller.messages(wishes), **options})

    return act


def chat_streamed(caller: Caller) -> None:
    body = {"model": MINI, "messages": caller.messages()}
    with caller.streaming(
        GATEWAY_CHAT, {**body, "stream_options": {"include_usage": True}}
    ) as lines:
        assert any('"usage":{"prompt_tokens":40' in line for line in lines)


def messages(path: str, *, stream: bool = False) -> Any:
    def act(caller: Caller) -> None:
        if stream:
            with caller.streaming(path, caller.claude(), **VERSION) as lines:
                assert any("message_stop" in line for line in lines)
        else:
            caller.ok(path, caller.claude(), x_api_key=caller.key, **VERSION)

    return act


def leave(path: str, after_lines: int) -> Any:
    def act(caller: Caller) -> None:
        with caller.streaming(path, caller.claude(LONG), **VERSION) as lines:
            for _ in range(after_lines):
                next(lines)

    return act


def cut(path: str) -> Any:
    def act(caller: Caller) -> None:
        with caller.streaming(path, caller.claude(CUT), **VERSION) as lines:
            list(lines)

    return act


def refused(caller: Caller) -> None:
    body = {"model": MINI, "messages": caller.messages("status=429")}
    assert caller.post(GATEWAY_CHAT, body).status_code == httpx.codes.TOO_MANY_REQUESTS


def flat(**options: Any) -> Any:
    return lambda caller: caller.ok("/flat/anything", {"text": caller.text(""), **options})


def flat_refused(caller: Caller) -> None:
    assert caller.post("/flat/anything", {"text": caller.text("status=500")}).status_code == 500


def flat_left(caller: Caller) -> None:
    body = {"text": caller.text("chunks=20 interval=0.1")}
    with caller.streaming("/flat/anything", body) as lines:
        next(lines)


def respond_streamed(caller: Caller) -> None:
    with caller.streaming("/openai/responses", {"model": MINI, "input": caller.text()}) as lines:
        assert any("response.completed" in line for line in lines)


def embed(caller: Caller) -> None:
    body = {"model": "text-embedding-3-small", "input": caller.text("input=40")}
    caller.ok("/openai/embeddings", body)


def cohere(caller: Caller) -> None:
    caller.ok("/cohere/v2/chat", {"model": "command-r-08-2024", "messages": caller.messages()})


def unowned(caller: Caller) -> None:
    body = {"model": MINI, "messages": caller.messages()}
    with caller.unowned() as silent:
        assert silent.post(GATEWAY_CHAT, body).status_code == httpx.codes.BAD_REQUEST


def models(caller: Caller) -> None:
    assert caller.http.get("/openai/models").status_code == httpx.codes.OK


SCENARIOS = (
    Scenario(
        name="gateway: chat",
        act=chat(GATEWAY_CHAT),
        attempts=(UNPRICED,),
        traceparent="forwarded",
    ),
    Scenario(
        name="gateway: chat streamed",
        act=chat_streamed,
        attempts=(UNPRICED,),
        traceparent="forwarded",
    ),
    Scenario(name="gateway: message", act=messages(GATEWAY_MESSAGES), attempts=(UNPRICED,)),
    Scenario(
        name="gateway: message streamed",
        act=messages(GATEWAY_MESSAGES, stream=True),
        attempts=(UNPRICED,),
    ),
    Scenario(name="gateway: refused", act=refused, attempts=(REFUSED_BY_PROVIDER,)),
    Scenario(
        name="gateway: client gone",
        act=leave(GATEWAY_MESSAGES, after_lines=9),
        attempts=(Attempt(status="cancelled", usage="estimated", price="unpriced"),),
    ),
    Scenario(
        name="gateway: provider gone",
        act=cut(GATEWAY_MESSAGES),
        attempts=(Attempt(status="error", usage="estimated", price="unpriced"),),
        raises=httpx.RemoteProtocolError,
    ),
    Scenario(name="flat price", act=flat(), attempts=(FLAT,), cost=str(GATEWAY_PRICE)),
    Scenario(
        name="flat price, streamed",
        act=flat(stream=True),
        attempts=(FLAT,),
        cost=str(GATEWAY_PRICE),
        is_usage_lost=True,  # the price is per request, so tokens are not counted
    ),
    Scenario(
        name="flat price, refused",
        act=flat_refused,
        attempts=(
            Attempt(
                operation="pass_through",
                asked="pass_through",
                status="error",
                price="not_billed",
            ),
        ),
    ),
    Scenario(
        name="flat price, streamed, client gone",
        act=flat_left,
        attempts=(
            Attempt(
                operation="pass_through",
                asked="pass_through",
                status="cancelled",
                usage="estimated",
            ),
        ),
        cost=str(GATEWAY_PRICE),
    ),
    Scenario(
        name="anthropic",
        act=messages("/anthropic/v1/messages"),
        cost=BY_CLAUDE,
        traceparent="forwarded",
    ),
    Scenario(
        name="anthropic streamed",
        act=messages("/anthropic/v1/messages", stream=True),
        cost=BY_CLAUDE,
        traceparent="forwarded",
    ),
    Scenario(
        name="anthropic: client gone",
        act=leave("/anthropic/v1/messages", after_lines=9),
        attempts=(Attempt(status="cancelled", usage="estimated"),),
        cost="0.00009",  # 40 x 2.00 + 1 x 10.00: what the first event says
    ),
    Scenario(
        name="anthropic: provider gone",
        act=cut("/anthropic/v1/messages"),
        attempts=(Attempt(status="error", usage="estimated"),),
        cost="0.00009",
        raises=httpx.RemoteProtocolError,
    ),
    Scenario(
        name="openai",
        act=chat("/openai/chat/completions"),
        cost=USUAL,
    ),
    Scenario(
        name="openai: response streamed",
        act=respond_streamed,
        attempts=(Attempt(asked="responses"),),
        cost=USUAL,
    ),
    Scenario(
        name="openai: embeddings",
        act=embed,
        attempts=(Attempt(operation="embeddings", asked="embeddings"),),
        cost="0.0000008",  # 40 x 0.02
    ),
    Scenario(name="cohere", act=cohere, cost=BY_COHERE),
    Scenario(
        name="gateway: refused by the gate",
        act=unowned,
        attempts=(),
        beside=(("refusal", "refused"),),
        action="reject",
    ),
    Scenario(
        name="openai's models",
        act=models,
        attempts=(free("list_models", "models"),),
    ),
    Scenario(
        name="gemini",
        act=lambda caller: caller.ok(
            f"/gemini/v1beta/models/gemini-3.5-flash:generateContent?key={caller.key}",
            caller.gemini(),
        ),
        attempts=(Attempt(operation="generate_content"),),
        cost=BY_GEMINI,
    ),
    Scenario(
        name="gemini streamed",
        act=lambda caller: caller.ok(
            "/gemini/v1beta/models/gemini-3.5-flash:streamGenerateContent"
            f"?alt=sse&key={caller.key}",
            caller.gemini(),
        ),
        attempts=(Attempt(operation="generate_content"),),
        cost=BY_GEMINI,
    ),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_books_agree(scenario: Scenario, run: RunScenario) -> None:
    run(scenario)
