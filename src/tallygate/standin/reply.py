"""One answer on its way out, with the faults that were asked for; the book gets what was sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tallygate.standin.answers import Frame
from tallygate.standin.asgi import Headers, Send, send_json, send_part, start
from tallygate.standin.book import CallRecord, Ending
from tallygate.standin.directives import Directives
from tallygate.standin.faults import Departure

Frames = Iterable[Frame]
_JSON = b"application/json"


class Answering(Protocol):
    """A provider, as far as a reply needs it."""

    def new_request_id(self) -> str: ...
    def headers(self, request_id: str) -> Headers: ...
    def error_body(
        self, status: int, request_id: str, message: str = "", param: str | None = None
    ) -> dict[str, Any]: ...
    def error_frame(self, request_id: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """Whatever it sends, it also writes into the record."""

    send: Send
    record: CallRecord
    provider: Answering
    request_id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "request_id", self.provider.new_request_id())
        self.record.provider_request_id = self.request_id

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

    async def whole(
        self,
        data: bytes,
        wishes: Directives,
        content_type: bytes = _JSON,
        usage: Mapping[str, Any] | None = None,
    ) -> Ending:
        self.record.status = 200
        faulty = wishes.cut is not None or wishes.malformed
        sent = data[: len(data) // 2] if faulty else data
        promised = len(sent) if wishes.malformed else len(data)
        headers: Headers = [
            (b"content-type", content_type),
            (b"content-length", str(promised).encode()),
            *self.provider.headers(self.request_id),
        ]
        await start(self.send, 200, headers)
        await send_part(self.send, sent, more=promised > len(sent))
        if faulty:
            return Ending.MALFORMED if wishes.malformed else Ending.CUT
        self.record.usage = usage
        return Ending.COMPLETE

    async def stream(
        self, frames: Frames, wishes: Directives, departure: Departure, content_type: bytes
    ) -> Ending:
        self.record.status = 200
        kind = (b"content-type", content_type)
        await start(self.send, 200, [kind, *self.provider.headers(self.request_id)])
        for frame in frames:
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
