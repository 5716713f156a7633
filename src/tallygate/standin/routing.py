"""
Routes in tables: which request goes to which handler, and what a handler is given.

A wire module contributes a table: a function that takes the `World` and returns its routes. A route
names the method (`WEBSOCKET` for a socket), the path's pattern, the provider, the operation that
stands in the book, and `answer`, which is handed a `Call`. The delay and the error status on demand
have been dealt with by then; `Call.json`, `.body` and `.stream` see to the faults in an answer.
Shapes: in a pattern `{name}` is text without a slash, `{name:path}` is any text.
    What `read_plainly` read stands in `call.asked.extra`: the fields of a JSON body or of a form
    (a file is a `Part`, fields given several times are a list), over the path's parameters.
    A directive may stand in any text of the body but a file's content, in a file's name, in the
    path, in the query, and in the header `x-standin`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from tallygate.standin.answers import Asked, RequestUnacceptable
from tallygate.standin.asgi import Headers, Receive, Send
from tallygate.standin.book import CallRecord, Ending
from tallygate.standin.directives import Directives, without_directives
from tallygate.standin.faults import Departure
from tallygate.standin.multipart import Part, fields_of_form
from tallygate.standin.reply import Frames, Reply

SOCKET = "WEBSOCKET"
_NOT_JSON = "We could not parse the JSON body of your request."
_PARAMETER = re.compile(r"\{(\w+)(:path)?\}")
_LONGEST_MODEL = 128


class Provider(Protocol):
    """What all routes of one provider share."""

    def new_request_id(self) -> str: ...
    def headers(self, request_id: str) -> Headers: ...
    def error_body(
        self, status: int, request_id: str, message: str = "", param: str | None = None
    ) -> dict[str, Any]: ...
    def error_frame(self, request_id: str) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that has been read."""

    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    """Names in lower case."""
    raw: bytes

    def json(self) -> dict[str, Any]:
        try:
            body = orjson.loads(self.raw)
        except orjson.JSONDecodeError:
            raise RequestUnacceptable(_NOT_JSON) from None
        if not isinstance(body, dict):
            raise RequestUnacceptable(_NOT_JSON)
        return body

    def fields(self) -> tuple[dict[str, Any], str]:
        """Read the body, whichever its type, and the text in which directives may stand."""
        kind = self.headers.get(b"content-type", b"").decode("latin-1")
        if kind.startswith("multipart/form-data"):
            fields, text = fields_of_form(self.raw, kind)
        elif self.raw:
            fields, text = self.json(), self.raw.decode("utf-8", "replace")
        else:
            fields, text = {}, ""
        return fields, " ".join((self.path, *self.query.values(), text))


def read_plainly(request: Request) -> Asked:
    """Read what every route has: a model, where there is one, and fields."""
    fields, text = request.fields()
    fields = {**request.params, **fields}
    model = fields.get("model") or request.query.get("model")
    return Asked(
        model=without_directives(model).strip()[:_LONGEST_MODEL] if isinstance(model, str) else "",
        stream=fields.get("stream") in {True, "true", "True"},
        directive_text=text,
        extra=fields,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One provider call, ready to be answered."""

    request: Request
    asked: Asked
    wishes: Directives
    reply: Reply
    departure: Departure
    created_s: int
    receive: Receive
    """A socket's messages; of any other call the body has been read."""
    send: Send

    @property
    def record(self) -> CallRecord:
        return self.reply.record

    def part(self, name: str) -> Part:
        """Give a form's file, or refuse."""
        given = self.asked.extra.get(name)
        given = given[0] if isinstance(given, list) and given else given
        if not isinstance(given, Part):
            raise RequestUnacceptable(f"Missing required parameter: '{name}'.", name)
        return given

    async def json(self, body: object, usage: Mapping[str, Any] | None = None) -> Ending:
        """Answer with JSON; `usage` goes to the book once the whole answer is out."""
        return await self.reply.whole(orjson.dumps(body), self.wishes, usage=usage)

    async def body(
        self, data: bytes, content_type: str, usage: Mapping[str, Any] | None = None
    ) -> Ending:
        """Answer with bytes of any type."""
        return await self.reply.whole(data, self.wishes, content_type.encode(), usage)

    async def stream(
        self, frames: Frames, content_type: str = "text/event-stream; charset=utf-8"
    ) -> Ending:
        """Answer with frames; the last `usage` among them goes to the book."""
        return await self.reply.stream(frames, self.wishes, self.departure, content_type.encode())

    async def refuse(self, status: int, message: str = "", param: str | None = None) -> Ending:
        """Answer with the provider's error."""
        return await self.reply.error(status, message, param)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a request goes, and what the book says of it."""

    method: str
    pattern: str
    provider: Provider
    operation: str
    """As in the book: `chat`, `embeddings`, `files`, …"""
    answer: Callable[[Call], Awaitable[Ending]]
    read: Callable[[Request], Asked] = read_plainly
    generates: bool = True
    """A call that could cost something."""
    needs_key: bool = True
    """False where hosts ask for no credential as a rule."""
    needs_header: bytes = b""
    """Without this header the answer is 400."""
    only_with: bytes = b""
    """Without this header the route is not meant, and the next one is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a table may build its handlers on; what they remember, they keep themselves."""

    clock_ns: Callable[[], int]

    def now_s(self) -> int:
        return self.clock_ns() // 10**9


Table = Callable[[World], Iterable[Route]]


@dataclass(slots=True)
class Routes:
    """All routes; one without parameters is found before one with, else the first wins."""

    _exact: dict[tuple[str, str], list[Route]] = field(default_factory=dict)
    _patterns: list[tuple[re.Pattern[str], Route]] = field(default_factory=list)

    def add(self, routes: Iterable[Route]) -> None:
        for route in routes:
            if "{" in route.pattern:
                self._patterns.append((_compiled(route.pattern), route))
            else:
                self._exact.setdefault((route.method, route.pattern), []).append(route)

    def find(
        self, method: str, path: str, headers: Mapping[bytes, bytes]
    ) -> tuple[Route, dict[str, str]] | None:
        for route in self._exact.get((method, path), ()):
            if not route.only_with or route.only_with in headers:
                return route, {}
        for pattern, route in self._patterns:
            if route.method == method and (not route.only_with or route.only_with in headers):
                found = pattern.fullmatch(path)
                if found is not None:
                    return route, found.groupdict()
        return None


def _compiled(pattern: str) -> re.Pattern[str]:
    written = ""
    end = 0
    for found in _PARAMETER.finditer(pattern):
        kind = ".+" if found[2] else "[^/]+"
        written += f"{re.escape(pattern[end : found.start()])}(?P<{found[1]}>{kind})"
        end = found.end()
    return re.compile(written + re.escape(pattern[end:]))
