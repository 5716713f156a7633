"""Assistants, vector stores and fine-tuning jobs: kept objects, and jobs billed at their end."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest

# The official client warns of its own that assistants are on their way out.
pytestmark = [
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The Assistants API is:DeprecationWarning"),
]

MODEL = "gpt-5.4-mini"


def _calls(book: httpx.Client, operation: str) -> list[dict[str, Any]]:
    return [call for call in book.get("/calls").json() if call["operation"] == operation]


def _thread(client: openai.OpenAI, text: str) -> tuple[str, str]:
    assistant = client.beta.assistants.create(model=MODEL, instructions="two words")
    thread = client.beta.threads.create()
    client.beta.threads.messages.create(thread.id, role="user", content=text)
    return assistant.id, thread.id


def test_a_run_is_billed_once_it_was_seen_to_end(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    assistant_id, thread_id = _thread(
        openai_client, "[[standin: output=9 chunks=2]] three words in"
    )
    runs = openai_client.beta.threads.runs
    made = runs.create(thread_id, assistant_id=assistant_id)
    before = _calls(book, "runs")[0]
    looks = [runs.retrieve(made.id, thread_id=thread_id) for _ in range(3)]

    assert (made.status, made.usage) == ("queued", None)
    assert [look.status for look in looks] == ["in_progress", "completed", "completed"]
    usage = looks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (5, 9)
    assert (before["generates"], before["billed"]) == (True, None)
    after = _calls(book, "runs")[0]
    assert (after["model"], after["response_id"]) == (MODEL, made.id)
    assert (after["billed"]["output"], after["usage"]) == (9, usage.to_dict())
    assert book.get("/count").json()["generating"] == 1
    newest = openai_client.beta.threads.messages.list(thread_id).data[0]
    assert (newest.role, newest.run_id) == ("assistant", made.id)
    assert newest.content[0].type == "text"
    assert newest.content[0].text.value == "This answer"


def test_a_streamed_run_ends_with_its_usage(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    assistant_id, thread_id = _thread(openai_client, "[[standin: input=70 output=3 chunks=2]]")
    events = list(
        openai_client.beta.threads.runs.create(thread_id, assistant_id=assistant_id, stream=True)
    )

    assert [event.event for event in events] == [
        "thread.run.created",
        "thread.run.in_progress",
        "thread.message.created",
        "thread.message.delta",
        "thread.message.delta",
        "thread.message.completed",
        "thread.run.completed",
    ]
    (call,) = _calls(book, "runs")
    assert (call["usage"]["prompt_tokens"], call["usage"]["completion_tokens"]) == (70, 3)
    assert (call["ended"], call["stream"], call["chunks_sent"]) == ("complete", True, 2)


def test_a_thread_is_made_and_run_in_one_call(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    assistant = openai_client.beta.assistants.create(model=MODEL)
    messages: Any = [{"role": "user", "content": "[[standin: polls=1 input=12 output=1]]"}]
    run = openai_client.beta.threads.create_and_run(
        assistant_id=assistant.id, thread={"messages": messages}
    )

    done = openai_client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)

    assert done.usage is not None
    assert (done.status, done.usage.prompt_tokens) == ("completed", 12)
    assert _calls(book, "runs")[0]["billed"]["input"] == 12


def test_a_run_that_fails_or_is_cancelled_is_not_billed(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    assistant_id, thread_id = _thread(openai_client, "hi")
    runs = openai_client.beta.threads.runs
    wishes = "[[standin: ends=failed polls=1]]"
    failing = runs.create(thread_id, assistant_id=assistant_id, instructions=wishes)
    cancelled = runs.create(thread_id, assistant_id=assistant_id)
    runs.cancel(cancelled.id, thread_id=thread_id)

    assert runs.retrieve(failing.id, thread_id=thread_id).status == "failed"
    assert runs.retrieve(cancelled.id, thread_id=thread_id).status == "cancelled"
    assert [call["billed"] for call in _calls(book, "runs")] == [None] * 5
    assert {run.id for run in runs.list(thread_id)} == {failing.id, cancelled.id}


def test_a_fault_reaches_a_run_by_its_own_fields(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    assistant_id, thread_id = _thread(openai_client, "hi")

    with pytest.raises(openai.RateLimitError):
        openai_client.beta.threads.runs.create(
            thread_id, assistant_id=assistant_id, instructions="[[standin: status=429]]"
        )

    assert (_calls(book, "runs")[0]["status"], _calls(book, "runs")[0]["billed"]) == (429, None)


def test_assistants_are_kept_changed_and_deleted(openai_client: openai.OpenAI) -> None:
    assistants = openai_client.beta.assistants
    made = assistants.create(model=MODEL, name="one")

    assert assistants.update(made.id, name="two").name == "two"
    assert assistants.retrieve(made.id).name == "two"
    assert made.id in [assistant.id for assistant in assistants.list()]
    assert assistants.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        assistants.retrieve(made.id)


def test_a_vector_store_is_searched_for_money_and_kept_for_none(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    stores = openai_client.vector_stores
    stored = openai_client.files.create(file=("a.txt", b"four"), purpose="assistants")
    made = stores.create(name="one", file_ids=[stored.id])
    found = stores.search(made.id, query="pineapple")

    assert (made.file_counts.completed, made.usage_bytes) == (1, 4)
    assert found.data[0].content[0].text == "A passage of the stand-in."
    (call,) = _calls(book, "vector_store_search")
    assert (call["generates"], call["billed"]) == (True, {"searches": 1})
    assert book.get("/count").json()["generating"] == 1
    with pytest.raises(openai.NotFoundError):
        stores.search("vs_none", query="a")


def test_a_fine_tuning_job_is_billed_once_it_was_seen_to_succeed(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    jobs = openai_client.fine_tuning.jobs
    stored = openai_client.files.create(
        file=("a.jsonl", b"five words of training text"), purpose="fine-tune"
    )
    made = jobs.create(model=MODEL, training_file=stored.id)
    before = _calls(book, "fine_tuning")[0]
    looks = [jobs.retrieve(made.id) for _ in range(2)]

    assert [made.status, *[look.status for look in looks]] == [
        "validating_files",
        "running",
        "succeeded",
    ]
    assert looks[-1].trained_tokens == 15
    assert looks[-1].fine_tuned_model is not None
    assert (before["billed"], before["generates"]) == (None, False)
    assert _calls(book, "fine_tuning")[0]["billed"] == {"trained_tokens": 15}
    assert made.id in [job.id for job in jobs.list()]
    with pytest.raises(openai.BadRequestError):
        jobs.cancel(made.id)


@pytest.mark.parametrize("ends", ["failed", "cancelled"])
def test_a_fine_tuning_job_that_ends_badly_is_not_billed(
    openai_client: openai.OpenAI, book: httpx.Client, ends: str
) -> None:
    jobs = openai_client.fine_tuning.jobs
    stored = openai_client.files.create(file=("a.jsonl", b"text"), purpose="fine-tune")
    wishes = {"standin": "[[standin: ends=failed polls=1]]"} if ends == "failed" else {}
    made = jobs.create(model=MODEL, training_file=stored.id, metadata=wishes)
    if ends == "cancelled":
        jobs.cancel(made.id)

    assert jobs.retrieve(made.id).status == ends
    assert _calls(book, "fine_tuning")[0]["billed"] is None
