"""The engine behind opa-python-client, against servers that answer as no OPA should."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest

from fakes.engines import ADMIT
from fakes.odd_servers import OddServer
from tallygate.adapters.engines.breaker import UNANSWERED_TO_OPEN, Unanswered
from tallygate.adapters.engines.opa_server import OpaServer
from tallygate.errors import EngineFailed

SECRET: Final = "the-secret-of-a-person"
REVISION: Final = "sha256:0123"


@pytest.fixture
def odd() -> Iterator[OddServer]:
    server = OddServer()
    server.body = answer()
    yield server
    server.close()


@pytest.fixture
async def asked(odd: OddServer) -> AsyncIterator[OpaServer]:
    server = OpaServer(odd.url, token="tok-1")
    yield server
    await server.close()


def answer(**parts: Any) -> bytes:
    provenance = {"version": "1.22.0", "bundles": {"any": {"revision": REVISION}}}
    said = {"result": ADMIT, "decision_id": "d-1", "provenance": provenance, **parts}
    return json.dumps({name: value for name, value in said.items() if value is not None}).encode()


async def test_a_question_is_asked_with_strict_builtins_and_for_its_provenance(
    odd: OddServer, asked: OpaServer
) -> None:
    said = await asked.ask({"bucket": 7}, "call-1")

    ((path, body),) = odd.asked
    place, _, query = path.partition("?")
    assert place == "/v1/data/tallygate/admission/decision"
    assert set(query.split("&")) == {"strict-builtin-errors=true", "provenance=true"}
    assert json.loads(body) == {"input": {"bucket": 7, "call_id": "call-1"}}
    assert (said.decision, said.revision, said.decision_id) == (ADMIT, REVISION, "d-1")
    assert (asked.revision, asked.failure) == (REVISION, None)


async def test_all_questions_go_over_one_session_also_when_the_first_two_come_at_once(
    odd: OddServer, asked: OpaServer
) -> None:
    await asyncio.gather(asked.ask({}, "call-1"), asked.ask({}, "call-2"))
    for _ in range(20):
        await asked.ask({}, "call-3")

    assert len(odd.asked) == 22
    assert odd.connections == 2


@pytest.mark.parametrize(
    ("provenance", "revision"),
    [
        pytest.param(None, None, id="none said"),
        pytest.param({"bundles": {"x": {"revision": ""}}}, None, id="one without a revision"),
        pytest.param({"bundles": {"x": {"revision": "git-7"}}}, "git-7", id="the only one"),
        pytest.param(
            {"bundles": {"a": {"revision": "1"}, "tallygate": {"revision": "2"}}}, "2", id="ours"
        ),
        pytest.param({"bundles": {"a": {"revision": "1"}, "b": {}}}, None, id="ours is not there"),
        pytest.param({"bundles": []}, None, id="no map"),
    ],
)
async def test_the_revision_is_our_bundles_or_nobodys(
    odd: OddServer, asked: OpaServer, provenance: Any, revision: str | None
) -> None:
    odd.body = answer(provenance=provenance)

    assert (await asked.ask({}, "call-1")).revision == revision


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"{}", "has no decision", id="before a bundle is active"),
        pytest.param(answer(result=[]), "has no decision", id="another policy's answer"),
        pytest.param(b"[]", "has no decision", id="no object"),
        pytest.param(b"{'", "is no JSON", id="no JSON"),
        pytest.param(b"[" * 100_000, "is no JSON", id="JSON without a bottom"),
        pytest.param(answer(decision_id=SECRET + "\r\nx: y"), "cannot be read", id="odd id"),
        pytest.param(
            answer(provenance={"bundles": {"a": {"revision": 7}}}),
            "cannot be read",
            id="odd revision",
        ),
    ],
)
async def test_what_cannot_be_read_is_no_answer(
    odd: OddServer, asked: OpaServer, body: bytes, said: str
) -> None:
    odd.body = body

    with pytest.raises(EngineFailed, match=said) as failed:
        await asked.ask({"ownership": SECRET}, "call-1")

    assert SECRET not in str(failed.value)
    assert asked.failure == str(failed.value)
    odd.body = answer()
    await asked.ask({}, "call-1")
    assert asked.failure is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503, 504])
async def test_a_refusal_is_no_answer_and_nothing_is_asked_twice(
    odd: OddServer, asked: OpaServer, status: int
) -> None:
    odd.status, odd.body = status, SECRET.encode()

    with pytest.raises(EngineFailed, match=f"answered {status}") as failed:
        await asked.ask({}, "call-1")

    assert len(odd.asked) == 1
    assert SECRET not in str(failed.value)
    assert ("TALLYGATE_OPA_TOKEN" in str(failed.value)) is (status in {401, 403})
    assert isinstance(failed.value, Unanswered) is (status in {502, 503, 504})


async def test_an_answer_that_is_late_is_none_and_nothing_is_asked_twice(odd: OddServer) -> None:
    odd.waits_s, server = 5, OpaServer(odd.url, timeout_s=0.05)
    began = time.monotonic()

    with pytest.raises(Unanswered, match="no answer within 50 ms"):
        await server.ask({}, "call-1")

    assert time.monotonic() - began < 2
    assert len(odd.asked) == 1
    await server.close()


async def test_a_connection_that_breaks_is_no_answer_and_nothing_is_asked_twice(
    odd: OddServer, asked: OpaServer
) -> None:
    odd.hangs_up = True

    with pytest.raises(Unanswered, match="could not be asked"):
        await asked.ask({}, "call-1")

    assert len(odd.asked) == 1


async def test_a_server_that_is_gone_is_not_asked_for_a_while(odd: OddServer) -> None:
    odd.close()
    server = OpaServer(odd.url)
    for _ in range(UNANSWERED_TO_OPEN):
        with pytest.raises(Unanswered, match="could not be asked"):
            await server.ask({}, "call-1")

    with pytest.raises(Unanswered, match="was not asked"):
        await server.ask({}, "call-1")

    assert "could not be asked" in (server.failure or "")  # why, not that it is held back
    await server.close()


async def test_after_it_is_closed_it_answers_nothing(asked: OpaServer) -> None:
    await asked.ask({}, "call-1")
    await asked.close()
    await asked.close()

    with pytest.raises(EngineFailed, match="closed"):
        await asked.ask({}, "call-1")
