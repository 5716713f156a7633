"""What doctor says of the OPA server that decides, and of workers that it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.engines import ADMIT
from fakes.odd_servers import OddServer
from fakes.policy_folders import small_policies
from tallygate.adapters.files.policies import read_policies
from tallygate.bootstrap.doctor import Check, State, examine
from tallygate.settings import Settings

NOW = "2026-11-21T10:00:00Z"


@pytest.fixture
def odd() -> Iterator[OddServer]:
    server = OddServer()
    yield server
    server.close()


def examined(base: Path, **settings: Any) -> list[Check]:
    chosen = Settings(policies=base / "policies", **settings)
    return [check for check in examine(chosen, base, NOW) if check.name == "opa server"]


def answers(odd: OddServer, revision: str | None, **parts: Any) -> None:
    bundles = {"x": {"revision": revision}} if revision else {}
    odd.body = json.dumps({"result": ADMIT, "provenance": {"bundles": bundles}, **parts}).encode()


def test_without_a_server_nothing_is_said_of_one(tmp_path: Path) -> None:
    assert examined(tmp_path) == []


def test_a_server_that_decides_by_the_folders_revision_is_as_it_should_be(
    tmp_path: Path, odd: OddServer
) -> None:
    revision = read_policies(small_policies(tmp_path / "policies")).revision
    answers(odd, revision, decision_id="d-1")

    (check,) = examined(tmp_path, opa_url=odd.url)

    assert check.state is State.OK
    assert revision in check.found
    assert "with a decision log" in check.found
    assert all(json.loads(body)["input"] == {"call_id": "probe"} for _, body in odd.asked)


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        pytest.param("sha256:other", "another revision than the policies folder's", id="another"),
        pytest.param(None, "does not say by which revision", id="none"),
    ],
)
def test_another_revision_than_the_folders_is_a_warning(
    tmp_path: Path, odd: OddServer, revision: str | None, said: str
) -> None:
    small_policies(tmp_path / "policies")
    answers(odd, revision)

    good, warning = examined(tmp_path, opa_url=odd.url)

    assert good.state is State.OK
    assert "without a decision log" in good.found
    assert warning.state is State.WARNING
    assert said in warning.found
    assert warning.remedy


def test_a_server_that_does_not_answer_is_a_problem(tmp_path: Path, odd: OddServer) -> None:
    odd.status = 503

    (check,) = examined(tmp_path, opa_url=odd.url)

    assert check.state is State.PROBLEM
    assert "answered 503" in check.found
    assert "503" in check.remedy


def test_certificates_that_cannot_be_read_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name, said in (("none.pem", "No such file"), ("ca.pem", "")):
        (check,) = examined(tmp_path, opa_url="https://127.0.0.1:1", opa_ca_file=tmp_path / name)

        assert check.state is State.PROBLEM
        assert f"TALLYGATE_OPA_CA_FILE {tmp_path / name} cannot be used" in check.found
        assert said in check.found
