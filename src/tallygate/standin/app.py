"""
The stand-in as an ASGI application: routes, keys, faults, the book.

A call is in the book before its body is read. Every path but `/standin/…` is a provider call.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs

import orjson

from tallygate.standin.answers import Answer, Asked, RequestUnacceptable, Wire, answer_for
from tallygate.standin.anthropic_wire import Anthropic, CountTokens, Messages
from tallygate.standin.asgi import (
    JSON,
    ClientGone,
    Headers,
    Receive,
    Scope,
    Send,
    read_body,
    send_json,
    send_part,
    start,
)
from tallygate.standin.book import Book, CallRecord, Ending
from tallygate.standin.directives import Directives, DirectiveUnreadable, for_model, parse
from tallygate.standin.faults import Departure, Tries
from tallygate.standin.openai_wire import ChatCompletions, Embeddings, OpenAI
from tallygate.standin.responses_wire import Responses, stream_error

_SSE = (b"content-type", b"text/event-stream; charset=utf-8")
_NOT_JSON = "We could not parse the JSON body of your request."


class Provider(Protocol):
    """What all routes of one provider share."""

    def new_request_id(self) -> str: ...
    def headers(self, request_id: str) -> Headers: ...
    def models(self, created_s: int) -> dict[str, Any]: ...
    def error_body(
        self, status: int, request_id: str, message: str = "", param: str | None = None
    ) -> dict[str, Any]: ...
    def error_frame(self, request_id: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes."""

    provider: Provider
    wire: Wire


_OPENAI = OpenAI()
_ANTHROPIC = Anthropic()
_ROUTES: Mapping[str, Route] = {
    "/v1/chat/completions": Route(_OPENAI, ChatCompletions()),
    "/v1/embeddings": Route(_OPENAI, Embeddings()),
    "/v1/responses": Route(OpenAI(stream_error), Responses()),
    "/v1/messages": Route(_ANTHROPIC, Messages()),
    "/v1/messages/count_tokens": Route(_ANTHROPIC, CountTokens()),
}


@dataclass(slots=True)
class StandIn:
    """The application; `book` and `tries` are all that it remembers."""

    clock_ns: Callable[[], int] = time.time_ns
    book: Book = field(init=False)
    tries: Tries = field(default_factory=Tries)

    def __post_init__(self) -> None:
        self.book = Book(clock_ns=self.clock_ns)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", scope["type"]
        if scope["path"].startswith("/standin/"):
            await self._answer_about_itself(scope, send)
            return
        record = self.book.open(scope["method"], scope["path"], scope["headers"])
        ended = Ending.CLIENT_GONE
        try:
            ended = await self._answer(scope, receive, send, record)
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
        self, scope: Scope, receive: Receive, send: Send, record: CallRecord
    ) -> Ending:
        headers = {name.lower(): value for name, value in scope["headers"]}
        route = _ROUTES.get(record.path) if record.method == "POST" else None
        speaks_anthropic = b"anthropic-version" in headers
        if route is None:
            provider: Provider = _ANTHROPIC if speaks_anthropic else _OPENAI
        else:
            provider = route.provider
        reply = Reply(send=send, record=record, provider=provider)
        if not _has_key(headers):
            return await reply.error(401)
        if route is None:
            return await self._answer_unrouted(reply)
        if provider is _ANTHROPIC and not speaks_anthropic:
            return await reply.error(400, "anthropic-version: header is required")
        try:
            asked, wishes = _understand(await read_body(receive), headers, route.wire)
        except (RequestUnacceptable, DirectiveUnreadable) as refused:
            return await reply.error(400, str(refused), getattr(refused, "param", None))
        record.model, record.stream = asked.model, asked.stream
        with Departure(receive) as departure:
            return await self._generate(asked, wishes, reply, route.wire, departure)

    async def _generate(
        self, asked: Asked, wishes: Directives, reply: Reply, wire: Wire, departure: Departure
    ) -> Ending:
        if wishes.delay and await departure.within(wishes.delay):
            return Ending.CLIENT_GONE
        same = hashlib.sha256(f"{reply.record.path}\n{asked.directive_text}".encode()).hexdigest()
        status = self.tries.status_for(wishes, same)
        if status is not None:
            return await reply.error(status, retry_after=wishes.retry_after)
        answer = answer_for(asked, wishes, wire, self.clock_ns() // 10**9)
        reply.note(answer)
        if asked.stream:
            return await reply.stream(answer, wishes, wire, departure)
        return await reply.whole(answer, wishes, wire)

    async def _answer_unrouted(self, reply: Reply) -> Ending:
        method, path = reply.record.method, reply.record.path
        if (method, path) != ("GET", "/v1/models"):
            return await reply.error(404, f"Invalid URL ({method} {path})")
        return await reply.json(reply.provider.models(self.clock_ns() // 10**9))


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer on its way out; whatever it sends, it also writes into the record."""

    send: Send
    record: CallRecord
    provider: Provider
    request_id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "request_id", self.provider.new_request_id())
        self.record.provider_request_id = self.request_id

    def note(self, answer: Answer) -> None:
        self.record.response_id = answer.response_id
        self.record.response_model = answer.model
        self.record.service_tier = answer.tier
        if self.record.path != "/v1/messages/count_tokens":
            self.record.billed = asdict(answer.counts)

    async def error(
        self, status: int, message: str = "", param: str | None = None, retry_after: str = ""
    ) -> Ending:
        self.record.status = status
        headers = self.provider.headers(self.request_id)
        if retry_after:
            headers.append((b"retry-after", retry_after.encode("latin-1", "replace")))
        body = self.provider.error_body(status, self.request_id, message, param)
        await send_json(self.send, status, body, headers)
        return Ending.ERROR

    async def json(self, body: dict[str, Any]) -> Ending:
        self.record.status = 200
        await send_json(self.send, 200, body, self.provider.headers(self.request_id))
        return Ending.COMPLETE

    async def whole(self, answer: Answer, wishes: Directives, wire: Wire) -> Ending:
        body = wire.whole(answer)
        if wishes.cut is None and not wishes.malformed:
            ended = await self.json(body)
            self.record.usage = body.get("usage")
            return ended
        data = orjson.dumps(body)
        half = data[: len(data) // 2]
        promised = len(half) if wishes.malformed else len(data)
        self.record.status = 200
        length = (b"content-length", str(promised).encode())
        await start(self.send, 200, [JSON, length, *self.provider.headers(self.request_id)])
        await send_part(self.send, half, more=not wishes.malformed)
        return Ending.MALFORMED if wishes.malformed else Ending.CUT

    async def stream(
        self, answer: Answer, wishes: Directives, wire: Wire, departure: Departure
    ) -> Ending:
        self.record.status = 200
        await start(self.send, 200, [_SSE, *self.provider.headers(self.request_id)])
        for frame in wire.frames(answer):
            if frame.is_chunk:
                fault = await self._fault_before_chunk(wishes)
                if fault is not None:
                    return fault
                if await self._is_gone(wishes.interval, departure):
                    return Ending.CLIENT_GONE
            await send_part(self.send, frame.data, more=True)
            self.record.chunks_sent += frame.is_chunk
            if frame.usage is not None:
                self.record.usage = frame.usage
        await send_part(self.send, b"", more=False)
        return Ending.COMPLETE

    async def _fault_before_chunk(self, wishes: Directives) -> Ending | None:
        sent = self.record.chunks_sent
        if wishes.cut == sent:
            return Ending.CUT
        if wishes.error_after == sent:
            await send_part(self.send, self.provider.error_frame(self.request_id), more=False)
            return Ending.ERROR
        if wishes.malformed and sent == 1:
            await send_part(self.send, b'data: {"id": "cut in the mid\n\n', more=False)
            return Ending.MALFORMED
        return None

    async def _is_gone(self, interval: float, departure: Departure) -> bool:
        sent = self.record.chunks_sent
        if interval:
            return sent > 0 and await departure.within(interval)
        return sent % 16 == 15 and await departure.within(0)


def _has_key(headers: Mapping[bytes, bytes]) -> bool:
    bearer = headers.get(b"authorization", b"")
    return bool(headers.get(b"x-api-key")) or (bearer[:7] == b"Bearer " and len(bearer) > 7)


def _understand(raw: bytes, headers: Mapping[bytes, bytes], wire: Wire) -> tuple[Asked, Directives]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise RequestUnacceptable(_NOT_JSON) from None
    if not isinstance(body, dict):
        raise RequestUnacceptable(_NOT_JSON)
    asked = wire.read(body)
    header = headers.get(b"x-standin", b"").decode("latin-1")
    return asked, for_model(parse(asked.directive_text, header), asked.model)
