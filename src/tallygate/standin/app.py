"""
The stand-in as an ASGI application: keys, faults, the book; the routes stand in tables.

A call is in the book before its body is read. Every path but `/standin/…` is a provider call.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, parse_qsl

from tallygate.standin.answers import Asked, RequestUnacceptable
from tallygate.standin.anthropic_wire import Anthropic
from tallygate.standin.asgi import ClientGone, Message, Receive, Scope, Send, read_body, send_json
from tallygate.standin.book import Book, CallRecord, Ending
from tallygate.standin.directives import Directives, DirectiveUnreadable, for_model, parse
from tallygate.standin.faults import Departure, Tries
from tallygate.standin.openai_wire import OpenAI
from tallygate.standin.reply import Reply
from tallygate.standin.routing import SOCKET, Call, Provider, Request, Route, Routes, Table, World
from tallygate.standin.tables import TABLES

_KEY_HEADERS = (b"x-api-key", b"api-key", b"x-goog-api-key")


@dataclass(slots=True)
class StandIn:
    """The application; `book`, `tries` and what the tables keep are all that it remembers."""

    clock_ns: Callable[[], int] = time.time_ns
    tables: Iterable[Table] = TABLES
    book: Book = field(init=False)
    tries: Tries = field(default_factory=Tries)
    _routes: Routes = field(default_factory=Routes)

    def __post_init__(self) -> None:
        self.book = Book(clock_ns=self.clock_ns)
        world = World(clock_ns=self.clock_ns)
        for table in self.tables:
            self._routes.add(table(world))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: str = SOCKET if scope["type"] == "websocket" else scope["method"]
        if method != SOCKET and scope["path"].startswith("/standin/"):
            await self._answer_about_itself(scope, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        found = self._routes.find(method, scope["path"], headers)
        route = found[0] if found else None
        record = self.book.open(
            method,
            scope["path"],
            scope["headers"],
            operation=route.operation if route else "",
            generates=route.generates if route else method == "POST",
        )
        ended = Ending.CLIENT_GONE
        try:
            if method == SOCKET:
                await receive()  # the wish to connect
            if found is None:
                answer = _in_handshake(send) if method == SOCKET else send
                ended = await _refuse_unrouted(answer, record, headers)
            else:
                ended = await self._answer(scope, receive, send, record, found)
        except ClientGone:
            pass
        finally:
            self.book.close(record, ended)

    async def _answer_about_itself(self, scope: Scope, send: Send) -> None:
        match scope["method"], scope["path"]:
            case "GET", "/standin/calls":
                query = parse_qs(scope["query_string"].decode("latin-1"))
                after = query.get("after", ["0"])[-1]
                calls = self.book.calls(int(after) if after.isdecimal() else 0)
                await send_json(send, 200, calls)
            case "DELETE", "/standin/calls":
                self.book.forget()
                await send_json(send, 200, self.book.count())
            case "GET", "/standin/count":
                await send_json(send, 200, self.book.count())
            case "GET", "/standin/health":
                await send_json(send, 200, {"status": "ok"})
            case method, path:
                await send_json(send, 404, {"error": f"the stand-in has no {method} {path}"})

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        record: CallRecord,
        found: tuple[Route, dict[str, str]],
    ) -> Ending:
        route, params = found
        headers = {name.lower(): value for name, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        is_socket = route.method == SOCKET
        answer = _in_handshake(send) if is_socket else send
        reply = Reply(send=answer, record=record, provider=route.provider)
        if route.needs_key and not _has_key(headers, query):
            return await reply.error(401)
        if route.needs_header and route.needs_header not in headers:
            return await reply.error(400, f"{route.needs_header.decode()}: header is required")
        request = Request(
            path=scope["path"],
            params=params,
            query=query,
            headers=headers,
            raw=b"" if is_socket else await read_body(receive),
        )
        try:
            asked, wishes = _understand(request, route)
            record.model, record.stream = asked.model, asked.stream
            record.request_metadata = asked.request_metadata
            if asked.operation:
                self.book.reclassify(record, asked.operation)
            with Departure(receive, is_socket=is_socket) as departure:
                if wishes.delay and await departure.within(wishes.delay):
                    return Ending.CLIENT_GONE
                status = self._status(request, asked, wishes)
                if status is not None:
                    return await reply.error(status, retry_after=wishes.retry_after)
                call = Call(
                    request=request,
                    asked=asked,
                    wishes=wishes,
                    reply=reply,
                    departure=departure,
                    created_s=self.clock_ns() // 10**9,
                    receive=receive,
                    send=send,
                )
                return await route.answer(call)
        except (RequestUnacceptable, DirectiveUnreadable) as refused:
            status = getattr(refused, "status", 400)
            return await reply.error(status, str(refused), getattr(refused, "param", None))

    def _status(self, request: Request, asked: Asked, wishes: Directives) -> int | None:
        same = hashlib.sha256(f"{request.path}\n{asked.directive_text}".encode()).hexdigest()
        return self.tries.status_for(wishes, same)


def _in_handshake(send: Send) -> Send:
    """Answer the handshake of a socket with a plain response, as ASGI's extension has it."""

    async def send_instead(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return send_instead


async def _refuse_unrouted(
    send: Send, record: CallRecord, headers: Mapping[bytes, bytes]
) -> Ending:
    provider: Provider = Anthropic() if b"anthropic-version" in headers else OpenAI()
    reply = Reply(send=send, record=record, provider=provider)
    if not _has_key(headers, {}):
        return await reply.error(401)
    return await reply.error(404, f"Invalid URL ({record.method} {record.path})")


def _has_key(headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> bool:
    """Any credential that a provider takes: a key, a bearer token, an AWS signature."""
    given = headers.get(b"authorization", b"")
    signed = given.startswith((b"Bearer ", b"AWS4-HMAC-SHA256 ")) and given.index(b" ") + 1 < len(
        given
    )
    return signed or any(headers.get(name) for name in _KEY_HEADERS) or bool(query.get("key"))


def _understand(request: Request, route: Route) -> tuple[Asked, Directives]:
    asked = route.read(request)
    header = request.headers.get(b"x-standin", b"").decode("latin-1")
    return asked, for_model(parse(asked.directive_text, header), asked.model)
