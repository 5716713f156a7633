"""
OpenAI's assistants: assistants, threads, messages, and runs, whole or streamed.

A run is `queued` when made, `in_progress` when first looked at, and over after `polls` looks (two,
if nothing is wished for) or `takes` seconds; streamed, it is over with its stream. What a turn is
to cost may stand in the run's `instructions` or in the thread's newest message; a fault in a
message is for the call that adds the message, one in the run's fields for the run.
Units: a run's input is the words of its thread and its instructions.
The book: a run is billed in the record of the call that made it, once it was seen to end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from secrets import token_hex
from typing import Any

import orjson

from tallygate.standin.answers import (
    Asked,
    Counts,
    Frame,
    RequestUnacceptable,
    counts_for,
    model_for,
    texts_of,
    words_for,
)
from tallygate.standin.book import CallRecord, Ending
from tallygate.standin.directives import parse, without_directives
from tallygate.standin.objects import Collection, Object
from tallygate.standin.routing import Call, Provider, Route
from tallygate.standin.shelf import Progress, Shelf, page_of, progress_for

_OVER = frozenset({"completed", "failed", "cancelled", "expired"})


@dataclass(slots=True, kw_only=True)
class Run:
    """One run, and what it will say and cost."""

    body: Object
    words: tuple[str, ...]
    counts: Counts
    reports_usage: bool
    progress: Progress
    ends: str
    record: CallRecord
    message_id: str = field(default_factory=lambda: f"msg_{token_hex(12)}")

    def shown(self) -> Object:
        return self.body

    def end(self, now_s: int) -> None:
        """Complete it, or fail it on demand, and write into the book what it is billed."""
        status = self.ends or "completed"
        self.body |= {"status": status, f"{status}_at": now_s}
        if status == "failed":
            self.body["last_error"] = {"code": "server_error", "message": "It failed on demand."}
        if status == "completed":
            self.record.billed = asdict(self.counts)
            if self.reports_usage:
                usage = {
                    "prompt_tokens": self.counts.input,
                    "completion_tokens": self.counts.output,
                    "total_tokens": self.counts.input + self.counts.output,
                    "prompt_token_details": {"cached_tokens": self.counts.cached},
                }
                self.body["usage"] = usage
                self.record.usage = usage


def _assistant(call: Call) -> Object:
    fields = call.asked.extra
    if not call.asked.model:
        raise RequestUnacceptable("Missing required parameter: 'model'.", "model")
    return {
        "name": fields.get("name"),
        "description": fields.get("description"),
        "model": call.asked.model,
        "instructions": fields.get("instructions"),
        "tools": fields.get("tools") or [],
        "metadata": fields.get("metadata") or {},
        "temperature": 1.0,
        "top_p": 1.0,
        "response_format": "auto",
    }


def _thread(call: Call) -> Object:
    return {"metadata": call.asked.extra.get("metadata") or {}, "tool_resources": {}}


@dataclass(frozen=True, slots=True)
class Assistants:
    """All assistants, threads, their messages and runs."""

    assistants: Collection = field(
        default_factory=lambda: Collection(
            pattern="/v1/assistants",
            kind="assistant",
            prefix="asst_",
            operation="assistants",
            made=_assistant,
        )
    )
    threads: Collection = field(
        default_factory=lambda: Collection(
            pattern="/v1/threads",
            kind="thread",
            prefix="thread_",
            operation="threads",
            made=_thread,
        )
    )
    messages: Shelf[list[Object]] = field(default_factory=lambda: Shelf("thread"))
    runs: Shelf[Run] = field(default_factory=lambda: Shelf("run"))

    def table(self, openai: Provider) -> Iterator[Route]:
        """List the routes for assistants and threads."""
        messages = "/v1/threads/{thread_id}/messages"
        runs = "/v1/threads/{thread_id}/runs"
        for method, pattern, operation, answer in (
            ("POST", "/v1/threads", "threads", self._open),
            ("POST", "/v1/threads/runs", "runs", self._open_and_run),
            ("POST", messages, "messages", self._add),
            ("GET", messages, "messages", self._list_messages),
            ("POST", runs, "runs", self._run),
            ("GET", runs, "runs", self._list_runs),
            ("GET", f"{runs}/{{run_id}}", "runs", self._get),
            ("POST", f"{runs}/{{run_id}}/cancel", "runs", self._cancel),
        ):
            yield Route(
                method=method,
                pattern=pattern,
                provider=openai,
                operation=operation,
                answer=answer,
                generates=answer in (self._run, self._open_and_run),
            )
        yield from self.assistants.table(openai)
        yield from self.threads.table(openai)

    async def _open(self, call: Call) -> Ending:
        return await call.json(self._opened(call, call.asked.extra))

    async def _open_and_run(self, call: Call) -> Ending:
        thread = call.asked.extra.get("thread")
        opened = self._opened(call, thread if isinstance(thread, dict) else {})
        return await self._started(call, opened["id"])

    def _opened(self, call: Call, fields: Any) -> Object:  # noqa: ANN401  # JSON as it came
        thread = self.threads.put(_thread(call), call.created_s)
        call.record.response_id = thread["id"]
        given = fields.get("messages")
        self.messages.put(thread["id"], [])
        for message in given if isinstance(given, list) else []:
            self._put(thread["id"], message, call.created_s)
        return thread

    async def _add(self, call: Call) -> Ending:
        thread_id = self.threads.named(call, "thread_id")["id"]
        message = self._put(thread_id, call.asked.extra, call.created_s)
        call.record.response_id = message["id"]
        return await call.json(message)

    def _put(self, thread_id: str, given: Any, created_s: int) -> Object:  # noqa: ANN401  # JSON
        text = texts_of(given.get("content")) if isinstance(given, dict) else ""
        if not text:
            raise RequestUnacceptable("Missing required parameter: 'content'.", "content")
        role = "assistant" if given.get("role") == "assistant" else "user"
        message = _message(f"msg_{token_hex(12)}", thread_id, role, text, created_s)
        self.messages.get(thread_id).append(message)
        return message

    async def _list_messages(self, call: Call) -> Ending:
        thread_id = self.threads.named(call, "thread_id")["id"]
        newest_first = self.messages.get(thread_id)[::-1]
        return await call.json(page_of(newest_first, call.request.query, dict))

    async def _run(self, call: Call) -> Ending:
        return await self._started(call, self.threads.named(call, "thread_id")["id"])

    async def _started(self, call: Call, thread_id: str) -> Ending:
        fields = call.asked.extra
        assistant = self.assistants.shelf.get(fields.get("assistant_id"))
        run = self._made(call, thread_id, assistant)
        self.runs.put(run.body["id"], run)
        record = call.record
        record.response_id = run.body["id"]
        record.model = call.asked.model or assistant["model"]
        record.response_model = run.body["model"]
        if call.asked.stream:
            return await call.stream(self._frames(run, call.created_s))
        return await call.json(run.body)

    def _made(self, call: Call, thread_id: str, assistant: Object) -> Run:
        fields = call.asked.extra
        thread = self.messages.get(thread_id)
        told = [text for text in (fields.get("instructions"), assistant["instructions"]) if text]
        texts = [_text(message) for message in thread]
        newest = next((_text(m) for m in reversed(thread) if m["role"] == "user"), "")
        wishes = parse(
            f"{assistant['instructions'] or ''} {newest} {call.asked.directive_text}",
            call.request.headers.get(b"x-standin", b"").decode("latin-1"),
        )
        asked = Asked(model=call.asked.model or assistant["model"], extra={})
        words, _ = words_for(asked, wishes)
        said = " ".join(without_directives(text) for text in (*texts, *told[:1]))
        body: Object = {
            "id": f"run_{token_hex(12)}",
            "object": "thread.run",
            "created_at": call.created_s,
            "assistant_id": assistant["id"],
            "thread_id": thread_id,
            "status": "queued",
            "model": model_for(asked, wishes),
            "instructions": told[0] if told else "",
            "started_at": None,
            "expires_at": call.created_s + 600,
            "cancelled_at": None,
            "failed_at": None,
            "completed_at": None,
            "required_action": None,
            "last_error": None,
            "incomplete_details": None,
            "tools": assistant["tools"],
            "metadata": fields.get("metadata") or {},
            "usage": None,
            "temperature": 1.0,
            "top_p": 1.0,
            "max_prompt_tokens": None,
            "max_completion_tokens": None,
            "truncation_strategy": {"type": "auto", "last_messages": None},
            "response_format": "auto",
            "tool_choice": "auto",
            "parallel_tool_calls": True,
        }
        return Run(
            body=body,
            words=words,
            counts=counts_for(wishes, len(said.split()), len(words)),
            reports_usage=not wishes.no_usage,
            progress=progress_for(call.wishes, call.created_s),
            ends=call.wishes.ends,
            record=call.record,
        )

    async def _list_runs(self, call: Call) -> Ending:
        thread_id = self.threads.named(call, "thread_id")["id"]
        runs = [run for run in self.runs.newest_first() if run.body["thread_id"] == thread_id]
        return await call.json(page_of(runs, call.request.query, Run.shown))

    async def _get(self, call: Call) -> Ending:
        run = self._named(call)
        if run.body["status"] not in _OVER:
            if run.progress.look(call.created_s):
                self._end(run, call.created_s)
            else:
                run.body |= {"status": "in_progress", "started_at": call.created_s}
        return await call.json(run.body)

    async def _cancel(self, call: Call) -> Ending:
        run = self._named(call)
        if run.body["status"] in _OVER:
            raise RequestUnacceptable(f"Cannot cancel run with status '{run.body['status']}'.")
        run.body |= {"status": "cancelled", "cancelled_at": call.created_s}
        return await call.json(run.body)

    def _named(self, call: Call) -> Run:
        run = self.runs.get(call.request.params["run_id"])
        call.record.response_id = run.body["id"]
        return run

    def _end(self, run: Run, now_s: int) -> None:
        run.end(now_s)
        if run.body["status"] == "completed":
            self.messages.get(run.body["thread_id"]).append(_answer(run, now_s))

    def _frames(self, run: Run, now_s: int) -> Iterator[Frame]:
        yield _event("thread.run.created", run.body)
        run.body |= {"status": "in_progress", "started_at": now_s}
        yield _event("thread.run.in_progress", run.body)
        message = _answer(run, now_s)
        begun = {**message, "content": [], "status": "in_progress"}
        yield _event("thread.message.created", begun)
        for word in run.words:
            text = {"index": 0, "type": "text", "text": {"value": word, "annotations": []}}
            delta = {"id": run.message_id, "object": "thread.message.delta"}
            body = {**delta, "delta": {"content": [text]}}
            yield _event("thread.message.delta", body, is_chunk=True)
        yield _event("thread.message.completed", message)
        self._end(run, now_s)
        yield _event(f"thread.run.{run.body['status']}", run.body, usage=run.body["usage"])
        yield Frame(data=b"event: done\ndata: [DONE]\n\n")


def _answer(run: Run, now_s: int) -> Object:
    body = run.body
    message = _message(run.message_id, body["thread_id"], "assistant", "".join(run.words), now_s)
    return {**message, "assistant_id": body["assistant_id"], "run_id": body["id"]}


def _message(message_id: str, thread_id: str, role: str, text: str, created_s: int) -> Object:
    return {
        "id": message_id,
        "object": "thread.message",
        "created_at": created_s,
        "completed_at": created_s,
        "thread_id": thread_id,
        "status": "completed",
        "role": role,
        "content": [{"type": "text", "text": {"value": text, "annotations": []}}],
        "assistant_id": None,
        "run_id": None,
        "attachments": [],
        "metadata": {},
    }


def _text(message: Object) -> str:
    value: str = message["content"][0]["text"]["value"]
    return value


def _event(
    name: str, body: Object, *, is_chunk: bool = False, usage: Object | None = None
) -> Frame:
    data = b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(body))
    return Frame(data=data, is_chunk=is_chunk, usage=usage)
