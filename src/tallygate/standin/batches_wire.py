"""
OpenAI's batches: create, get, list, cancel; a batch gets on by being looked at.

A batch is `validating` when made, `in_progress` when first looked at, and over after `polls` looks
(two, if nothing is wished for) or after `takes` seconds; its directives stand in its `metadata` or
the header. `ends=failed` fails it whole; `ends=expired`, `ends=cancelled` and a cancellation while
it is in progress leave the later half of its records unanswered.
The book: creating generates nothing. Once the batch was seen to end, the creating call's record has
`records`, `parts` (one for each record), and in `usage` and `billed` the sums of what was answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from tallygate.standin.answers import RequestUnacceptable
from tallygate.standin.batch_records import (
    WIRES,
    Answered,
    LineUnreadable,
    answered,
    billed_sum,
    lines,
    records_of,
    unanswered,
)
from tallygate.standin.book import CallRecord, Ending
from tallygate.standin.files_wire import Files
from tallygate.standin.routing import Call, Provider, Route
from tallygate.standin.shelf import Progress, Shelf, page_of, progress_for

_DAY_S = 86_400
_MOMENTS = (
    "in_progress",
    "finalizing",
    "completed",
    "failed",
    "expired",
    "cancelling",
    "cancelled",
)
_OVER = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(slots=True, kw_only=True)
class Batch:
    """One batch, from its making to its end."""

    batch_id: str
    endpoint: str
    input_file_id: str
    window: str
    metadata: object
    created_s: int
    progress: Progress
    ends: str
    reports_usage: bool
    record: CallRecord
    status: str = "validating"
    model: str | None = None
    times: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(
        default_factory=lambda: {"total": 0, "completed": 0, "failed": 0}
    )
    errors: dict[str, Any] | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    usage: dict[str, Any] | None = None

    def become(self, status: str, now_s: int) -> None:
        self.status = status
        self.times[f"{status}_at"] = now_s

    def shown(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": self.batch_id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": self.errors,
            "input_file_id": self.input_file_id,
            "completion_window": self.window,
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": self.created_s,
            "expires_at": self.created_s + _DAY_S,
            **{f"{name}_at": self.times.get(f"{name}_at") for name in _MOMENTS},
            "request_counts": self.counts,
            "metadata": self.metadata,
        }
        if self.usage is not None:
            body["usage"] = self.usage
        return body


@dataclass(frozen=True, slots=True)
class Batches:
    """All batches, over the files that they read and write."""

    files: Files
    shelf: Shelf[Batch] = field(default_factory=lambda: Shelf("batch"))

    def table(self, openai: Provider) -> Iterator[Route]:
        """List the routes for batches."""
        for method, pattern, answer in (
            ("POST", "/v1/batches", self._create),
            ("GET", "/v1/batches", self._list),
            ("GET", "/v1/batches/{batch_id}", self._get),
            ("POST", "/v1/batches/{batch_id}/cancel", self._cancel),
        ):
            yield Route(
                method=method,
                pattern=pattern,
                provider=openai,
                operation="batches",
                answer=answer,
                generates=False,
            )

    async def _create(self, call: Call) -> Ending:
        fields = call.asked.extra
        endpoint = str(fields.get("endpoint"))
        if endpoint not in WIRES:
            known = ", ".join(WIRES)
            raise RequestUnacceptable(f"Invalid value: 'endpoint' is one of {known}.", "endpoint")
        batch = Batch(
            batch_id=f"batch_{token_hex(16)}",
            endpoint=endpoint,
            input_file_id=self.files.shelf.get(fields.get("input_file_id")).file_id,
            window=str(fields.get("completion_window") or "24h"),
            metadata=fields.get("metadata"),
            created_s=call.created_s,
            progress=progress_for(call.wishes, call.created_s),
            ends=call.wishes.ends,
            reports_usage=not call.wishes.no_usage,
            record=call.record,
        )
        self.shelf.put(batch.batch_id, batch)
        call.record.response_id = batch.batch_id
        return await call.json(batch.shown())

    async def _list(self, call: Call) -> Ending:
        return await call.json(page_of(self.shelf.newest_first(), call.request.query, Batch.shown))

    async def _get(self, call: Call) -> Ending:
        batch = self._named(call)
        if batch.status not in _OVER:
            self._move(batch, call.created_s)
        return await call.json(batch.shown())

    async def _cancel(self, call: Call) -> Ending:
        batch = self._named(call)
        if batch.status in _OVER:
            raise RequestUnacceptable(f"Cannot cancel a batch with status '{batch.status}'.")
        batch.become("cancelling", call.created_s)
        return await call.json(batch.shown())

    def _named(self, call: Call) -> Batch:
        batch = self.shelf.get(call.request.params["batch_id"])
        call.record.response_id = batch.batch_id
        return batch

    def _move(self, batch: Batch, now_s: int) -> None:
        if batch.status == "cancelling":
            self._end(batch, "cancelled", now_s)
        elif batch.progress.look(now_s):
            self._end(batch, batch.ends or "completed", now_s)
        elif batch.status == "validating":
            batch.become("in_progress", now_s)

    def _end(self, batch: Batch, status: str, now_s: int) -> None:
        if status == "failed":
            _fail(batch, LineUnreadable(1, "The stand-in was asked to fail this batch."), now_s)
            return
        try:
            stored = self.files.shelf.get(batch.input_file_id)
            records = records_of(stored.data, batch.endpoint)
        except (LineUnreadable, RequestUnacceptable) as unreadable:
            _fail(batch, unreadable, now_s)
            return
        done = len(records)
        if status != "completed":
            begun = status == "expired" or "in_progress_at" in batch.times
            done = (len(records) + 1) // 2 if begun else 0
        results = [answered(record, now_s) for record in records[:done]]
        results += [unanswered(record, f"batch_{status}") for record in records[done:]]
        self._write(batch, results, now_s)
        _note(batch, results)
        batch.times.setdefault("in_progress_at", now_s)
        batch.times.setdefault("finalizing_at", now_s)
        batch.become(status, now_s)

    def _write(self, batch: Batch, results: list[Answered], now_s: int) -> None:
        good = [result for result in results if result.counts is not None]
        bad = [result for result in results if result.counts is None]
        batch.counts = {"total": len(results), "completed": len(good), "failed": len(bad)}
        for kind, chosen in (("output", good), ("error", bad)):
            if chosen:
                name = f"{batch.batch_id}_{kind}.jsonl"
                stored = self.files.put(name, "batch_output", lines(chosen), now_s)
                if kind == "output":
                    batch.output_file_id = stored.file_id
                else:
                    batch.error_file_id = stored.file_id


def _note(batch: Batch, results: list[Answered]) -> None:
    """Write into the book what the batch is billed, and into the batch its usage."""
    record = batch.record
    billed = billed_sum(results)
    record.records = len(results)
    record.parts = [result.noted() for result in results]
    record.billed = billed
    batch.model = next((result.model for result in results if result.model), None)
    record.response_model = batch.model or ""
    if batch.reports_usage:
        batch.usage = {
            "input_tokens": billed["input"],
            "input_tokens_details": {"cached_tokens": billed["cached"]},
            "output_tokens": billed["output"],
            "output_tokens_details": {"reasoning_tokens": billed["reasoning"]},
            "total_tokens": billed["input"] + billed["output"],
        }
        record.usage = batch.usage


def _fail(batch: Batch, unreadable: Exception, now_s: int) -> None:
    line = getattr(unreadable, "line", None)
    error = {
        "code": "invalid_json_line" if line else "file_not_found",
        "message": getattr(unreadable, "message", str(unreadable)),
        "param": None,
        "line": line,
    }
    batch.errors = {"object": "list", "data": [error]}
    batch.record.records = 0
    batch.become("failed", now_s)
