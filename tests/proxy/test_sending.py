"""
When a request's first byte leaves, asked of real HTTP clients, a real server and both event loops.

Method: the watcher and the server both note `time.monotonic_ns`; what was heard must come first.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx
import httpx2
import pytest
import uvloop

from proxy.byte_server import ByteServer, certificate_for_here, served
from proxy.http_clients import (
    Aiohttp,
    Client,
    Httpx,
    Httpx2,
    Httpx2Sync,
    HttpxSync,
    Opened,
    Upload,
)
from proxy.watched_sends import sends_watched_by
from tallygate.proxy.sending import Target

SECRET: Final = "sk-secret-0123456789"
BODY: Final = b'{"model": "gpt-5.4", "messages": []}'
LARGE: Final = bytes(range(256)) * 20_480
"""5 MB."""
DEADLINE_S: Final = 20.0

current: ContextVar[str | None] = ContextVar("attempt_in_test", default=None)


class Ears:
    """Hears what a journal would hear, and when; an attempt is what `current` names."""

    def __init__(self) -> None:
        self.sends: list[tuple[str, Target]] = []
        self.statuses: list[tuple[str, Target, int]] = []
        self.sent_ns: list[int] = []
        self.broken: set[str] = set()

    def is_awaiting_send(self, target: Target) -> bool:
        self._break("is_awaiting_send")
        return current.get() is not None

    def on_send(self, target: Target) -> None:
        self.sent_ns.append(time.monotonic_ns())
        self.sends.append((current.get() or "none", target))
        self._break("on_send")

    def on_status(self, target: Target, status: int, headers: Mapping[str, str]) -> None:
        self.statuses.append((current.get() or "none", target, status))
        self._break("on_status")

    def _break(self, method: str) -> None:
        if method in self.broken:
            raise RuntimeError(SECRET)


Run = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]
Make = Callable[..., Opened]
NOT_CONNECTED: Final = (aiohttp.ClientConnectorError, httpx.ConnectError, httpx2.ConnectError)
HUNG_UP: Final = (
    aiohttp.ServerDisconnectedError,
    httpx.RemoteProtocolError,
    httpx2.RemoteProtocolError,
)
LOOPS: Final = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(
    params=[
        (Aiohttp, "asyncio"),
        (Aiohttp, "uvloop"),
        (Httpx, "asyncio"),
        (Httpx, "uvloop"),
        (HttpxSync, "asyncio"),
        (Httpx2, "asyncio"),
        (Httpx2, "uvloop"),
        (Httpx2Sync, "asyncio"),
    ],
    ids=lambda param: f"{param[0].__name__.lower()}-{param[1]}",
)
def way(request: pytest.FixtureRequest) -> tuple[Make, str]:
    made, loop = request.param
    return made, loop


@pytest.fixture
def make(way: tuple[Make, str]) -> Make:
    return way[0]


@pytest.fixture
def run(way: tuple[Make, str]) -> Run:
    """Run a coroutine inside an attempt, on the loop that the test is for."""

    async def within_time(steps: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        async with asyncio.timeout(DEADLINE_S):
            return await steps()

    def run_it(steps: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        with asyncio.Runner(loop_factory=LOOPS[way[1]]) as runner:
            return runner.run(within_time(steps))

    return run_it


@pytest.fixture
def ears() -> Iterator[Ears]:
    heard = Ears()
    token = current.set("attempt")
    with sends_watched_by(heard) as missing:
        assert missing == ()
        yield heard
    current.reset(token)


@pytest.fixture(scope="module")
def shared() -> Iterator[ByteServer]:
    with served() as server:
        yield server


@pytest.fixture
def server(shared: ByteServer) -> ByteServer:
    shared.received.clear()
    return shared


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    folder: Path = tmp_path_factory.mktemp("tls")
    return certificate_for_here(folder)


async def large_upload() -> AsyncIterator[bytes]:
    for start in range(0, len(LARGE), 100_000):
        yield LARGE[start : start + 100_000]


def target_of(path: str, method: str = "POST") -> Target:
    return Target(method, "127.0.0.1", path)


def sent_once(ears: Ears, target: Target) -> None:
    assert ears.sends == [("attempt", target)]


# One request.


@pytest.mark.parametrize(
    ("method", "body"),
    [
        pytest.param("POST", BODY, id="a body"),
        pytest.param("POST", b"", id="no body"),
        pytest.param("GET", b"", id="a GET"),
        pytest.param("POST", LARGE, id="5 MB"),
        pytest.param("POST", large_upload, id="5 MB in parts"),
    ],
)
def test_a_send_is_heard_once_and_before_the_server_sees_a_byte(
    make: Make, run: Run, ears: Ears, server: ByteServer, method: str, body: Upload
) -> None:
    async def steps() -> tuple[int, Any]:
        async with make() as client:
            return await client.send(method, f"{server.url}/echo", body)

    status, answer = run(steps)

    whole = LARGE if callable(body) else body
    assert (status, answer["bytes"]) == (200, len(whole))
    assert answer["sha256"] == hashlib.sha256(whole).hexdigest()
    sent_once(ears, target_of("/echo", method))
    (received,) = server.received
    assert received.is_complete
    assert ears.sent_ns[0] < received.first_byte_ns
    assert ears.statuses == [("attempt", target_of("/echo", method), 200)]


@pytest.mark.parametrize("loop", LOOPS)
def test_what_was_heard_has_left_and_waits_in_no_buffer(
    ears: Ears, server: ByteServer, loop: str
) -> None:
    arrived: list[bool] = []

    async def two_parts() -> AsyncIterator[bytes]:
        yield BODY
        until = time.monotonic() + DEADLINE_S
        while not server.received and time.monotonic() < until:
            time.sleep(0.001)  # noqa: ASYNC251 - the loop may not get a turn to write in
        arrived.append(bool(server.received))
        yield BODY

    async def steps() -> None:
        async with Aiohttp() as client:
            await client.send("POST", f"{server.url}/echo", two_parts)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(steps())

    assert arrived == [True]
    sent_once(ears, target_of("/echo"))


def test_what_is_heard_holds_no_query_for_it_may_hold_a_key(
    make: Make, run: Run, ears: Ears, server: ByteServer
) -> None:
    async def steps() -> None:
        async with make() as client:
            await client.send("POST", f"{server.url}/echo?key={SECRET}#{SECRET}", BODY)

    run(steps)

    assert SECRET in server.received[0].target
    assert SECRET not in repr(ears.sends) + repr(ears.statuses)
    sent_once(ears, target_of("/echo"))


@pytest.mark.parametrize("status", [400, 429, 500, 529])
def test_the_status_is_the_one_that_the_server_answered(
    make: Make, run: Run, ears: Ears, server: ByteServer, status: int
) -> None:
    async def steps() -> None:
        async with make() as client:
            await client.send("POST", f"{server.url}/status/{status}", BODY)

    run(steps)

    target = target_of(f"/status/{status}")
    sent_once(ears, target)
    assert ears.statuses == [("attempt", target, status)]


# More than one.


def test_every_step_of_a_redirect_is_a_send_of_its_own(
    make: Make, run: Run, ears: Ears, server: ByteServer
) -> None:
    async def steps() -> tuple[int, Any]:
        async with make() as client:
            return await client.send("POST", f"{server.url}/moved/307", BODY)

    assert run(steps)[1]["bytes"] == len(BODY)

    assert [target for _, target in ears.sends] == [target_of("/moved/307"), target_of("/echo")]
    assert [(target.path, status) for _, target, status in ears.statuses] == [
        ("/moved/307", 307),
        ("/echo", 200),
    ]
    for heard_ns, received in zip(ears.sent_ns, server.received, strict=True):
        assert heard_ns < received.first_byte_ns


def test_each_request_over_a_kept_connection_is_heard_once(
    make: Make, run: Run, ears: Ears, server: ByteServer
) -> None:
    async def steps() -> None:
        async with make() as client:
            for body in (BODY, LARGE, b"", BODY):
                await client.send("POST", f"{server.url}/echo", body)

    run(steps)

    assert len({received.connection for received in server.received}) == 1
    assert [target for _, target in ears.sends] == [target_of("/echo")] * 4
    assert [status for _, _, status in ears.statuses] == [200] * 4
    for heard_ns, received in zip(ears.sent_ns, server.received, strict=True):
        assert heard_ns < received.first_byte_ns


def test_sends_at_the_same_time_are_heard_each_in_its_own_attempt(
    make: Make, run: Run, ears: Ears, server: ByteServer
) -> None:
    async def one(client: Client, name: str) -> None:
        current.set(name)
        await client.send("POST", f"{server.url}/echo/{name}", BODY)

    async def steps() -> None:
        async with make() as client:
            await asyncio.gather(*(one(client, f"a{number}") for number in range(20)))

    run(steps)

    expected = {(f"a{number}", target_of(f"/echo/a{number}")) for number in range(20)}
    assert len(ears.sends) == len(ears.statuses) == 20
    assert set(ears.sends) == expected
    assert {(name, target) for name, target, _ in ears.statuses} == expected


# What does not go well.


def test_nothing_is_heard_of_a_connection_that_was_refused(
    make: Make, run: Run, ears: Ears
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

        async def steps() -> None:
            async with make() as client:
                await client.send("POST", f"http://127.0.0.1:{port}/echo", BODY)

        with pytest.raises(NOT_CONNECTED):
            run(steps)

    assert ears.sends == []
    assert ears.statuses == []


def test_a_server_that_hangs_up_was_sent_to_and_said_nothing(
    make: Make, run: Run, ears: Ears, server: ByteServer
) -> None:
    async def steps() -> None:
        async with make() as client:
            await client.send("POST", f"{server.url}/hang-up", BODY)

    with pytest.raises(HUNG_UP):
        run(steps)

    sent_once(ears, target_of("/hang-up"))
    assert ears.statuses == []


@pytest.mark.parametrize("method", ["is_awaiting_send", "on_send", "on_status"])
def test_a_watcher_that_fails_does_not_fail_the_request(
    make: Make,
    run: Run,
    ears: Ears,
    server: ByteServer,
    method: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ears.broken = {method}

    async def steps() -> list[tuple[int, Any]]:
        async with make() as client:
            return [await client.send("POST", f"{server.url}/echo", LARGE) for _ in range(2)]

    with caplog.at_level(logging.ERROR, logger="tallygate.proxy"):
        answers = run(steps)

    assert [(status, answer["bytes"]) for status, answer in answers] == [(200, len(LARGE))] * 2
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text


# What is left alone.


def test_a_request_without_an_attempt_is_not_touched(
    make: Make, run: Run, ears: Ears, server: ByteServer
) -> None:
    current.set(None)

    async def steps() -> tuple[int, Any]:
        async with make() as client:
            return await client.send("POST", f"{server.url}/status/429", BODY)

    assert run(steps)[0] == 429

    assert ears.sends == []
    assert ears.statuses == []


def test_a_trace_of_the_callers_own_is_left_to_the_caller(ears: Ears, server: ByteServer) -> None:
    traced: list[str] = []

    def trace(event: str, _info: object) -> None:
        traced.append(event)

    with httpx.Client(trust_env=False) as client:
        response = client.post(f"{server.url}/echo", content=BODY, extensions={"trace": trace})

    assert response.status_code == 200
    assert "http11.send_request_headers.started" in traced
    assert response.request.extensions["trace"] is trace
    assert ears.sends == []


# TLS and proxies.


@pytest.mark.parametrize(
    "bodies",
    [
        pytest.param((BODY, b"", BODY), id="small ones"),
        pytest.param((LARGE, LARGE), id="5 MB"),
        pytest.param((large_upload, large_upload), id="5 MB in parts"),
    ],
)
def test_sends_over_tls_are_heard_once_and_first_and_come_to_an_end(
    make: Make,
    run: Run,
    ears: Ears,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    bodies: tuple[Upload, ...],
) -> None:
    theirs, ours = contexts
    with served(theirs) as server:

        async def steps() -> list[int]:
            async with make(tls=ours) as client:
                answers = [await client.send("POST", f"{server.url}/echo", b) for b in bodies]
            return [answer["bytes"] for _, answer in answers]

        assert run(steps) == [len(LARGE) if callable(body) else len(body) for body in bodies]

        assert [target for _, target in ears.sends] == [target_of("/echo")] * len(bodies)
        assert [status for _, _, status in ears.statuses] == [200] * len(bodies)
        assert len({received.connection for received in server.received}) == 1
        for heard_ns, received in zip(ears.sent_ns, server.received, strict=True):
            assert heard_ns < received.first_byte_ns


def test_a_tunnel_through_a_proxy_is_no_send_and_its_status_no_answer(
    make: Make,
    run: Run,
    ears: Ears,
    server: ByteServer,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    theirs, ours = contexts
    with served(theirs) as provider:

        async def steps() -> tuple[int, Any]:
            async with make(tls=ours, proxy=server.url) as client:
                return await client.send("POST", f"{provider.url}/status/429", BODY)

        assert run(steps)[0] == 429

        assert server.received[0].method == "CONNECT"
        sent_once(ears, target_of("/status/429"))
        assert ears.statuses == [("attempt", target_of("/status/429"), 429)]
        assert ears.sent_ns[0] < provider.received[0].first_byte_ns


# What cannot be watched.


@pytest.mark.parametrize(
    ("owner", "attribute", "name"),
    [
        pytest.param(aiohttp.ClientRequest, "write_bytes", "aiohttp", id="aiohttp's writing"),
        pytest.param(aiohttp.ClientResponse, "start", "aiohttp", id="aiohttp's answer"),
        pytest.param(httpx, "HTTPTransport", "httpx", id="httpx's transport"),
        pytest.param(httpx2, "HTTPTransport", "httpx2", id="httpx2's transport"),
    ],
)
def test_a_client_that_has_changed_is_named_and_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, owner: Any, attribute: str, name: str
) -> None:
    monkeypatch.delattr(owner, attribute)
    before = dict(vars(owner))

    with sends_watched_by(Ears()) as missing:
        assert missing == (name,)
        assert dict(vars(owner)) == before
