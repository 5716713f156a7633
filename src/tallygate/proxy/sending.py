"""
The moment at which a request's bytes leave for a provider, and the status that comes back.

LiteLLM's `log_pre_api_call` fires some milliseconds before that, and a process that is killed in
between has opened an attempt that no provider ever saw. LiteLLM sends through aiohttp (its default)
or httpx, so both are watched at the point where the first byte is handed to the socket.

Errors  What cannot be watched is named by `watch_sends`; attempts are then opened earlier, by
        `log_pre_api_call`, and a kill may leave one too many as `unknown`, never one too few.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp
import httpx

_HTTPCORE_STARTS: Final = frozenset(
    {"http11.send_request_headers.started", "http2.send_request_headers.started"}
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes; the query stays out, because it may hold a key."""

    method: str
    host: str
    path: str


class Watcher(Protocol):
    """What the journal wants to hear. Neither method may raise or wait."""

    def is_awaiting_send(self) -> bool:
        """Whether a send in this context belongs to an attempt."""
        ...

    def on_send(self, target: Target) -> None: ...
    def on_status(self, target: Target, status: int) -> None: ...


def watch_sends(watcher: Watcher) -> tuple[str, ...]:
    """Watch both HTTP clients; returns the names of those that could not be."""
    missing = []
    for name, install in (("aiohttp", _watch_aiohttp), ("httpx", _watch_httpx)):
        try:
            install(watcher)
        except (AttributeError, TypeError):
            missing.append(name)
    return tuple(missing)


def _watch_aiohttp(watcher: Watcher) -> None:
    request: Any = aiohttp.ClientRequest
    response: Any = aiohttp.ClientResponse
    write_bytes, start = request.write_bytes, response.start

    async def watched_write_bytes(self: Any, writer: Any, conn: Any, *args: Any) -> None:
        if watcher.is_awaiting_send():
            target = Target(self.method, self.url.host or "", self.url.path)
            _before_first_byte(writer, conn, lambda: watcher.on_send(target))
        await write_bytes(self, writer, conn, *args)

    async def watched_start(self: Any, *args: Any) -> Any:
        started = await start(self, *args)
        if watcher.is_awaiting_send():
            target = Target(self.method, self.url.host or "", self.url.path)
            watcher.on_status(target, self.status)
        return started

    request.write_bytes = watched_write_bytes
    response.start = watched_start


def _before_first_byte(writer: Any, conn: Any, notify: Callable[[], None]) -> None:
    """
    Notify between the last Python line and the socket.

    aiohttp holds the headers back and writes them with the body in one go; uvloop collects writes
    until the end of its turn unless the buffer's limit is passed, so the limit is set to nothing.
    """
    with suppress(AttributeError, NotImplementedError):
        conn.protocol.transport.set_write_buffer_limits(high=0)
    write, write_lines = writer._write, writer._writelines  # noqa: SLF001 - the last stop

    def notified_write(chunk: Any) -> None:
        _let_go()
        notify()
        write(chunk)

    def notified_write_lines(chunks: Any) -> None:
        _let_go()
        notify()
        write_lines(chunks)

    def _let_go() -> None:
        del writer._write, writer._writelines  # noqa: SLF001 - the class's own again

    writer._write = notified_write  # noqa: SLF001 - as above
    writer._writelines = notified_write_lines  # noqa: SLF001 - as above


def _watch_httpx(watcher: Watcher) -> None:
    asynchronous: Any = httpx.AsyncHTTPTransport
    synchronous: Any = httpx.HTTPTransport
    send_async, send_sync = asynchronous.handle_async_request, synchronous.handle_request

    async def watched_async(self: Any, request: httpx.Request) -> httpx.Response:
        if not watcher.is_awaiting_send() or "trace" in request.extensions:
            response: httpx.Response = await send_async(self, request)
            return response
        target = _target(request)

        async def trace(event: str, _info: object) -> None:
            if event in _HTTPCORE_STARTS:
                watcher.on_send(target)

        request.extensions = {**request.extensions, "trace": trace}
        response = await send_async(self, request)
        watcher.on_status(target, response.status_code)
        return response

    def watched_sync(self: Any, request: httpx.Request) -> httpx.Response:
        if not watcher.is_awaiting_send() or "trace" in request.extensions:
            response: httpx.Response = send_sync(self, request)
            return response
        target = _target(request)

        def trace(event: str, _info: object) -> None:
            if event in _HTTPCORE_STARTS:
                watcher.on_send(target)

        request.extensions = {**request.extensions, "trace": trace}
        response = send_sync(self, request)
        watcher.on_status(target, response.status_code)
        return response

    asynchronous.handle_async_request = watched_async
    synchronous.handle_request = watched_sync


def _target(request: httpx.Request) -> Target:
    return Target(request.method, request.url.host, request.url.path)
