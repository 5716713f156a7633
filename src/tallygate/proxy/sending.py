"""
The moment at which a request's bytes leave for a provider, and the status that comes back.

LiteLLM's `log_pre_api_call` fires some milliseconds before that, and a process that is killed in
between has opened an attempt that no provider ever saw. LiteLLM sends through aiohttp,
httpx or httpx2, so all are watched at the point where the first byte is handed to the socket.

Errors  What cannot be watched is named by `watch_sends`; attempts are then opened earlier, by
        `log_pre_api_call`, and a kill may leave one too many as `unknown`, never one too few.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Protocol

import aiohttp
import httpx

log = logging.getLogger("tallygate.proxy")

_HTTPCORE_STARTS: Final = frozenset(
    {"http11.send_request_headers.started", "http2.send_request_headers.started"}
)

_TUNNEL: Final = "CONNECT"
"""What a proxy is asked before a request can go through it; no provider sees it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes; the query stays out, because it may hold a key."""

    method: str
    host: str
    path: str


class Watcher(Protocol):
    """What the journal wants to hear. No method may wait; what one raises ends here."""

    def is_awaiting_send(self, target: Target) -> bool:
        """Whether a send in this context goes to a provider."""
        ...

    def on_send(self, target: Target) -> None: ...
    def on_status(self, target: Target, status: int, headers: Mapping[str, str]) -> None:
        """Take the status line and headers of the answer; the names may be in any case."""
        ...


def watch_sends(watcher: Watcher) -> tuple[str, ...]:
    """Watch the HTTP clients; returns the names of those that could not be."""
    missing, guarded = [], _Guarded(watcher)
    clients = (("aiohttp", _watch_aiohttp), ("httpx", _watch_httpx), ("httpx2", _watch_httpx2))
    for name, install in clients:
        try:
            install(guarded)
        except (AttributeError, TypeError):
            missing.append(name)
    return tuple(missing)


class _Guarded:
    """A watcher whose own failure stays out of the request that it was to account for."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def is_awaiting_send(self, target: Target) -> bool:
        try:
            return self._watcher.is_awaiting_send(target)
        except Exception as error:  # noqa: BLE001 - accounting may not fail the request
            _report("is_awaiting_send", error)
            return False

    def on_send(self, target: Target) -> None:
        try:
            self._watcher.on_send(target)
        except Exception as error:  # noqa: BLE001 - as above
            _report("on_send", error)

    def on_status(self, target: Target, status: int, headers: Mapping[str, str]) -> None:
        try:
            self._watcher.on_status(target, status, headers)
        except Exception as error:  # noqa: BLE001 - as above
            _report("on_status", error)


def _report(method: str, error: Exception) -> None:
    log.error("send_not_noted method=%s error=%s", method, type(error).__name__)


def _watch_aiohttp(watcher: Watcher) -> None:
    request: Any = aiohttp.ClientRequest
    response: Any = aiohttp.ClientResponse
    send, write_bytes, start = request.send, request.write_bytes, response.start

    def is_watched(message: Any) -> bool:
        return message.method != _TUNNEL and watcher.is_awaiting_send(_aiohttp_target(message))

    async def watched_send(self: Any, *args: Any) -> Any:
        if not self.body and is_watched(self):  # written at once, not by `write_bytes`
            watcher.on_send(_aiohttp_target(self))
        return await send(self, *args)

    async def watched_write_bytes(self: Any, writer: Any, conn: Any, *args: Any) -> None:
        if self.body and is_watched(self):
            target = _aiohttp_target(self)
            _before_first_byte(writer, conn, lambda: watcher.on_send(target))
        await write_bytes(self, writer, conn, *args)

    async def watched_start(self: Any, *args: Any) -> Any:
        started = await start(self, *args)
        if is_watched(self):
            watcher.on_status(_aiohttp_target(self), self.status, self.headers)
        return started

    request.send = watched_send
    request.write_bytes = watched_write_bytes
    response.start = watched_start


def _aiohttp_target(message: Any) -> Target:
    return Target(message.method, message.url.host or "", message.url.path)


def _before_first_byte(writer: Any, conn: Any, notify: Callable[[], None]) -> None:
    """
    Notify between the last Python line and the socket.

    aiohttp holds the headers back and writes them with the body in one go; uvloop collects writes
    until the end of its turn unless the buffer's limit is passed, so the limit is set to a byte.
    Not to nothing: TLS then pauses whoever writes while its buffer is empty, and never wakes them.
    """
    with suppress(AttributeError, NotImplementedError):
        conn.protocol.transport.set_write_buffer_limits(high=1)
    try:
        write, write_lines = writer._write, writer._writelines  # noqa: SLF001 - the last stop
    except AttributeError:  # another aiohttp: early is safe
        notify()
        return

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


def _watch_httpx(watcher: Watcher, client: Any = httpx) -> None:
    asynchronous: Any = client.AsyncHTTPTransport
    synchronous: Any = client.HTTPTransport
    send_async, send_sync = asynchronous.handle_async_request, synchronous.handle_request

    async def watched_async(self: Any, request: Any) -> Any:
        target, theirs = _target(request), request.extensions
        if "trace" in theirs or not watcher.is_awaiting_send(target):
            return await send_async(self, request)

        async def trace(event: str, info: Mapping[str, Any]) -> None:
            if _begins(event, info):
                watcher.on_send(target)

        request.extensions = {**theirs, "trace": trace}
        try:
            response = await send_async(self, request)
        finally:
            request.extensions = theirs  # what follows, such as a redirect, takes them over
        watcher.on_status(target, response.status_code, response.headers)
        return response

    def watched_sync(self: Any, request: Any) -> Any:
        target, theirs = _target(request), request.extensions
        if "trace" in theirs or not watcher.is_awaiting_send(target):
            return send_sync(self, request)

        def trace(event: str, info: Mapping[str, Any]) -> None:
            if _begins(event, info):
                watcher.on_send(target)

        request.extensions = {**theirs, "trace": trace}
        try:
            response = send_sync(self, request)
        finally:
            request.extensions = theirs  # what follows, such as a redirect, takes them over
        watcher.on_status(target, response.status_code, response.headers)
        return response

    asynchronous.handle_async_request = watched_async
    synchronous.handle_request = watched_sync


def _watch_httpx2(watcher: Watcher) -> None:
    """Watch the successor that MCP's client and newer provider clients use, where it is there."""
    if find_spec("httpx2") is not None:
        _watch_httpx(watcher, import_module("httpx2"))


def _begins(event: str, info: Mapping[str, Any]) -> bool:
    """Whether the request itself begins, not the `CONNECT` that opens a proxy's tunnel for it."""
    return (
        event in _HTTPCORE_STARTS
        and getattr(info.get("request"), "method", b"") != _TUNNEL.encode()
    )


def _target(request: Any) -> Target:
    return Target(request.method, request.url.host, request.url.path)
