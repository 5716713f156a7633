"""Real clients against a real server; what arrives is resolved as the gate resolves it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tallygate.client import (
    async_ownership_hooks,
    current_scope,
    default_headers,
    outgoing_headers,
    ownership,
    ownership_hooks,
)
from tallygate.domain.attribution.ownership import Source
from tallygate.domain.attribution.propagation import read_trace

pytestmark = pytest.mark.usefixtures("kept")

EVERYTHING = {
    "owner_team": "team-support",
    "service": "support-assistant",
    "environment": "prod",
    "workflow_id": "wf-17",
    "feature": "ticket-triage",
    "initiator": "job:nightly-digest",
    "tenant_id_hash": "hk1_" + "a" * 32,
    "user_id_hash": "hk1_" + "b" * 32,
    "parent_call_id": "0197a5b0-0000-7000-8000-000000000001",
}
MINTED = "f" * 32
MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]


def call_httpx(url: str) -> None:
    with httpx.Client(event_hooks=ownership_hooks()) as client:
        client.post(url).raise_for_status()


def call_async_httpx(url: str) -> None:
    async def call() -> None:
        async with httpx.AsyncClient(event_hooks=async_ownership_hooks()) as client:
            (await client.post(url)).raise_for_status()

    asyncio.run(call())


def openai_client(url: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(
        api_key="sk-any",
        base_url=f"{url}/v1",
        http_client=openai.DefaultHttpxClient(event_hooks=ownership_hooks()),
        max_retries=0,
        **options,
    )


def ask_openai(client: openai.OpenAI, **options: Any) -> None:
    client.chat.completions.create(model="gpt-5.4", messages=MESSAGES, **options)


def call_openai(url: str) -> None:
    with openai_client(url) as client:
        ask_openai(client)


def call_async_openai(url: str) -> None:
    async def call() -> None:
        hooked = openai.DefaultAsyncHttpxClient(event_hooks=async_ownership_hooks())
        async with openai.AsyncOpenAI(
            api_key="sk-any", base_url=f"{url}/v1", http_client=hooked
        ) as client:
            await client.chat.completions.create(model="gpt-5.4", messages=MESSAGES)

    asyncio.run(call())


def call_anthropic(url: str) -> None:
    hooked = anthropic.DefaultHttpxClient(event_hooks=ownership_hooks())
    with anthropic.Anthropic(api_key="sk-any", base_url=url, http_client=hooked) as client:
        client.messages.create(model="claude-sonnet-5-5", max_tokens=8, messages=MESSAGES)


def call_async_anthropic(url: str) -> None:
    async def call() -> None:
        hooked = anthropic.DefaultAsyncHttpxClient(event_hooks=async_ownership_hooks())
        async with anthropic.AsyncAnthropic(
            api_key="sk-any", base_url=url, http_client=hooked
        ) as client:
            await client.messages.create(model="claude-sonnet-5-5", max_tokens=8, messages=MESSAGES)

    asyncio.run(call())


EVERY_CLIENT = pytest.mark.parametrize(
    "call",
    [
        call_httpx,
        call_async_httpx,
        call_openai,
        call_async_openai,
        call_anthropic,
        call_async_anthropic,
    ],
)


@EVERY_CLIENT
def test_what_a_client_sends_is_the_ownership_of_the_block(
    gate: Any, resolved: Any, call: Callable[[str], None]
) -> None:
    with ownership(**EVERYTHING) as scope:
        call(gate.url)

    found = resolved(gate.requests[0])
    assert found.values == EVERYTHING
    assert set(found.sources.values()) == {Source.HEADER}
    assert (found.conflicts, found.malformed) == ((), ())
    trace = read_trace(gate.requests[0], MINTED)
    assert (trace.source, trace.trace_id) == ("received", scope.trace_id)
    assert len(gate.requests) == 1


@EVERY_CLIENT
def test_the_next_call_can_name_the_one_that_caused_it(
    gate: Any, call: Callable[[str], None]
) -> None:
    with ownership(feature="ticket-triage") as scope:
        call(gate.url)
        with scope.child():
            call(gate.url)

    assert "x-tallygate-parent-call-id" not in {name.decode() for name, _ in gate.requests[0]}
    assert gate.last["x-tallygate-parent-call-id"] == gate.call_id(1)
    assert scope.last_call_id == gate.call_id(1), "a block remembers its own calls only"


def test_the_baggage_alone_says_the_same_to_whoever_reads_only_that(
    gate: Any, resolved: Any
) -> None:
    with ownership(**EVERYTHING):
        call_httpx(gate.url)

    baggage = [entry for entry in gate.requests[0] if entry[0] == b"baggage"]
    found = resolved(baggage)
    assert found.values == EVERYTHING
    assert (found.conflicts, found.malformed) == ((), ())


def test_calls_that_one_call_has_caused_have_it_for_a_parent_side_by_side(gate: Any) -> None:
    async def work() -> None:
        async with httpx.AsyncClient(event_hooks=async_ownership_hooks()) as client:

            async def fan_out() -> None:
                with scope.child():
                    await client.post(gate.url)

            with ownership(workflow_id="wf-17") as scope:
                await client.post(gate.url)
                await asyncio.gather(*(fan_out() for _ in range(3)))

    asyncio.run(work())

    parents = [dict(request).get(b"x-tallygate-parent-call-id") for request in gate.requests]
    assert parents == [None, *[gate.call_id(1).encode()] * 3]


def test_turns_of_an_agent_can_be_a_chain(gate: Any) -> None:
    with ownership(workflow_id="wf-17") as step:
        for _ in range(3):
            with step.child() as step:  # noqa: PLW2901 - the chain: each turn hangs on the last
                call_httpx(gate.url)
        with step.child() as idle, idle.child():
            call_httpx(gate.url)

    parents = [dict(request).get(b"x-tallygate-parent-call-id") for request in gate.requests]
    assert parents == [None, *(gate.call_id(number).encode() for number in (1, 2, 3))]


def test_a_call_that_failed_is_nobodys_parent(gate: Any) -> None:
    with ownership(feature="ticket-triage") as scope:
        call_httpx(gate.url)
        gate.status = 400
        with pytest.raises(httpx.HTTPStatusError):
            call_httpx(gate.url)

    assert scope.last_call_id == gate.call_id(1)


def test_an_answer_that_is_no_id_is_not_sent_on() -> None:
    with ownership() as scope:
        scope.remember({"x-tallygate-call-id": "a\r\nb"})
        scope.remember({})

        assert scope.last_call_id is None
        assert "x-tallygate-parent-call-id" not in outgoing_headers()


def test_static_fields_stand_on_the_client_and_a_block_says_the_rest(
    gate: Any, resolved: Any
) -> None:
    static = default_headers(service="support-assistant", environment="prod", feature="other")
    with openai_client(gate.url, default_headers=static) as client:
        ask_openai(client)
        with ownership(feature="ticket-triage", owner_team="team-support"):
            ask_openai(client, extra_headers={"x-team-id": "team-search"})

    outside, inside = (resolved(request).values for request in gate.requests)
    assert outside == {"service": "support-assistant", "environment": "prod", "feature": "other"}
    assert inside == outside | {"feature": "ticket-triage", "owner_team": "team-support"}


def test_static_fields_are_checked_like_all_others() -> None:
    with pytest.raises(ValueError, match="service: has a blank"):
        default_headers(service="support assistant")


def test_the_official_clients_take_the_static_fields_without_hooks(
    gate: Any, resolved: Any
) -> None:
    static = default_headers(service="support-assistant", environment="prod")
    with anthropic.Anthropic(api_key="sk-any", base_url=gate.url, default_headers=static) as client:
        client.messages.create(model="claude-sonnet-5-5", max_tokens=8, messages=MESSAGES)

    found = resolved(gate.requests[0])
    assert found.values == {"service": "support-assistant", "environment": "prod"}


def test_other_peoples_baggage_and_trace_on_a_request_stay(gate: Any, resolved: Any) -> None:
    own = f"00-{'c' * 32}-{'d' * 16}-01"
    with (
        httpx.Client(event_hooks=ownership_hooks()) as client,
        ownership(owner_team="team-support"),
    ):
        client.post(
            gate.url,
            headers={"traceparent": own, "baggage": "k=v;p=1,owner_team=stale,team_id=older"},
        )

    assert gate.last["traceparent"] == own
    assert gate.last["baggage"] == "k=v;p=1,owner_team=team-support"
    assert resolved(gate.requests[0]).values == {"owner_team": "team-support"}


def test_baggage_that_is_full_is_left_alone(gate: Any, resolved: Any) -> None:
    full = "k=" + "v" * 8180
    with (
        httpx.Client(event_hooks=ownership_hooks()) as client,
        ownership(owner_team="team-support"),
    ):
        client.post(gate.url, headers={"baggage": full})

    assert gate.last["baggage"] == full
    found = resolved(gate.requests[0])
    assert (found.values, found.malformed) == ({"owner_team": "team-support"}, ())


@pytest.mark.parametrize(
    ("hosts", "is_sent"),
    [
        pytest.param("127.0.0.1", True, id="one"),
        pytest.param(["gate.internal", "127.0.0.1"], True, id="many"),
        pytest.param(["gate.internal"], False, id="another"),
    ],
)
def test_strangers_can_be_left_out(gate: Any, hosts: Any, is_sent: bool) -> None:
    with (
        httpx.Client(event_hooks=ownership_hooks(hosts)) as client,
        ownership(feature="ticket-triage"),
    ):
        client.post(gate.url)
        scope = current_scope()

    assert ("x-tallygate-feature" in gate.last) is is_sent
    assert scope is not None
    assert (scope.last_call_id is not None) is is_sent


@pytest.mark.parametrize(("own", "left"), [({}, None), ({"baggage": "k=v;p"}, "k=v;p")])
def test_a_redirect_takes_nothing_to_a_stranger(
    gate: Any, own: dict[str, str], left: str | None
) -> None:
    with (
        httpx.Client(event_hooks=ownership_hooks("127.0.0.1"), follow_redirects=True) as client,
        ownership(owner_team="team-support", feature="ticket-triage") as scope,
    ):
        client.post(f"{gate.url}/moved", headers=own).raise_for_status()

    first, second = ({name.decode(): value for name, value in sent} for sent in gate.requests)
    assert {"x-tallygate-owner-team", "baggage", "traceparent"} <= first.keys()
    assert not [name for name in second if name.startswith("x-tallygate")]
    assert second.get("baggage", b"").decode() == (left or "")
    assert "traceparent" not in second
    assert scope.last_call_id is None


def test_strangers_can_be_left_out_of_an_async_client(gate: Any) -> None:
    async def call() -> None:
        hooks = async_ownership_hooks(["gate.internal"])
        async with httpx.AsyncClient(event_hooks=hooks) as client:
            with ownership(feature="ticket-triage"):
                await client.post(gate.url)

    asyncio.run(call())

    assert "x-tallygate-feature" not in gate.last


def test_outside_of_any_block_nothing_is_added_and_nothing_fails(gate: Any) -> None:
    call_httpx(gate.url)

    assert not {"baggage", "traceparent"} & gate.last.keys()
    assert not [name for name in gate.last if name.startswith("x-tallygate")]
