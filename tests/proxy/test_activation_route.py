"""The routes of break-glass in an app of their own, behind a stand-in for LiteLLM's auth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from litellm.proxy._types import LiteLLMRoutes, ProxyException, UserAPIKeyAuth
from litellm.proxy.auth.route_checks import RouteChecks
from litellm.proxy.auth.user_api_key_auth import user_api_key_auth
from litellm.proxy.common_utils.http_parsing_utils import _read_request_body

from fakes.activations import FakeActivations
from fakes.break_glass import HOUR_NS, a_night, glass
from fakes.entries import NOON_NS
from fakes.lines import BrokenSpool, a_line, events_in
from tallygate.application.flow import RequestLine
from tallygate.proxy.activation_route import (
    ACTIVATE,
    END,
    PREFIX,
    activation_routes,
    let_keys_call,
)
from tallygate.proxy.own_routes import install_own_routes

PATH = "/tallygate/overrides/bg-support-outage"
WISH = {"reason": "the flag service is down", "ticket": "INC-7", "hours": 2}


class Served:
    """A line, what is activated beside it, and the app that serves both."""

    def __init__(self, line: RequestLine, *kept: Any) -> None:
        self.line = line
        self.line.policy = replace(line.policy, break_glass=glass())
        self.activations = FakeActivations(*kept)
        self.team = "llm-platform"
        app = FastAPI()

        @app.post("/{anything:path}")
        async def take_all(anything: str) -> None:
            raise AssertionError(anything, "a catch-all of LiteLLM's got the request")

        app.dependency_overrides[user_api_key_auth] = self._authenticated
        install_own_routes(app, [activation_routes(line, self.activations)])
        let_keys_call()
        self.client = TestClient(app)

    async def _authenticated(self, request: Request) -> UserAPIKeyAuth:
        with suppress(ProxyException):
            await _read_request_body(request)  # as LiteLLM's auth does: a form as a form
        return UserAPIKeyAuth(api_key="sk-test", team_id=self.team)


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served(a_line())
    with made.client:
        yield made


def test_an_activation_is_kept_and_answered_with_its_end(served: Served) -> None:
    answer = served.client.post(f"{PATH}/activate", json=WISH)

    assert answer.status_code == 200
    assert answer.json()["until"] == "2026-11-21T14:00:00Z"
    assert served.activations.kept["bg-support-outage"].until_ns == NOON_NS + 2 * HOUR_NS
    (event,) = events_in(served.line)
    assert event.call.principal_team == "llm-platform"
    assert event.call.route == f"{PREFIX}{ACTIVATE}"


def test_without_hours_it_is_as_long_as_the_entry_allows(served: Served) -> None:
    answer = served.client.post(f"{PATH}/activate", json={**WISH, "hours": None})

    assert answer.json()["until"] == "2026-11-21T20:00:00Z"


@pytest.mark.parametrize("body", [b"", b'{"reason": "it is back"}', b"{}"])
def test_an_end_may_say_why(served: Served, body: bytes) -> None:
    served.activations.keep(a_night())

    answer = served.client.post(f"{PATH}/end", content=body)

    assert answer.status_code == 200
    assert served.activations.kept == {}
    (event,) = events_in(served.line)
    assert event.activation is not None
    assert event.activation.reason == ("it is back" if b"back" in body else "ended early")


@pytest.mark.parametrize(
    ("body", "part"),
    [
        pytest.param(b"", "a JSON object", id="empty"),
        pytest.param(b"reason=down", "a JSON object", id="a form"),
        pytest.param(b"[1]", "a JSON object", id="a list"),
        pytest.param(b"\xff", "a JSON object", id="no text"),
        pytest.param(b'{"until": "ever"}', "expected only reason, ticket, hours", id="more"),
        pytest.param(b'{"hours": 1.5}', "hours: expected a whole number", id="half an hour"),
        pytest.param(b'{"reason": 7}', "reason: expected text", id="a number"),
    ],
)
def test_a_body_that_cannot_be_read_is_explained(served: Served, body: bytes, part: str) -> None:
    answer = served.client.post(f"{PATH}/activate", content=body)

    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "activation_invalid"
    assert part in answer.json()["error"]["message"]
    assert events_in(served.line) == []


@pytest.mark.parametrize("path", ["activate", "end"])
@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_form_is_told_to_be_json(served: Served, path: str, content_type: str) -> None:
    served.activations.keep(a_night())
    form = json.dumps(WISH) if "urlencoded" in content_type else "--x--\r\n"

    answer = served.client.post(
        f"{PATH}/{path}", content=form, headers={"content-type": content_type}
    )

    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "activation_invalid"
    assert "content-type application/json" in answer.json()["error"]["message"]
    assert events_in(served.line) == []


def test_nobody_without_the_role_gets_in(served: Served) -> None:
    served.team = "llm-other"

    for path, body in (("activate", WISH), ("end", {})):
        assert served.client.post(f"{PATH}/{path}", json=body).status_code == 403


def test_an_event_that_cannot_be_written_is_no_activation() -> None:
    served = Served(a_line(spool=BrokenSpool()))

    answer = served.client.post(f"{PATH}/activate", json=WISH)

    assert answer.status_code == 503
    assert served.activations.kept == {}


def test_a_folder_that_takes_nothing_is_said(served: Served) -> None:
    served.activations.is_broken = True

    answer = served.client.post(f"{PATH}/activate", json=WISH)

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "activations_unusable"


def test_litellm_lets_keys_of_users_through_to_these_routes(served: Served) -> None:
    allowed = LiteLLMRoutes.self_managed_routes.value

    for path in ("activate", "end"):
        assert RouteChecks.check_route_access(f"{PATH}/{path}", allowed)
    assert not RouteChecks.check_route_access("/tallygate/overrides/bg-1/other", allowed)
    let_keys_call()
    assert [allowed.count(f"{PREFIX}{path}") for path in (ACTIVATE, END)] == [1, 1]
