"""
OpenAI's responses that are kept: in the background, got again, cancelled, deleted, counted.

A response with `background` is `queued` when made, `in_progress` when first looked at, and over
after `polls` looks (two, if nothing is wished for) or `takes` seconds. `ends=failed` and
`ends=cancelled` end it badly. Like a cancelled one it is then billed nothing.
The book: usage and `billed` stand in the creating call's record, once the response was seen to end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tallygate.standin.answers import Answer, RequestUnacceptable, answer_for
from tallygate.standin.book import CallRecord, Ending
from tallygate.standin.generation import Generation
from tallygate.standin.responses_wire import Responses, started
from tallygate.standin.routing import Call, Provider, Route
from tallygate.standin.shelf import Progress, Shelf, progress_for


@dataclass(slots=True, kw_only=True)
class Kept:
    """A response, and how far it is."""

    body: dict[str, Any]
    answer: Answer
    record: CallRecord
    progress: Progress | None = None
    """None for one that was not made in the background."""
    ends: str = ""


@dataclass(frozen=True, slots=True)
class KeptResponses:
    """All responses whose caller did not say `store: false`."""

    shelf: Shelf[Kept] = field(default_factory=lambda: Shelf("response"))
    wire: Responses = field(default_factory=Responses)

    def table(self, openai: Provider) -> Iterator[Route]:
        """List the routes for responses."""
        yield Route(
            method="POST",
            pattern="/v1/responses",
            provider=openai,
            operation="responses",
            answer=self._create,
            read=Generation(wire=self.wire).read,
        )
        one = "/v1/responses/{response_id}"
        for method, pattern, answer in (
            ("GET", one, self._get),
            ("DELETE", one, self._delete),
            ("POST", f"{one}/cancel", self._cancel),
        ):
            yield Route(
                method=method,
                pattern=pattern,
                provider=openai,
                operation="responses",
                answer=answer,
                generates=False,
            )
        yield Route(
            method="POST",
            pattern="/v1/responses/input_tokens",
            provider=openai,
            operation="count_tokens",
            answer=_count,
            read=Generation(wire=self.wire).read,
            generates=False,
        )

    async def _create(self, call: Call) -> Ending:
        answer = answer_for(call.asked, call.wishes, self.wire, call.created_s)
        record, extra = call.record, call.asked.extra
        record.response_id = answer.response_id
        record.response_model = answer.model
        record.service_tier = answer.tier
        kept = Kept(body=self.wire.whole(answer), answer=answer, record=record)
        if extra["store"] or extra["background"]:
            self.shelf.put(answer.response_id, kept)
        if extra["background"] and not call.asked.stream:
            kept.body = {**started(answer), "status": "queued"}
            kept.progress = progress_for(call.wishes, call.created_s)
            kept.ends = call.wishes.ends
            return await call.json(kept.body)
        record.billed = asdict(answer.counts)
        if call.asked.stream:
            return await call.stream(self.wire.frames(answer))
        return await call.json(kept.body, kept.body.get("usage"))

    async def _get(self, call: Call) -> Ending:
        kept = self._named(call)
        if kept.progress is not None and kept.body["status"] in {"queued", "in_progress"}:
            self._move(kept, kept.progress.look(call.created_s))
        return await call.json(kept.body)

    async def _cancel(self, call: Call) -> Ending:
        kept = self._named(call)
        if kept.progress is None:
            raise RequestUnacceptable("Cannot cancel a synchronous response.")
        if kept.body["status"] in {"queued", "in_progress"}:
            kept.body = {**kept.body, "status": "cancelled"}
        return await call.json(kept.body)

    async def _delete(self, call: Call) -> Ending:
        response_id = self._named(call).answer.response_id
        self.shelf.remove(response_id)
        return await call.json({"id": response_id, "object": "response", "deleted": True})

    def _named(self, call: Call) -> Kept:
        kept = self.shelf.get(call.request.params["response_id"])
        call.record.response_id = kept.answer.response_id
        return kept

    def _move(self, kept: Kept, is_over: bool) -> None:  # noqa: FBT001  # what the look has shown
        if not is_over:
            kept.body = {**kept.body, "status": "in_progress"}
        elif kept.ends:
            status = "cancelled" if kept.ends == "cancelled" else "failed"
            kept.body = {**kept.body, "status": status}
            if status == "failed":
                kept.body["error"] = {"code": "server_error", "message": "It failed on demand."}
        else:
            kept.body = self.wire.whole(kept.answer)
            kept.record.billed = asdict(kept.answer.counts)
            usage: Mapping[str, object] | None = kept.body.get("usage")
            kept.record.usage = usage


async def _count(call: Call) -> Ending:
    told = call.wishes.input
    tokens = call.asked.input_tokens if told is None else told
    return await call.json({"object": "response.input_tokens", "input_tokens": tokens})
