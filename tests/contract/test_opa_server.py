"""The engine against the real `opa run --server`: what goes wrong there, and how it comes back."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes.opa_servers import RunningOpa, write_bundle
from fakes.policy_folders import ADMISSION, REGO_PATH, small_policies
from fakes.signing_keys import a_certificate
from tallygate.adapters.engines.breaker import OPEN_S, UNANSWERED_TO_OPEN, Unanswered
from tallygate.adapters.engines.opa_server import OpaServer
from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.errors import EngineFailed

AUTHZ = Path(__file__).parents[2] / "deploy" / "opa" / "authz" / "authz.rego"
LOGGED = "--set=decision_logs.console=true"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle"), read_policies(starter_policies()))


@pytest.fixture(scope="module")
def opa(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOpa]:
    with RunningOpa(tmp_path_factory.mktemp("opa"), "-b", str(bundle), LOGGED) as running:
        yield running


@asynccontextmanager
async def asking(url: str, **options: Any) -> AsyncIterator[OpaServer]:
    server = OpaServer(url, **{"timeout_s": 5, **options})
    try:
        yield server
    finally:
        await server.close()


async def test_questions_one_after_another_share_one_connection(opa: RunningOpa) -> None:
    async with asking(opa.url) as server:
        ids = [(await server.ask({}, f"kept-{n}")).decision_id for n in range(20)]

    assert len(set(ids)) == 20
    addresses = {
        found[1]
        for line in opa.log().splitlines()
        if '"call_id":"kept-' in line
        if (found := re.search(r'"requested_by":"([^"]+)"', line))
    }
    assert len(addresses) == 1


async def test_the_id_of_a_decision_is_the_one_in_the_servers_log(opa: RunningOpa) -> None:
    async with asking(opa.url) as server:
        answer = await server.ask({"bucket": 7}, "logged-1")

    (line,) = [line for line in opa.log().splitlines() if '"call_id":"logged-1"' in line]
    assert f'"decision_id":"{answer.decision_id}"' in line


async def test_a_server_without_our_bundle_has_no_decision(tmp_path: Path) -> None:
    with RunningOpa(tmp_path) as empty:
        async with asking(empty.url) as server:
            with pytest.raises(EngineFailed, match="its bundle is not active"):
                await server.ask({}, "call-1")


async def test_a_builtin_that_fails_is_an_error_and_not_silently_undefined(tmp_path: Path) -> None:
    folder = small_policies(tmp_path / "policies")
    failing = 'action := "admit" if {\n\tto_number(input.bucket) == 7\n}\n\naction_ :='
    rego = ADMISSION.replace('action := "admit" if count(violations) == 0', failing + " 1")
    assert rego != ADMISSION
    (folder / REGO_PATH).write_text(rego)
    with RunningOpa(tmp_path, "-b", str(write_bundle(tmp_path, read_policies(folder)))) as opa:
        async with asking(opa.url) as server:
            assert (await server.ask({"bucket": "7"}, "call-1")).decision["action"] == "admit"
            with pytest.raises(EngineFailed, match="answered 500"):
                await server.ask({"bucket": "seven"}, "call-1")


async def test_a_token_opens_the_one_question_that_the_shipped_authorization_allows(
    tmp_path: Path, bundle: Path
) -> None:
    guarded = ("--authentication=token", "--authorization=basic", str(AUTHZ))
    served = f"--set=bundles.tallygate.resource=file://{bundle}"
    environment = {"TALLYGATE_OPA_TOKEN": "tok-1"}
    with RunningOpa(tmp_path, served, *guarded, environment=environment) as opa:
        async with asking(opa.url, token="tok-1") as server:
            assert (await server.ask({}, "call-1")).decision["action"] == "reject"
        for token in ("tok-2", None):
            async with asking(opa.url, token=token) as server:
                with pytest.raises(
                    EngineFailed, match=r"answered 401: look at TALLYGATE_OPA_TOKEN"
                ):
                    await server.ask({}, "call-1")
        assert not opa.answers("/v1/data/registry")
        assert opa.answers("/metrics")


async def test_an_https_server_is_believed_by_its_certificate_alone(
    tmp_path: Path, bundle: Path
) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    certificate = a_certificate(own)
    keys = ("--tls-private-key-file", str(certificate.private))
    tls = ("--tls-cert-file", str(certificate.file), *keys)
    with RunningOpa(tmp_path, "-b", str(bundle), *tls, trusted=certificate.file) as opa:
        async with asking(opa.url, ca_file=certificate.file) as server:
            assert (await server.ask({}, "call-1")).decision["action"] == "reject"
        for ca_file in (a_certificate(other).file, None):
            async with asking(opa.url, ca_file=ca_file) as server:
                with pytest.raises(Unanswered, match="Certificate"):
                    await server.ask({}, "call-1")


async def test_a_server_that_hangs_costs_each_caller_the_timeout_until_the_breaker_opens(
    tmp_path: Path, bundle: Path
) -> None:
    with RunningOpa(tmp_path, "-b", str(bundle)) as opa:
        async with asking(opa.url, timeout_s=0.25) as server:
            await server.ask({}, "call-1")
            opa.pause()
            for _ in range(UNANSWERED_TO_OPEN):
                with pytest.raises(Unanswered, match="no answer within 250 ms"):
                    await server.ask({}, "call-1")
            began = time.monotonic()
            for _ in range(100):
                with pytest.raises(Unanswered, match="was not asked"):
                    await server.ask({}, "call-1")
            took = time.monotonic() - began
            opa.go_on()

            assert took < 0.25, "a hundred callers together waited less than one did before"
            await is_back(server)


async def test_a_server_that_was_killed_is_asked_again_once_it_is_back(
    tmp_path: Path, bundle: Path
) -> None:
    with RunningOpa(tmp_path, "-b", str(bundle)) as opa:
        async with asking(opa.url) as server:
            await server.ask({}, "call-1")
            opa.kill9()
            for _ in range(UNANSWERED_TO_OPEN):
                with pytest.raises(Unanswered, match="could not be asked"):
                    await server.ask({}, "call-1")
            with pytest.raises(Unanswered, match="was not asked"):
                await server.ask({}, "call-1")

            opa.start()
            await is_back(server)


async def is_back(server: OpaServer) -> None:
    """Ask until it answers, which is soon after the breaker lets one question through."""
    deadline = time.monotonic() + OPEN_S + 5
    while True:
        try:
            await server.ask({}, "call-1")
        except EngineFailed:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        else:
            return
