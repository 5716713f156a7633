"""What the gate says of the OPA server that decides: once, and what doctor reads."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from fakes.engines import ADMIT, FakeEngine, FakeServer
from fakes.lines import a_line
from tallygate.application.flow import RequestLine
from tallygate.proxy.server_check import ServerCheck


def a_served_line(server: FakeServer, revision: str = "sha256:server") -> RequestLine:
    line = a_line()
    line.server = server
    line.policy = replace(line.policy, engine=FakeEngine(revision=revision))
    return line


async def test_without_a_server_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    check = ServerCheck(a_line())

    await check.look()

    assert check.content() is None
    assert caplog.records == []


async def test_the_server_is_asked_once_before_any_call_needs_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tallygate.proxy")
    server = FakeServer()
    check = ServerCheck(a_served_line(server))

    for _ in range(3):
        await check.look()

    assert server.asked == ["probe"]
    assert [record.message for record in caplog.records] == [
        "opa_server_answers revision=sha256:server"
    ]
    assert check.content() == {"url": server.url, "revision": "sha256:server", "failure": None}


async def test_another_revision_than_the_folders_is_said_once_and_again_when_it_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = a_served_line(FakeServer(), revision="sha256:folder")
    check = ServerCheck(line)

    await check.look()
    await check.look()
    line.policy = replace(line.policy, engine=FakeEngine(revision="sha256:newer"))
    await check.look()

    assert [record.message for record in caplog.records] == [
        "opa_server_revision_differs server=sha256:server folder=sha256:folder",
        "opa_server_revision_differs server=sha256:server folder=sha256:newer",
    ]


async def test_a_server_that_is_gone_is_said_with_the_reason_and_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tallygate.proxy")
    is_there = False
    server = FakeServer(lambda _: ADMIT if is_there else None)
    check = ServerCheck(a_served_line(server))

    await check.look()
    assert check.content() == {"url": server.url, "revision": None, "failure": server.failure}
    is_there = True
    await server.ask({}, "call-1")
    await check.look()

    first, second = (record.message for record in caplog.records)
    assert first.startswith("opa_server_failed reason=the OPA server could not be asked")
    assert second == "opa_server_answers revision=sha256:server"
