"""
Every way in which a call ends: errors, timeouts, retries, fallbacks, who leaves, cache, refusals.

Units: gpt-5.4-mini costs 0.75 dollars per million tokens in and 4.50 out, claude-sonnet-5-5 2.00
    and 10.00, gemini-3.5-flash 1.50 and 9.00.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import anthropic
import httpx
import openai
import pytest

from e2e.gated import without
from e2e.routes.caller import CLAUDE, MINI, Caller
from e2e.routes.conftest import RunScenario
from e2e.routes.scenario import CHAT, REFUSED_BY_PROVIDER, Attempt, Scenario

USUAL = "0.0000615"  # 40 x 0.75 + 7 x 4.50 millionths
LONG = "chunks=20 interval=0.1 input=40 output=20"
CUT = "chunks=20 interval=0.05 cut=4 input=40 output=20"
FAILED = REFUSED_BY_PROVIDER
TIMED_OUT = Attempt(status="timeout", usage="none", price="unpriced")
"""The provider may bill it, so it is not free."""
LEFT = Attempt(status="cancelled", usage="estimated")
CUT_OFF = Attempt(status="error", usage="estimated")
BROKEN = Attempt(status="error", usage="none", price="unpriced")
HIT = ("attempt", "cache_hit")
NOTEBOOK = {
    "x-tallygate-owner-team": "team-research",
    "x-tallygate-service": "research-notebook",
    "x-tallygate-environment": "staging",
    "x-tallygate-feature": "nobody-has-heard-of-it",
}
STORED_S = 0.5
"""LiteLLM stores an answer after it has sent it."""

Rows = list[dict[str, Any]]


def chat_left(after_lines: int, wishes: str = LONG) -> Any:
    def act(caller: Caller) -> None:
        body = {"model": MINI, "messages": caller.messages(wishes)}
        with caller.streaming("/v1/chat/completions", body) as lines:
            for _ in range(after_lines):
                next(lines)

    return act


def left_before_the_first_byte(*, stream: bool) -> Any:
    def act(caller: Caller) -> None:
        # Gone shortly before the answer: LiteLLM logs only then, and the grace period runs already.
        body = {"model": MINI, "messages": caller.messages("delay=1.6 input=40 output=7")}
        url = "/v1/chat/completions"
        caller.http.post(url, json={**body, "stream": stream}, timeout=1.2)

    return act


def left_after_the_last(caller: Caller) -> None:
    """Read all there is, and go without a word."""
    body = {"model": MINI, "messages": caller.messages()}
    with caller.streaming("/v1/chat/completions", body) as lines:
        for line in lines:
            if line == "data: [DONE]":
                return


def message_left(caller: Caller) -> None:
    with caller.streaming("/v1/messages", caller.claude(LONG)) as lines:
        for _ in range(9):
            next(lines)


def response_left(caller: Caller) -> None:
    body = {"model": MINI, "input": caller.text(LONG)}
    with caller.streaming("/v1/responses", body) as lines:
        for _ in range(12):
            next(lines)


def gemini_left(caller: Caller) -> None:
    path = "/v1beta/models/gemini-3.5-flash:streamGenerateContent?alt=sse"
    with caller.streaming(path, caller.gemini(LONG)) as lines:
        next(lines)


def message_cut(caller: Caller) -> None:
    asked = caller.messages(CUT)
    with caller.anthropic.messages.stream(model=CLAUDE, max_tokens=50, messages=asked) as stream:
        for _ in stream:
            pass


def response_cut(caller: Caller) -> None:
    """LiteLLM tells of it in an event, `response.failed`, which the official client just gives."""
    stream = caller.openai.responses.create(model=MINI, input=caller.text(CUT), stream=True)
    assert any("fail" in event.type or "error" in event.type for event in stream)


def asked_twice(*, stream: bool = False) -> Any:
    def act(caller: Caller) -> None:
        asked = caller.messages()
        for _ in range(2):
            answer = caller.openai.chat.completions.create(
                model=MINI, messages=asked, stream=stream
            )
            if stream:
                list(answer)
            time.sleep(STORED_S)

    return act


def embedded_twice(caller: Caller) -> None:
    """Ask for three, two of which LiteLLM has by then."""
    known = [f"{caller.trace_id} {number}" for number in range(2)]
    model = "text-embedding-3-small"
    caller.openai.embeddings.create(model=model, input=known)
    time.sleep(STORED_S)
    caller.openai.embeddings.create(model=model, input=[*known, f"{caller.trace_id} new"])


def client_that_retries(caller: Caller) -> None:
    """Two of the client's own tries: LiteLLM tries thrice for the first, twice for the next."""
    client = caller.openai.with_options(max_retries=2)
    client.chat.completions.create(
        model=MINI, messages=caller.messages("status=503 fail=4 input=40 output=7")
    )


def is_linked(rows: Rows, calls: Rows) -> None:
    del calls
    first, second = rows[0]["call_id"], rows[-1]["call_id"]
    assert [row["client_retry_count"] for row in rows] == [0, 0, 0, 1, 1]
    assert {row["retry_of_call_id"] for row in rows[3:]} == {first}
    assert first != second


def is_retried(rows: Rows, calls: Rows) -> None:
    del calls
    rows = sorted(rows, key=lambda row: row["attempt_number"])
    assert [row["attempt_number"] for row in rows] == [1, 2, 3]
    assert [row["retry_of_event_id"] for row in rows[1:]] == [row["event_id"] for row in rows[:2]]
    assert len({row["call_id"] for row in rows}) == 1


def is_avoided(rows: Rows, calls: Rows) -> None:
    del calls
    (hit,) = (row for row in rows if row["status"] == "cache_hit")
    assert hit["cost"] == 0
    assert hit["avoided_cost"] == next(row["cost"] for row in rows if row["status"] == "ok")


def same_id_twice(caller: Caller) -> None:
    for _ in range(2):
        caller.chat(extra_headers={"x-litellm-call-id": f"mine-{caller.trace_id}"})


def has_ids_of_its_own(rows: Rows, calls: Rows) -> None:
    del calls
    assert len({row["call_id"] for row in rows}) == len({row["event_id"] for row in rows}) == 2


def claims_in_logs(caller: Caller) -> None:
    """Name another team where LiteLLM's spend logs would read it."""
    claim = {"owner_team": "team-search", "service": "knowledge-search"}
    caller.chat(
        extra_body={"metadata": {"spend_logs_metadata": claim}},
        extra_headers={"x-litellm-spend-logs-metadata": '{"owner_team": "team-search"}'},
    )


def unowned(*fields: str) -> Any:
    def act(caller: Caller) -> None:
        kept = {*without(*fields), "traceparent"}
        removed: Any = {name: openai.omit for name in caller.headers if name not in kept}
        caller.chat(extra_headers=removed)

    return act


def is_waived(rows: Rows, calls: Rows) -> None:
    del calls
    assert [waived["override"] for waived in rows[0]["waived"]] == ["ovr-test-active"]


def quarantined(caller: Caller) -> None:
    """Speak for the notebook of Research, whose violations wait with the quarantine owner."""
    with Caller(caller.url, "sk-demo-research", NOTEBOOK) as researcher:
        researcher.answers = caller.answers
        researcher.openai.chat.completions.create(
            model=MINI,
            messages=caller.messages(),
            extra_headers={"traceparent": caller.headers["traceparent"]},
        )


def fall_back(wishes: str, model: str = "first-choice") -> Any:
    return lambda caller: caller.chat(f"{wishes} only=gpt-5.4 input=40 output=7", model=model)


SCENARIOS = (
    Scenario(
        name="provider says 400",
        act=lambda caller: caller.chat("status=400"),
        attempts=(FAILED,),
        raises=openai.BadRequestError,
    ),
    Scenario(
        name="provider says 429, not tried again",
        act=lambda caller: caller.chat("status=429", extra_body={"num_retries": 0}),
        attempts=(FAILED,),
        raises=openai.RateLimitError,
    ),
    Scenario(
        name="provider says 500, not tried again, streamed",
        act=lambda caller: caller.chat("status=500", stream=True, extra_body={"num_retries": 0}),
        attempts=(FAILED,),
        raises=openai.InternalServerError,
    ),
    Scenario(
        name="provider says nothing in time",
        act=lambda caller: caller.chat("delay=5", extra_body={"num_retries": 0}),
        attempts=(TIMED_OUT,),
        raises=openai.APIStatusError,
    ),
    Scenario(
        name="provider says what is no JSON",
        act=lambda caller: caller.chat("malformed", extra_body={"num_retries": 0}),
        attempts=(BROKEN,),
        raises=openai.APIError,
        is_usage_lost=True,
    ),
    Scenario(
        name="retried, then answered",
        act=lambda caller: caller.chat("status=500 fail=2 input=40 output=7"),
        attempts=(FAILED, FAILED, CHAT),
        cost=USUAL,
        traceparent="minted",
        check=is_retried,
    ),
    Scenario(
        name="retries exhausted",
        act=lambda caller: caller.chat("status=500"),
        attempts=(FAILED,) * 3,
        raises=openai.InternalServerError,
        check=is_retried,
    ),
    Scenario(
        name="fallback",
        act=fall_back("status=400"),
        attempts=(FAILED, CHAT),
        cost=USUAL,
        traceparent="minted",
    ),
    Scenario(
        name="fallback after retries",
        act=fall_back("status=500", model="gpt-5.4"),
        attempts=(FAILED, FAILED, FAILED, CHAT),
        cost=USUAL,
    ),
    Scenario(
        name="fallback, streamed",
        act=lambda caller: list(
            caller.chat(
                "status=400 only=gpt-5.4 input=40 output=7", model="first-choice", stream=True
            )
        ),
        attempts=(FAILED, CHAT),
        cost=USUAL,
    ),
    Scenario(
        name="fallback that the caller named",
        act=lambda caller: caller.chat(
            "status=400 only=gpt-5.4 input=40 output=7",
            model="gpt-5.4",
            extra_body={"fallbacks": [CLAUDE]},
        ),
        attempts=(FAILED, CHAT),
        cost="0.00015",  # 40 x 2.00 + 7 x 10.00
    ),
    Scenario(
        name="client's library tries again",
        act=client_that_retries,
        attempts=(*[FAILED] * 4, CHAT),
        cost=USUAL,
        check=is_linked,
    ),
    Scenario(
        # LiteLLM waits for the answer, which is then whole and billed.
        name="client gone before the first byte",
        act=left_before_the_first_byte(stream=False),
        cost=USUAL,
        raises=httpx.ReadTimeout,
        answers=False,
    ),
    Scenario(
        name="client gone before the first byte, streamed",
        act=left_before_the_first_byte(stream=True),
        attempts=(LEFT,),
        cost=None,
        raises=httpx.ReadTimeout,
        answers=False,
    ),
    Scenario(name="client gone in the middle", act=chat_left(5), attempts=(LEFT,), cost=None),
    Scenario(name="client gone after the last", act=left_after_the_last, cost=USUAL),
    Scenario(
        name="client gone in the middle of a message",
        act=message_left,
        attempts=(LEFT,),
        cost="0.00009",  # 40 x 2.00 + 1 x 10.00: what the first event says
    ),
    Scenario(
        name="client gone in the middle of a response",
        act=response_left,
        attempts=(replace(LEFT, asked="responses"),),
        cost=None,
    ),
    Scenario(
        name="client gone in the middle of Gemini's",
        act=gemini_left,
        attempts=(Attempt(operation="generate_content", status="cancelled", usage="estimated"),),
        cost="0.000069",  # 40 x 1.50 + 1 x 9.00: what the first chunk says
    ),
    Scenario(
        name="provider gone in the middle of a whole answer",
        act=lambda caller: caller.chat(
            "cut=1 chunks=9 input=40 output=9", extra_body={"num_retries": 0}
        ),
        attempts=(BROKEN,),
        raises=openai.InternalServerError,
    ),
    Scenario(
        name="provider gone in the middle",
        act=lambda caller: list(caller.chat(CUT, stream=True)),
        attempts=(CUT_OFF,),
        cost=None,
        raises=openai.APIError,
    ),
    Scenario(
        name="provider gone in the middle of a message",
        act=message_cut,
        attempts=(CUT_OFF,),
        cost=None,  # the first event says one token out; LiteLLM counts the words, if it gets to
        raises=anthropic.APIError,
    ),
    Scenario(
        name="provider gone in the middle of a response",
        act=response_cut,
        attempts=(replace(BROKEN, asked="responses"),),
    ),
    Scenario(
        name="provider's error in the middle",
        act=lambda caller: list(
            caller.chat("chunks=9 interval=0.05 error_after=4 input=40 output=9", stream=True)
        ),
        attempts=(CUT_OFF,),
        cost=None,
        raises=openai.APIError,
    ),
    Scenario(
        name="provider that reports no usage",
        act=lambda caller: caller.chat("no_usage"),
        attempts=(Attempt(usage="none", price="unpriced"),),
    ),
    Scenario(
        name="cached",
        act=asked_twice(),
        beside=(HIT,),
        cost=USUAL,
        check=is_avoided,
    ),
    Scenario(
        name="cached, streamed",
        act=asked_twice(stream=True),
        beside=(HIT,),
        cost=USUAL,
    ),
    Scenario(
        name="cached in part",
        act=embedded_twice,
        attempts=(Attempt(operation="embeddings", asked="embeddings"),) * 2,
        cost="0.00000012",  # 2 x 2 words, then the 2 of the one that is new, x 0.02
    ),
    Scenario(
        name="mocked by LiteLLM",
        act=lambda caller: caller.chat(model="mocked"),
        attempts=(),
        beside=(("attempt", "ok"),),
    ),
    Scenario(
        name="told not to log",
        act=lambda caller: caller.chat(extra_body={"no-log": True}),
        cost=USUAL,
    ),
    Scenario(
        name="caller's id, twice",
        act=same_id_twice,
        attempts=(CHAT, CHAT),
        cost="0.000123",
        check=has_ids_of_its_own,
    ),
    Scenario(name="caller's words for the spend logs", act=claims_in_logs, cost=USUAL),
    Scenario(
        name="refused",
        act=unowned("feature", "workflow_id", "owner_team", "tenant_id_hash"),
        attempts=(),
        beside=(("refusal", "refused"),),
        raises=openai.BadRequestError,
        action="reject",
    ),
    Scenario(
        name="quarantined",
        act=quarantined,
        cost=USUAL,
        owner="team-quarantine",
        action="quarantine",
    ),
    Scenario(
        name="excused by an override",
        act=unowned("workflow_id"),
        cost=USUAL,
        check=is_waived,
    ),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_books_agree(scenario: Scenario, run: RunScenario) -> None:
    run(scenario)
