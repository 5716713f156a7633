"""Routes that a `Wire` words: JSON in, an answer of words and counts out, whole or streamed."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tallygate.standin.answers import Asked, Wire, answer_for
from tallygate.standin.book import Ending
from tallygate.standin.routing import Call, Provider, Request, Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Reads and answers through a wire."""

    wire: Wire
    usage_field: str = "usage"
    billed: bool = True
    stream_type: str = "text/event-stream; charset=utf-8"

    def read(self, request: Request) -> Asked:
        """Let the path say what the body does not, such as a deployment's name."""
        return self.wire.read({**request.params, **request.json()})

    async def answer(self, call: Call) -> Ending:
        answer = answer_for(call.asked, call.wishes, self.wire, call.created_s)
        record = call.record
        record.response_id = answer.response_id
        record.response_model = answer.model
        record.service_tier = answer.tier
        if self.billed:
            record.billed = asdict(answer.counts)
        if call.asked.stream:
            return await call.stream(self.wire.frames(answer), self.stream_type)
        body = self.wire.whole(answer)
        return await call.json(body, body.get(self.usage_field))


def generation(  # noqa: PLR0913  # a route's own fields, each named by the caller
    pattern: str,
    wire: Wire,
    provider: Provider,
    operation: str,
    *,
    usage_field: str = "usage",
    generates: bool = True,
    needs_header: bytes = b"",
    stream_type: str = "text/event-stream; charset=utf-8",
) -> Route:
    """Make the route of a wire."""
    handler = Generation(
        wire=wire, usage_field=usage_field, billed=generates, stream_type=stream_type
    )
    return Route(
        method="POST",
        pattern=pattern,
        provider=provider,
        operation=operation,
        answer=handler.answer,
        read=handler.read,
        generates=generates,
        needs_header=needs_header,
    )
