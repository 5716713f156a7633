"""
OpenAI's realtime API: the socket `/v1/realtime?model=…`.

A directive for a turn stands in the newest user message or in the `instructions` of
`response.create`; the header `x-standin` of the handshake holds for every turn, but its `status`,
`fail` and `delay`, like those in the query, are for the handshake. Inside a turn `status` is an
`error` event in place of an answer, `cut=2` drops the connection after two words, `error_after=2`
fails the turn there, `malformed` sends half an event.
The book: a session is one record; `parts` has its turns, `usage` and `billed` their sums.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tallygate.standin.answers import RequestUnacceptable
from tallygate.standin.asgi import Receive, Send
from tallygate.standin.book import CallRecord, Ending
from tallygate.standin.directives import DirectiveUnreadable
from tallygate.standin.faults import Tries
from tallygate.standin.realtime_session import Event, Session, Turn
from tallygate.standin.routing import SOCKET, Call, Provider, Route

_HANDSHAKE_WISHES = ("status=", "fail=", "delay=", "key=", "retry_after=")


class Dropped(Exception):
    """The stand-in drops the connection; `ended` is how the book says it."""

    def __init__(self, ended: Ending) -> None:
        super().__init__(ended.value)
        self.ended = ended


def table(openai: Provider) -> Iterator[Route]:
    """List the routes for realtime sessions."""
    yield Route(
        method=SOCKET,
        pattern="/v1/realtime",
        provider=openai,
        operation="realtime",
        answer=_answer,
    )


async def _answer(call: Call) -> Ending:
    model = call.asked.model or call.request.query.get("deployment", "")
    if not model:
        raise RequestUnacceptable("You must provide a model parameter.", "model")
    headers = call.request.headers
    said = headers.get(b"x-standin", b"").decode("latin-1").split()
    session = Session(
        model=call.wishes.answers_as or model,
        header=" ".join(word for word in said if not word.startswith(_HANDSHAKE_WISHES)),
        is_beta=b"realtime=v1" in headers.get(b"openai-beta", b""),
    )
    record = call.record
    record.model = model
    record.stream = True
    record.status = 101
    record.response_id = session.session_id
    record.response_model = session.model
    offered = headers.get(b"sec-websocket-protocol", b"").decode("latin-1")
    accepted: dict[str, Any] = {
        "type": "websocket.accept",
        "headers": call.reply.provider.headers(call.reply.request_id),
    }
    if "realtime" in [name.strip() for name in offered.split(",")]:
        accepted["subprotocol"] = "realtime"
    await call.send(accepted)
    return await Conversation(session=session, record=record, send=call.send).hold(call.receive)


@dataclass(slots=True, kw_only=True)
class Conversation:
    """A session on its socket; it ends when the client leaves, or on demand."""

    session: Session
    record: CallRecord
    send: Send
    _tries: Tries = field(default_factory=Tries)

    async def hold(self, receive: Receive) -> Ending:
        try:
            await self._say([self.session.event("session.created", session=self.session.shown())])
            async for message in _messages(receive):
                await self._take(message)
        except Dropped as dropped:
            return dropped.ended
        except OSError:  # what the server raises for a client that left while it was spoken to
            return Ending.CLIENT_GONE
        return Ending.COMPLETE

    async def _take(self, raw: str) -> None:
        session = self.session
        try:
            message = orjson.loads(raw)
        except orjson.JSONDecodeError:
            message = None
        match message:
            case {"type": "session.update"}:
                await self._say([session.update(message.get("session"))])
            case {"type": "conversation.item.create"}:
                await self._say(session.take_item(message.get("item")))
            case {"type": "input_audio_buffer.append"}:
                refusal = session.append(message.get("audio"))
                await self._say([refusal] if refusal else [])
            case {"type": "input_audio_buffer.commit"}:
                await self._say(session.commit())
            case {"type": "input_audio_buffer.clear"}:
                session.sound = 0
                await self._say([session.event("input_audio_buffer.cleared")])
            case {"type": "response.create"}:
                await self._respond(message.get("response"))
            case {"type": "response.cancel"}:
                await self._say([session.error("Cancellation failed: no active response.")])
            case _:
                await self._say([session.error("The server does not know this event.")])

    async def _respond(self, asked: object) -> None:
        session = self.session
        try:
            turn = session.turn(asked)
        except DirectiveUnreadable as refused:
            await self._say([session.error(str(refused))])
            return
        wishes = turn.wishes
        await asyncio.sleep(wishes.delay)
        status = self._tries.status_for(wishes, session.newest_text)
        if status is not None:
            kind = "server_error" if status >= 500 else "invalid_request_error"
            await self._say([session.error(f"Refused on demand ({status}).", kind, str(status))])
            return
        ended, reported = Ending.CLIENT_GONE, False
        try:
            ended = await self._speak(turn)
            reported = ended is Ending.COMPLETE
        except Dropped as dropped:
            ended = dropped.ended
            raise
        finally:
            self._note(turn, ended, reported=reported)

    async def _speak(self, turn: Turn) -> Ending:
        session, wishes = self.session, turn.wishes
        await self._say(session.opening(turn))
        for said, events in enumerate(session.deltas(turn)):
            if wishes.cut == said:
                raise Dropped(Ending.CUT)
            if wishes.malformed and said == 1:
                await self.send({"type": "websocket.send", "text": '{"type": "response.'})
                raise Dropped(Ending.MALFORMED)
            if wishes.error_after == said:
                await self._say([session.failure(turn)])
                return Ending.ERROR
            if said:
                await asyncio.sleep(wishes.interval)
            await self._say(events)
            self.record.chunks_sent += 1
        await self._say(session.closing(turn))
        return Ending.COMPLETE

    async def _say(self, events: Iterable[Event]) -> None:
        for event in events:
            await self.send({"type": "websocket.send", "text": orjson.dumps(event).decode()})

    def _note(self, turn: Turn, ended: Ending, *, reported: bool) -> None:
        part = turn.part(ended.value, reported=reported)
        record = self.record
        record.parts.append(part)
        record.billed = _added(record.billed or {}, part["billed"])
        if part["usage"] is not None:
            record.usage = _added(record.usage or {}, part["usage"])


def _added(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Add counts, those inside details too; the shape is the session's own, two levels deep."""
    total = dict(first)
    for name, value in second.items():
        if isinstance(value, Mapping):
            total[name] = _added(total.get(name) or {}, value)
        else:
            total[name] = total.get(name, 0) + value
    return total


async def _messages(receive: Receive) -> AsyncIterator[str]:
    """Yield what the client says, until it leaves."""
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        yield text if text is not None else message.get("bytes", b"").decode("utf-8", "replace")
