from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tallygate.client import current_scope, outgoing_headers, ownership

pytestmark = pytest.mark.usefixtures("kept")


def said(name: str) -> str | None:
    return outgoing_headers().get(f"x-tallygate-{name}")


def trace_id() -> str:
    return outgoing_headers()["traceparent"].split("-")[1]


def test_inner_blocks_add_and_override_and_the_outer_comes_back() -> None:
    with ownership(owner_team="team-support", feature="ticket-triage", region="eu-west") as outer:
        with ownership(feature="ticket-search", workflow_id="wf-17") as inner:
            assert inner.fields == {
                "owner_team": "team-support",
                "feature": "ticket-search",
                "workflow_id": "wf-17",
                "region": "eu-west",
            }
            assert said("feature") == "ticket-search"
            assert said("region") == "eu-west"
            assert current_scope() is inner
        assert (said("feature"), said("workflow-id")) == ("ticket-triage", None)
        assert current_scope() is outer

    assert outgoing_headers() == {}
    assert current_scope() is None


def test_what_was_before_comes_back_after_an_exception() -> None:
    with pytest.raises(KeyError), ownership(feature="ticket-triage"):
        raise KeyError

    assert outgoing_headers() == {}


def test_none_leaves_a_field_as_it_is() -> None:
    with ownership(feature="ticket-triage"), ownership(feature=None, service=None):
        assert outgoing_headers().keys() == {"x-tallygate-feature", "baggage", "traceparent"}
        assert said("feature") == "ticket-triage"


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        pytest.param({"owner_team": "a\nb"}, r"owner_team: has U\+000A at position 1", id="line"),
        pytest.param({"user_id_hash": "jane@example.com"}, "user_id_hash: has an @", id="e-mail"),
        pytest.param({"initiator": "jane%40example.com"}, "initiator: has an @", id="encoded"),
        pytest.param({"workflow_id": "w" * 129}, "workflow_id: has 129 characters", id="long"),
        pytest.param({"feature": "ticket triage"}, "feature: has a blank at", id="blank"),
        pytest.param({"service": "caf\u00e9"}, r"service: has U\+00E9 at position 3", id="letter"),
        pytest.param({"environment": ""}, "environment: is empty", id="empty"),
        pytest.param({"trace_id": "tr_9f4c"}, "trace_id is no ownership field", id="trace"),
        pytest.param({"Cost-Center": "1"}, "'Cost-Center': expected lower-case", id="name"),
    ],
)
def test_a_value_that_the_gate_would_not_read_is_refused_where_it_is_said(
    fields: dict[str, str], found: str
) -> None:
    with pytest.raises(ValueError, match=found) as caught:
        ownership(**fields)

    assert "jane" not in str(caught.value), "the message may end in a log"


def test_a_value_that_is_no_text_is_a_mistake_of_type() -> None:
    with pytest.raises(TypeError, match="tenant_id_hash: expected a str, not int"):
        ownership(tenant_id_hash=17)  # type: ignore[arg-type]  # the mistake that is meant


def test_more_than_the_gate_reads_is_refused_as_a_whole() -> None:
    many = {f"field_{number}": "v" * 128 for number in range(70)}

    with pytest.raises(ValueError, match=r"together \d+ bytes as baggage; the gate reads 8192"):
        ownership(**many).__enter__()
    assert outgoing_headers() == {}


def test_a_workflow_keeps_one_trace_and_the_next_one_gets_another() -> None:
    with ownership(workflow_id="wf-17") as outer:
        first = trace_id()
        with ownership(feature="ticket-triage"):
            second = trace_id()
        third = trace_id()
    with ownership(workflow_id="wf-18"):
        other = trace_id()

    assert first == second == third == outer.trace_id
    assert len({first, other}) == 2


def test_calls_side_by_side_have_the_values_of_their_own_task() -> None:
    async def call(feature: str) -> tuple[str | None, str]:
        with ownership(feature=feature):
            await asyncio.sleep(0)
            return said("feature"), trace_id()

    async def work() -> tuple[list[tuple[str | None, str]], str]:
        with ownership(owner_team="team-support"):
            found = await asyncio.gather(*(call(f"feature-{n}") for n in range(3)))
            return found, trace_id()

    found, own = asyncio.run(work())

    assert found == [(f"feature-{n}", own) for n in range(3)]


def test_values_follow_into_threads_with_a_copied_context() -> None:
    async def work() -> str | None:
        with ownership(feature="ticket-triage"):
            return await asyncio.to_thread(said, "feature")

    with ownership(feature="ticket-search"), ThreadPoolExecutor(1) as pool:
        copied = contextvars.copy_context()
        in_thread = pool.submit(copied.run, said, "feature").result()
        without = pool.submit(said, "feature").result()

    assert asyncio.run(work()) == "ticket-triage"
    assert (in_thread, without) == ("ticket-search", None)


def test_one_block_can_be_entered_by_many_at_once() -> None:
    block = ownership(feature="ticket-triage")

    async def call(turns: int) -> None:
        with block as mine:
            for _ in range(turns):
                await asyncio.sleep(0)
            assert current_scope() is mine
        assert current_scope() is None

    async def work() -> None:
        await asyncio.gather(*(call(turns) for turns in (3, 1, 2)))

    asyncio.run(work())


def test_a_block_left_in_another_context_leaves_that_one_alone() -> None:
    block = ownership(feature="ticket-triage")
    contextvars.copy_context().run(block.__enter__)

    with ownership(feature="ticket-search"):
        block.__exit__(None, None, None)

        assert said("feature") == "ticket-search"


def test_a_decorated_function_runs_in_its_block() -> None:
    @ownership(feature="ticket-triage")
    def fact(n: int) -> tuple[int, str | None]:
        """Multiply."""
        return (1, said("feature")) if n == 0 else (n * fact(n - 1)[0], said("feature"))

    assert fact(4) == (24, "ticket-triage")
    assert (fact.__name__, fact.__doc__) == ("fact", "Multiply.")
    assert said("feature") is None


def test_a_decorated_coroutine_runs_in_its_block() -> None:
    @ownership(feature="ticket-triage")
    async def work() -> str | None:
        await asyncio.sleep(0)
        return said("feature")

    async def around() -> tuple[str | None, str | None]:
        return await work(), said("feature")

    assert asyncio.run(around()) == ("ticket-triage", None)


def test_a_decorated_generator_keeps_its_values_to_itself() -> None:
    @ownership(feature="ticket-triage")
    def work() -> Iterator[str | None]:
        with ownership(workflow_id="wf-17"):
            try:
                yield said("feature")
            except LookupError:
                yield said("workflow-id")
        return said("workflow-id")

    def around() -> Iterator[str | None]:
        steps = work()
        assert next(steps) == "ticket-triage"
        assert outgoing_headers() == {}
        assert steps.throw(LookupError()) == "wf-17"  # type: ignore[attr-defined]  # a generator
        yield from (yield from steps) or ("none",)

    assert list(around()) == ["none"]


def test_a_decorated_async_generator_keeps_its_values_to_itself() -> None:
    closed: list[str | None] = []

    @ownership(feature="ticket-triage")
    async def work() -> AsyncIterator[str | None]:
        with ownership(workflow_id="wf-17"):
            try:
                for _ in range(3):
                    await asyncio.sleep(0)
                    yield said("workflow-id")
            finally:
                await asyncio.sleep(0)
                closed.append(said("feature"))

    async def around() -> list[str | None]:
        found = []
        async for value in work():
            found += [value, said("feature")]
        steps = work()
        found.append(await anext(steps))
        await steps.aclose()  # type: ignore[attr-defined]  # an async generator
        return found

    assert asyncio.run(around()) == ["wf-17", None] * 3 + ["wf-17"]
    assert closed == ["ticket-triage"] * 2


def test_cancelling_reaches_into_a_decorated_async_generator() -> None:
    ended: list[str | None] = []

    @ownership(feature="ticket-triage")
    async def work() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(said("feature"))
            raise

    async def around() -> None:
        async for _ in work():
            asyncio.get_running_loop().call_soon(running.cancel)

    async def outermost() -> None:
        nonlocal running
        running = asyncio.ensure_future(around())
        with pytest.raises(asyncio.CancelledError):
            await running

    running: asyncio.Future[None]
    asyncio.run(outermost())
    assert ended == ["ticket-triage"]
