"""What a request to another host takes along: nothing of ours. Real clients, real redirects."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx
import httpx2
import openai
import pytest

from tallygate.client import (
    async_ownership_hooks,
    default_headers,
    ownership,
    ownership_hooks,
)

pytestmark = pytest.mark.usefixtures("kept")

STATIC: Final = default_headers(service="support-assistant", region="eu-west")
ALIASES: Final = {"x-team-id": "team-support", "X-Customer-Id-Hash": "hk1_a"}
FOREIGN: Final = "k=v;p=1"
Headers = dict[str, str]


def by_httpx(hosts: Any, url: str, headers: Headers) -> None:
    hooks = ownership_hooks(hosts)
    with httpx.Client(event_hooks=hooks, follow_redirects=True, headers=STATIC) as client:
        client.post(url, headers=headers).raise_for_status()


def by_async_httpx(hosts: Any, url: str, headers: Headers) -> None:
    async def send() -> None:
        hooks = async_ownership_hooks(hosts)
        async with httpx.AsyncClient(
            event_hooks=hooks, follow_redirects=True, headers=STATIC
        ) as client:
            (await client.post(url, headers=headers)).raise_for_status()

    asyncio.run(send())


def by_httpx2(hosts: Any, url: str, headers: Headers) -> None:
    hooks = ownership_hooks(hosts)
    with httpx2.Client(event_hooks=hooks, follow_redirects=True, headers=STATIC) as client:
        client.post(url, headers=headers).raise_for_status()


def by_async_httpx2(hosts: Any, url: str, headers: Headers) -> None:
    async def send() -> None:
        hooks = async_ownership_hooks(hosts)
        async with httpx2.AsyncClient(
            event_hooks=hooks, follow_redirects=True, headers=STATIC
        ) as client:
            (await client.post(url, headers=headers)).raise_for_status()

    asyncio.run(send())


def by_openai(hosts: Any, url: str, headers: Headers) -> None:
    hooked = openai.DefaultHttpxClient(event_hooks=ownership_hooks(hosts))
    with openai.OpenAI(
        api_key="sk-any",
        base_url=url.rpartition("/")[0],
        http_client=hooked,
        default_headers=STATIC,
        max_retries=0,
    ) as client:
        path = url.rpartition("/")[2]
        client.post(f"/{path}", cast_to=object, body={}, options={"headers": headers})


EVERY_CLIENT = pytest.mark.parametrize(
    "send", [by_httpx, by_async_httpx, by_httpx2, by_async_httpx2, by_openai]
)
EVERY_HOSTS = pytest.mark.parametrize(
    "hosts", [pytest.param(["127.0.0.1"], id="named"), pytest.param(None, id="any")]
)


def sent(gate: Any) -> list[Headers]:
    return [{name.decode(): value.decode() for name, value in one} for one in gate.requests]


def ours_in(headers: Headers) -> list[str]:
    names = ("traceparent", "x-team-id", "x-customer-id-hash")
    return [name for name in headers if name.startswith("x-tallygate-") or name in names]


@EVERY_CLIENT
@EVERY_HOSTS
def test_a_redirect_to_another_host_takes_nothing_of_ours_along(
    gate: Any, send: Any, hosts: Any
) -> None:
    headers = {**ALIASES, "baggage": f"{FOREIGN},team_id=t,tenant_id=raw,region=eu-west"}
    with ownership(feature="ticket-triage", workflow_id="wf-17") as scope:
        send(hosts, f"{gate.url}/moved", headers)

    first, second = sent(gate)
    assert {"x-tallygate-service", "x-tallygate-feature", "x-team-id", "traceparent"} <= {*first}
    assert "workflow_id=wf-17" in first["baggage"]
    assert second["host"].startswith("localhost")
    assert ours_in(second) == []
    assert second["baggage"] == FOREIGN
    assert scope.last_call_id is None, "a stranger's answer names no call of the gate"


@EVERY_CLIENT
@EVERY_HOSTS
def test_static_fields_stay_off_a_redirect_outside_of_any_block_too(
    gate: Any, send: Any, hosts: Any
) -> None:
    send(hosts, f"{gate.url}/moved", {"baggage": "owner_team=team-support"})

    first, second = sent(gate)
    assert "x-tallygate-service" in first
    assert ours_in(second) == []
    assert "baggage" not in second


@EVERY_CLIENT
@EVERY_HOSTS
def test_a_redirect_within_the_host_keeps_everything(gate: Any, send: Any, hosts: Any) -> None:
    with ownership(feature="ticket-triage") as scope:
        send(hosts, f"{gate.url}/near", {})

    first, second = sent(gate)
    names = {"baggage", "traceparent", "x-tallygate-service", "x-tallygate-feature"}
    assert names <= first.keys()
    assert {name: first[name] for name in names} == {name: second[name] for name in names}
    assert scope.last_call_id == gate.call_id(2)


@EVERY_HOSTS
def test_back_at_the_first_host_the_block_speaks_again(gate: Any, hosts: Any) -> None:
    with ownership(feature="ticket-triage") as scope:
        by_httpx(hosts, f"{gate.url}/round", {})

    _, stranger, back = sent(gate)
    assert ours_in(stranger) == []
    assert back["x-tallygate-feature"] == "ticket-triage"
    assert back["traceparent"].split("-")[1] == scope.trace_id
    assert scope.last_call_id == gate.call_id(3)


def test_a_redirect_between_named_hosts_keeps_everything(gate: Any) -> None:
    with ownership(feature="ticket-triage") as scope:
        by_httpx(["127.0.0.1", "localhost"], f"{gate.url}/moved", {})

    first, second = sent(gate)
    assert ours_in(second) == ours_in(first)
    assert scope.last_call_id == gate.call_id(2)


@EVERY_HOSTS
def test_a_second_redirect_leaves_the_host_as_bare_as_a_first(gate: Any, hosts: Any) -> None:
    with ownership(feature="ticket-triage"):
        by_httpx(hosts, f"{gate.url}/far", {})

    *_, kept, stranger = sent(gate)
    assert "traceparent" in kept
    assert ours_in(stranger) == []
    assert "baggage" not in stranger


@EVERY_HOSTS
def test_a_redirect_that_is_followed_by_hand_after_the_block_takes_nothing_either(
    gate: Any, hosts: Any
) -> None:
    with httpx.Client(event_hooks=ownership_hooks(hosts), headers=STATIC) as client:
        with ownership(region="eu-west", feature="ticket-triage"):
            moved = client.post(f"{gate.url}/moved")
        assert moved.next_request is not None
        client.send(moved.next_request)

    _, second = sent(gate)
    assert ours_in(second) == []
    assert "baggage" not in second


def test_a_trace_that_the_caller_has_put_there_is_the_callers_to_send(gate: Any) -> None:
    own = f"00-{'c' * 32}-{'d' * 16}-01"
    with ownership(feature="ticket-triage"):
        by_httpx(None, f"{gate.url}/moved", {"traceparent": own})

    assert [headers["traceparent"] for headers in sent(gate)] == [own, own]


def test_a_request_to_an_unnamed_host_goes_without_static_fields(gate: Any) -> None:
    with ownership(feature="ticket-triage", cost_center="cc-17"):
        headers = {**ALIASES, "baggage": f"cost_center=cc-17,{FOREIGN},feature=ticket-triage"}
        by_httpx(["gate.internal"], gate.url, headers)

    (only,) = sent(gate)
    assert ours_in(only) == []
    assert only["baggage"] == FOREIGN


def test_one_client_serves_many_hosts_each_by_its_own_requests(gate: Any) -> None:
    stranger = gate.url.replace("127.0.0.1", "localhost")
    with (
        httpx.Client(event_hooks=ownership_hooks(), headers=STATIC) as client,
        ownership(feature="ticket-triage"),
    ):
        client.post(gate.url, extensions={"trace": lambda *_: None})
        client.post(stranger)

    assert all("x-tallygate-feature" in headers for headers in sent(gate))
