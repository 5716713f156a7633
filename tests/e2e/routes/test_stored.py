"""
What providers keep: files, batches, assistants and their threads, vector stores.

A batch is billed once, when it is done, to whoever made it; looking at it costs nothing.
Units: gpt-5.4-mini in a batch costs 0.375 dollars per million tokens in and 2.25 out.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from e2e.gated import OWNED
from e2e.routes.caller import MINI, Caller
from e2e.routes.conftest import Books, RunScenario
from e2e.routes.scenario import Attempt, Scenario, free

# Of assistants and threads, which the official client still has.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

USUAL = "0.0000615"  # 40 x 0.75 + 7 x 4.50 millionths
POLLS = 6
IN_BATCH, OUT_BATCH = 33, 9  # 10 + 11 + 12, and 3 x 3
BATCHED = "0.000032625"  # 33 x 0.375 + 9 x 2.25


def batch(caller: Caller, **options: Any) -> Any:
    """Make a batch of three records."""
    lines = [
        {
            "custom_id": f"record-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": MINI, "messages": caller.messages(f"input={10 + number} output=3")},
        }
        for number in range(3)
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    file = caller.openai.files.create(file=("batch.jsonl", content), purpose="batch")
    return caller.openai.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **options
    )


def polled_to_its_end(caller: Caller) -> None:
    made = batch(caller)
    for _ in range(POLLS):
        made = caller.openai.batches.retrieve(made.id)
    assert made.status == "completed"
    assert caller.openai.files.content(made.output_file_id).text.count("\n") >= 2


def is_billed_to_its_maker(rows: list[dict[str, Any]], calls: list[dict[str, Any]]) -> None:
    (billed,) = (row for row in rows if row["kind"] == "usage")
    assert billed["response_id"] == next(c["response_id"] for c in calls if c["parts"])
    assert billed["call_type"] == "acreate_batch"


def batch_cancelled(caller: Caller) -> None:
    made = batch(caller)
    caller.openai.batches.list()
    caller.openai.batches.cancel(made.id)
    assert caller.openai.batches.retrieve(made.id).status == "cancelled"


def batch_expired(caller: Caller) -> None:
    """See the half of it that was done in time: records 0 and 1 of 3."""
    made = batch(caller, metadata={"wish": "[[standin: ends=expired]]"})
    for _ in range(4):
        made = caller.openai.batches.retrieve(made.id)
    assert made.status == "expired"


def batch_passed_on(caller: Caller) -> None:
    path, version = "/anthropic/v1/messages/batches", {"anthropic-version": "2023-06-01"}
    asked = {"requests": [{"custom_id": "a", "params": caller.claude()}]}
    made = caller.http.post(path, json=asked, headers=version).json()
    for _ in range(3):
        made = caller.http.get(f"{path}/{made['id']}", headers=version).json()
    assert made["processing_status"] == "ended"
    results = caller.http.get(f"{path}/{made['id']}/results", headers=version)
    assert "succeeded" in results.text


def background_cancelled(caller: Caller) -> None:
    responses = caller.openai.responses
    wishes = "takes=60 input=40 output=7"
    made = responses.create(model=MINI, input=caller.text(wishes), background=True)
    responses.cancel(made.id)
    responses.delete(made.id)


def file_from_its_making_to_its_end(caller: Caller) -> None:
    files = caller.openai.files
    made = files.create(file=("kept.jsonl", b'{"custom_id": "a"}'), purpose="fine-tune")
    files.list()
    files.retrieve(made.id)
    files.content(made.id)
    files.delete(made.id)


def thread(caller: Caller) -> dict[str, Any]:
    beta = caller.openai.beta
    assistant = beta.assistants.create(model=MINI)
    made = beta.threads.create()
    beta.threads.messages.create(made.id, role="user", content=caller.text())
    return {"path": f"/v1/threads/{made.id}/runs", "body": {"assistant_id": assistant.id}}


def run_streamed(caller: Caller) -> None:
    asked = thread(caller)
    with caller.streaming(**asked) as lines:
        assert any("thread.run.completed" in line for line in lines)


MADE = (
    free("create_assistant", "assistants"),
    free("create_thread", "threads"),
    free("add_message", "messages"),
)
RUN = Attempt(operation="invoke_agent", asked="runs")
SCENARIOS = (
    Scenario(
        name="batch, however often it is looked at",
        act=polled_to_its_end,
        attempts=(
            free("create_file", "files"),
            free("create_batch", "batches"),
            *[free("retrieve_batch", "batches")] * POLLS,
            # LiteLLM reads the output to price it, each time that the batch is looked at.
            *[free("file_content", "files")] * POLLS,
        ),
        usage=(("batch", IN_BATCH, OUT_BATCH),),
        cost=BATCHED,
        check=is_billed_to_its_maker,
    ),
    Scenario(
        name="batch cancelled before it began",
        act=batch_cancelled,
        attempts=(
            free("create_file", "files"),
            free("create_batch", "batches"),
            free("list_batches", "batches"),
            free("cancel_batch", "batches"),
            free("retrieve_batch", "batches"),
            free("file_content", "files"),
        ),
    ),
    Scenario(
        name="batch expired half done",
        act=batch_expired,
        attempts=(
            free("create_file", "files"),
            free("create_batch", "batches"),
            *[free("retrieve_batch", "batches")] * 4,
            # Output and errors, each time.
            *[free("file_content", "files")] * 6,
        ),
        usage=(("batch", 21, 6),),
        cost="0.000021375",  # 21 x 0.375 + 6 x 2.25
    ),
    Scenario(
        name="batch passed on to Anthropic",
        act=batch_passed_on,
        attempts=(
            # Nobody follows a batch that is passed through to its end: counted, and unpriced.
            Attempt(operation="batch", asked="batches", usage="none", price="unpriced"),
            *[free("retrieve_batch", "batches")] * 3,
            free("file_content", "batches"),
        ),
        is_usage_lost=True,
    ),
    Scenario(
        name="response in the background, cancelled",
        act=background_cancelled,
        attempts=(
            free("chat", "responses"),
            free("cancel_response", "responses"),
            free("delete_response", "responses"),
        ),
    ),
    Scenario(
        name="file",
        act=file_from_its_making_to_its_end,
        attempts=tuple(
            free(operation, "files")
            for operation in (
                "create_file",
                "list_files",
                "retrieve_file",
                "file_content",
                "delete_file",
            )
        ),
    ),
    Scenario(
        name="thread's run",
        act=lambda caller: caller.ok(**thread(caller)),
        attempts=(*MADE, RUN, *[free("retrieve_run", "runs")] * 2),
        cost=USUAL,
    ),
    Scenario(name="thread's run streamed", act=run_streamed, attempts=(*MADE, RUN), cost=USUAL),
    Scenario(
        name="vector store",
        act=lambda caller: caller.openai.vector_stores.create(name="kept"),
        attempts=(
            Attempt(
                operation="vector_store_create",
                asked="vector_stores",
                usage="none",
                price="unpriced",
            ),
        ),
    ),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_books_agree(scenario: Scenario, run: RunScenario) -> None:
    run(scenario)


def test_a_batch_that_another_key_looks_at_is_billed_to_its_maker(
    books: Books, run: RunScenario
) -> None:
    """Method: the other key's calls are its own; what the batch used is Support's, once."""
    searching = {
        **OWNED,
        "x-tallygate-owner-team": "team-search",
        "x-tallygate-service": "knowledge-search",
    }
    made: list[str] = []

    def look(caller: Caller) -> None:
        for _ in range(3):
            caller.openai.batches.retrieve(made[0])

    run(
        Scenario(
            name="made",
            act=lambda caller: made.append(batch(caller).id),
            attempts=(free("create_file", "files"), free("create_batch", "batches")),
        )
    )
    after = books.newest()
    with Caller(books.proxy.url, "sk-demo-search", searching) as caller:
        look(caller)
        looked = Scenario(
            name="looked at",
            act=look,
            attempts=(
                *[free("retrieve_batch", "batches")] * 3,
                *[free("file_content", "files")] * 2,
            ),
            usage=(("batch", IN_BATCH, OUT_BATCH),),
            cost=BATCHED,
            owner="team-search",
            usage_owner="team-support",
        )
        books.compare(looked, caller, after)

    billed = [row["kind"] for row in books.rows() if row["response_id"] == made[0]]
    assert billed.count("usage") == 1
