"""
OpenAI's fine-tuning jobs: create, get, list, cancel; a job gets on by being looked at.

A job is `validating_files` when made, `running` when first looked at, and over after `polls` looks
(two, if nothing is wished for) or `takes` seconds; directives stand in `metadata` or `suffix`.
`input=…` is the tokens of one epoch; without it a token is a word of the training file.
The book: creating generates nothing; `trained_tokens` stands in the creating call's `usage` and
`billed` once the job was seen to succeed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from tallygate.standin.answers import RequestUnacceptable, model_in
from tallygate.standin.book import CallRecord, Ending
from tallygate.standin.files_wire import Files
from tallygate.standin.routing import Call, Provider, Route
from tallygate.standin.shelf import Progress, Shelf, page_of, progress_for

_EPOCHS = 3
_OVER = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(slots=True, kw_only=True)
class Job:
    """One job, from its making to its end."""

    body: dict[str, Any]
    progress: Progress
    tokens: int
    ends: str
    record: CallRecord

    def shown(self) -> dict[str, Any]:
        return self.body

    def move(self, now_s: int) -> None:
        """Take a look."""
        if self.body["status"] in _OVER:
            return
        if not self.progress.look(now_s):
            self.body["status"] = "running"
            return
        self.body |= {"status": self.ends or "succeeded", "finished_at": now_s}
        if self.ends == "failed":
            message = "It failed on demand."
            self.body["error"] = {"code": "server_error", "message": message, "param": None}
        elif not self.ends:
            self.body["trained_tokens"] = self.tokens
            self.body["fine_tuned_model"] = f"ft:{self.body['model']}:standin::{token_hex(4)}"
            self.record.usage = {"trained_tokens": self.tokens}
            self.record.billed = {"trained_tokens": self.tokens}


@dataclass(frozen=True, slots=True)
class FineTuning:
    """All jobs, over the files that they read."""

    files: Files
    shelf: Shelf[Job] = field(default_factory=lambda: Shelf("fine-tuning job"))

    def table(self, openai: Provider) -> Iterator[Route]:
        """List the routes for fine-tuning jobs."""
        pattern = "/v1/fine_tuning/jobs"
        for method, path, answer in (
            ("POST", pattern, self._create),
            ("GET", pattern, self._list),
            ("GET", f"{pattern}/{{job_id}}", self._get),
            ("POST", f"{pattern}/{{job_id}}/cancel", self._cancel),
        ):
            yield Route(
                method=method,
                pattern=path,
                provider=openai,
                operation="fine_tuning",
                answer=answer,
                generates=False,
            )

    async def _create(self, call: Call) -> Ending:
        fields, wishes = call.asked.extra, call.wishes
        model = model_in(fields, "Missing required parameter: 'model'.")
        stored = self.files.shelf.get(fields.get("training_file"))
        asked = fields.get("hyperparameters")
        given = asked.get("n_epochs") if isinstance(asked, dict) else None
        epochs = given if isinstance(given, int) else _EPOCHS
        a_round = len(stored.data.split()) if wishes.input is None else wishes.input
        body: dict[str, Any] = {
            "id": f"ftjob-{token_hex(12)}",
            "object": "fine_tuning.job",
            "created_at": call.created_s,
            "error": None,
            "fine_tuned_model": None,
            "finished_at": None,
            "hyperparameters": {"n_epochs": epochs, "batch_size": 1},
            "model": model,
            "organization_id": "org-standin",
            "result_files": [],
            "seed": 1,
            "status": "validating_files",
            "trained_tokens": None,
            "training_file": stored.file_id,
            "validation_file": fields.get("validation_file"),
            "metadata": fields.get("metadata"),
        }
        job = Job(
            body=body,
            progress=progress_for(wishes, call.created_s),
            tokens=a_round * epochs,
            ends="failed" if wishes.ends == "expired" else wishes.ends,
            record=call.record,
        )
        self.shelf.put(body["id"], job)
        call.record.response_id = body["id"]
        return await call.json(body)

    async def _list(self, call: Call) -> Ending:
        return await call.json(page_of(self.shelf.newest_first(), call.request.query, Job.shown))

    async def _get(self, call: Call) -> Ending:
        job = self._named(call)
        job.move(call.created_s)
        return await call.json(job.body)

    async def _cancel(self, call: Call) -> Ending:
        job = self._named(call)
        if job.body["status"] in _OVER:
            raise RequestUnacceptable("The job has already ended.")
        job.body |= {"status": "cancelled", "finished_at": call.created_s}
        return await call.json(job.body)

    def _named(self, call: Call) -> Job:
        job = self.shelf.get(call.request.params["job_id"])
        call.record.response_id = job.body["id"]
        return job
