"""
Anthropic's message batches: create, get, list, results, cancel, delete.

A batch is `in_progress` until it was looked at `polls` times (two, if nothing is wished for) or
`takes` seconds have passed. Wishes for the batch stand in the header `x-standin`; those for one
message stand in its text, and one with an error status comes back `errored`. `ends=expired` leaves
the later half of the messages unanswered, a cancellation before the end leaves them all.
The book: creating generates nothing. Once the batch was seen to end, the creating call's record has
`records`, `parts` (one for each message), and in `billed` the sums of what was answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

import orjson

from tallygate.standin.answers import Asked, Counts, RequestUnacceptable, answer_for
from tallygate.standin.anthropic_wire import Anthropic, Messages
from tallygate.standin.book import CallRecord, Ending
from tallygate.standin.directives import DirectiveUnreadable, for_model, parse
from tallygate.standin.routing import Call, Provider, Request, Route
from tallygate.standin.shelf import Progress, Shelf, progress_for

_DAY_S = 86_400
_KINDS = ("succeeded", "errored", "canceled", "expired")
_LONGEST_CUSTOM_ID = 64
_WIRE = Messages()
_ANTHROPIC = Anthropic()


@dataclass(frozen=True, slots=True)
class _Result:
    """One message of a batch, as it came out."""

    custom_id: str
    body: Mapping[str, Any]
    counts: Counts | None = None

    def noted(self) -> dict[str, object]:
        message = self.body.get("message") or {}
        return {
            "custom_id": self.custom_id,
            "response_id": message.get("id", ""),
            "response_model": message.get("model", ""),
            "usage": message.get("usage"),
            "billed": None if self.counts is None else asdict(self.counts),
        }


@dataclass(slots=True, kw_only=True)
class _Batch:
    """One batch, from its making to its end."""

    batch_id: str
    path: str
    requests: list[Mapping[str, Any]]
    created_s: int
    progress: Progress
    ends: str
    record: CallRecord
    canceled_s: int | None = None
    ended_s: int | None = None
    results: list[_Result] = field(default_factory=list)

    def shown(self, origin: str) -> dict[str, Any]:
        counts = dict.fromkeys(_KINDS, 0)
        for result in self.results:
            counts[result.body["type"]] += 1
        url = f"{origin}{self.path}/{self.batch_id}/results"
        return {
            "id": self.batch_id,
            "type": "message_batch",
            "processing_status": self._status(),
            "request_counts": {"processing": len(self.requests) - len(self.results), **counts},
            "created_at": _written(self.created_s),
            "expires_at": _written(self.created_s + _DAY_S),
            "ended_at": _written(self.ended_s),
            "cancel_initiated_at": _written(self.canceled_s),
            "archived_at": None,
            "results_url": url if self.ended_s is not None else None,
        }

    def look(self, now_s: int) -> None:
        if self.ended_s is None and (self.canceled_s is not None or self.progress.look(now_s)):
            self._end(now_s)

    def _status(self) -> str:
        if self.ended_s is not None:
            return "ended"
        return "in_progress" if self.canceled_s is None else "canceling"

    def _end(self, now_s: int) -> None:
        done, left = len(self.requests), ""
        if self.canceled_s is not None:
            done, left = 0, "canceled"
        elif self.ends == "expired":
            done, left = (done + 1) // 2, "expired"
        self.results = [_answered(request, now_s) for request in self.requests[:done]]
        self.results += [_Result(_id_of(r), {"type": left}) for r in self.requests[done:]]
        self.ended_s = now_s
        self.record.records = len(self.results)
        self.record.parts = [result.noted() for result in self.results]
        self.record.billed = _sum(self.results)
        models = (part["response_model"] for part in self.record.parts)
        self.record.response_model = str(next((model for model in models if model), ""))


@dataclass(frozen=True, slots=True)
class MessageBatches:
    """All batches of messages."""

    shelf: Shelf[_Batch] = field(default_factory=lambda: Shelf("message batch"))

    def table(self, anthropic: Provider) -> Iterator[Route]:
        """List the routes for batches."""
        every = "/v1/messages/batches"
        one = f"{every}/{{batch_id}}"
        for method, pattern, answer in (
            ("POST", every, self._create),
            ("GET", every, self._list),
            ("GET", one, self._get),
            ("DELETE", one, self._delete),
            ("POST", f"{one}/cancel", self._cancel),
            ("GET", f"{one}/results", self._results),
        ):
            yield Route(
                method=method,
                pattern=pattern,
                provider=anthropic,
                operation="batches",
                answer=answer,
                read=_read,
                generates=False,
            )

    async def _create(self, call: Call) -> Ending:
        given = call.asked.extra.get("requests")
        requests = given if isinstance(given, list) else []
        if not requests or not all(isinstance(r, dict) and _id_of(r) for r in requests):
            raise RequestUnacceptable("requests: each needs a custom_id and params")
        batch = _Batch(
            batch_id=f"msgbatch_01{token_hex(11)}",
            path=call.request.path,
            requests=requests,
            created_s=call.created_s,
            progress=progress_for(call.wishes, call.created_s),
            ends=call.wishes.ends,
            record=call.record,
        )
        self.shelf.put(batch.batch_id, batch)
        call.record.response_id = batch.batch_id
        return await call.json(batch.shown(_origin(call)))

    async def _list(self, call: Call) -> Ending:
        data = [batch.shown(_origin(call)) for batch in self.shelf.newest_first()]
        ids = [entry["id"] for entry in data]
        ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
        return await call.json({"data": data, "has_more": False, **ends})

    async def _get(self, call: Call) -> Ending:
        batch = self._named(call)
        batch.look(call.created_s)
        return await call.json(batch.shown(_origin(call)))

    async def _cancel(self, call: Call) -> Ending:
        batch = self._named(call)
        if batch.ended_s is None:
            batch.canceled_s = call.created_s
        return await call.json(batch.shown(_origin(call)))

    async def _delete(self, call: Call) -> Ending:
        batch = self._named(call)
        if batch.ended_s is None:
            raise RequestUnacceptable("A batch that is still processing cannot be deleted.")
        self.shelf.remove(batch.batch_id)
        return await call.json({"id": batch.batch_id, "type": "message_batch_deleted"})

    async def _results(self, call: Call) -> Ending:
        batch = self._named(call)
        if batch.ended_s is None:
            raise RequestUnacceptable("The batch has no results yet.", status=404)
        lines = (
            orjson.dumps({"custom_id": result.custom_id, "result": result.body}) + b"\n"
            for result in batch.results
        )
        return await call.body(b"".join(lines), "application/x-jsonl")

    def _named(self, call: Call) -> _Batch:
        batch = self.shelf.get(call.request.params["batch_id"])
        call.record.response_id = batch.batch_id
        return batch


def _read(request: Request) -> Asked:
    """Leave the wishes in the messages to the messages."""
    return Asked(model="", extra=request.json() if request.raw else {})


def _answered(request: Mapping[str, Any], now_s: int) -> _Result:
    custom_id = _id_of(request)
    try:
        asked = _WIRE.read(request["params"])
        wishes = for_model(parse(asked.directive_text), asked.model)
    except (RequestUnacceptable, DirectiveUnreadable) as refused:
        return _errored(custom_id, 400, str(refused))
    if wishes.status is not None:
        return _errored(custom_id, wishes.status)
    answer = answer_for(asked, wishes, _WIRE, now_s)
    body = {"type": "succeeded", "message": _WIRE.whole(answer)}
    return _Result(custom_id, body, answer.counts)


def _errored(custom_id: str, status: int, message: str = "") -> _Result:
    error = _ANTHROPIC.error_body(status, _ANTHROPIC.new_request_id(), message)
    return _Result(custom_id, {"type": "errored", "error": error})


def _id_of(request: Mapping[str, Any]) -> str:
    if not isinstance(request.get("params"), dict):
        return ""
    return str(request.get("custom_id") or "")[:_LONGEST_CUSTOM_ID]


def _sum(results: list[_Result]) -> dict[str, float]:
    total: dict[str, float] = dict.fromkeys(asdict(Counts(input=0, output=0)), 0)
    for result in results:
        if result.counts is not None:
            for name, count in asdict(result.counts).items():
                total[name] += count
    return total


def _origin(call: Call) -> str:
    return f"http://{call.request.headers.get(b'host', b'').decode('latin-1')}"


def _written(moment_s: int | None) -> str | None:
    if moment_s is None:
        return None
    return datetime.fromtimestamp(moment_s, UTC).isoformat().replace("+00:00", "Z")
