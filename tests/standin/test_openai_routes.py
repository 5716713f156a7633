"""Every route of OpenAI's table: in the book with its operation, and with faults on demand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tallygate.standin import openai_table
from tallygate.standin.routing import SOCKET, Route, World

KEY = {"authorization": "Bearer sk-any"}
TABLE = tuple(openai_table.table(World(clock_ns=lambda: 1)))
ROUTES = [route for route in TABLE if route.method != SOCKET]
PUBLIC = [route for route in ROUTES if route.pattern.startswith("/v1/")]
FREE = {
    "models",
    "files",
    "batches",
    "fine_tuning",
    "vector_stores",
    "assistants",
    "threads",
    "messages",
    "moderation",
    "count_tokens",
}
BODY: dict[str, Any] = {
    "model": "gpt-5.4",
    "messages": [{"role": "user", "content": "hi"}],
    "input": "hi",
    "prompt": "hi",
}


@pytest.fixture(scope="module")
def client(standin_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=standin_url) as client:
        yield client


@pytest.fixture(scope="module")
def open_book(standin_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{standin_url}/standin") as client:
        yield client


@pytest.fixture
def book(open_book: httpx.Client) -> httpx.Client:
    """Keep one client for all tests here: making one for each takes longer than the tests."""
    open_book.delete("/calls")
    return open_book


def _ask(client: httpx.Client, route: Route, **headers: str) -> httpx.Response:
    path = re.sub(r"\{\w+\}", "some-id", route.pattern)
    body = BODY if route.method == "POST" else None
    return client.request(route.method, path, json=body, headers={**KEY, **headers})


def _name(route: Route) -> str:
    return f"{route.method} {route.pattern}"


@pytest.mark.parametrize("route", PUBLIC, ids=_name)
def test_a_route_fails_on_demand_and_starts_over(
    client: httpx.Client, book: httpx.Client, route: Route
) -> None:
    wishes = f"fail=1 status=503 retry_after=2 key={_name(route).replace(' ', '_')}"

    failed = _ask(client, route, **{"x-standin": wishes})
    answered = _ask(client, route, **{"x-standin": wishes})

    assert (failed.status_code, failed.headers["retry-after"]) == (503, "2")
    assert answered.status_code in {200, 400, 404}  # an id or a file is missing in some
    first, second = book.get("/calls").json()
    assert (first["status"], first["ended"], first["billed"]) == (503, "error", None)
    assert second["status"] == answered.status_code
    assert first["operation"] == second["operation"] == route.operation
    assert first["provider_request_id"] == failed.headers["x-request-id"]


@pytest.mark.parametrize("route", PUBLIC, ids=_name)
def test_only_what_could_cost_something_generates(
    client: httpx.Client, book: httpx.Client, route: Route
) -> None:
    _ask(client, route, **{"x-standin": "status=500"})

    costs = route.method == "POST" and route.operation not in FREE
    if route.pattern.endswith("/cancel"):
        costs = False
    assert book.get("/count").json()["generating"] == int(costs)


def test_a_route_without_a_key_is_refused_before_its_body_is_read(
    client: httpx.Client, book: httpx.Client
) -> None:
    for route in PUBLIC:
        path = re.sub(r"\{\w+\}", "some-id", route.pattern)
        assert client.request(route.method, path).status_code == 401

    assert book.get("/count").json()["by_end"] == {"error": len(PUBLIC), "open": 0}


def test_azure_s_paths_have_the_same_operations(client: httpx.Client, book: httpx.Client) -> None:
    azure = [route for route in ROUTES if route not in PUBLIC]
    for route in azure:
        assert _ask(client, route, **{"x-standin": "status=503"}).status_code == 503

    calls = book.get("/calls").json()
    assert [call["operation"] for call in calls] == [route.operation for route in azure]
    assert len(azure) == 3 * len(PUBLIC)


def test_an_answer_may_be_late_malformed_or_cut_on_routes_without_a_model(
    client: httpx.Client, book: httpx.Client
) -> None:
    made = client.post("/v1/threads", json={}, headers=KEY)
    late = client.get(
        f"/v1/threads/{made.json()['id']}",
        headers={**KEY, "x-standin": "delay=0.01 malformed"},
    )
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/v1/files", headers={**KEY, "x-standin": "cut=0"})

    assert late.text.startswith('{"id":"thread_')
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        late.json()
    ends = [call["ended"] for call in book.get("/calls").json()]
    assert ends == ["complete", "malformed", "cut"]


def test_a_missing_field_is_named_as_the_provider_names_it(client: httpx.Client) -> None:
    for path, field in (("files", "purpose"), ("images/generations", "prompt")):
        answer = client.post(f"/v1/{path}", json={"model": "gpt-image-1"}, headers=KEY)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


def test_a_form_that_does_not_read_is_refused(client: httpx.Client) -> None:
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        answer = client.post(
            "/v1/files",
            content=b"--x\r\nnothing\r\n--x--\r\n",
            headers={**KEY, "content-type": kind},
        )
        assert answer.status_code == 400
