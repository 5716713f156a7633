"""deploy/opa with a real OPA: what it logs, what it refuses, what it does without its servers."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from contract.questions import generated_questions
from e2e.opa.conftest import Deploy
from e2e.opa.deployment import REPOSITORY, Deployment
from fakes.opa_servers import wait_until
from fakes.signing_keys import a_signing_key
from tallygate.adapters.engines.opa_bundle import bundle_content, packed
from tallygate.adapters.engines.opa_server import PROBE, OpaServer
from tallygate.adapters.files.policies import read_policies
from tallygate.application.ports import Answer

POLICIES: Final = REPOSITORY / "policies"


@pytest.fixture(scope="module")
def deployed(deploy: Deploy) -> Deployment:
    return deploy(POLICIES)


def asked(deployed: Deployment, *questions: tuple[Mapping[str, Any], str]) -> list[Answer]:
    async def ask_all() -> list[Answer]:
        server = OpaServer(deployed.opa.url, timeout_s=5)
        try:
            return [await server.ask(question, call_id) for question, call_id in questions]
        finally:
            await server.close()

    return asyncio.run(ask_all())


def revision_at(deployed: Deployment) -> str | None:
    (answer,) = asked(deployed, ({}, "revision"))
    return answer.revision


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """Write the same policies with one feature more."""
    folder = tmp_path / "changed"
    shutil.copytree(POLICIES, folder)
    registry = folder / "registry" / "data.yaml"
    text = registry.read_text()
    assert "features:\n" in text
    registry.write_text(text.replace("features:\n", "features:\n  brand-new: {}\n", 1))
    return folder


def test_the_signed_bundle_is_activated_under_its_revision(deployed: Deployment) -> None:
    revision = read_policies(POLICIES).revision

    assert revision_at(deployed) == revision
    assert "Bearer for-bundles" in deployed.host.tokens
    wait_until(lambda: deployed.host.status_of().get("active_revision") == revision)


def test_the_log_has_each_decision_under_the_id_that_the_gate_was_told(
    deployed: Deployment,
) -> None:
    calls = [f"call-{number}" for number in range(50)]

    answers = asked(deployed, *(({"bucket": 1}, call_id) for call_id in calls))

    wait_until(lambda: all(deployed.logged(call_id) for call_id in calls))
    for call_id, answer in zip(calls, answers, strict=True):
        (line,) = deployed.logged(call_id)
        assert line["decision_id"] == answer.decision_id
        assert line["bundles"]["tallygate"]["revision"] == answer.revision
        assert line["result"] == answer.decision


def test_nothing_that_the_policy_did_not_accept_is_logged_and_no_key(deployed: Deployment) -> None:
    """Method: generated questions; what is left must be in the registry or match the contract."""
    data = read_policies(POLICIES).data
    questions = list(generated_questions(data, 400, seed=9))
    for number, question in enumerate(questions):
        if isinstance(question.get("principal"), dict):
            question["principal"]["key"] = f"{number:064x}"

    asked(deployed, *((question, f"masked-{n}") for n, question in enumerate(questions)))

    last = f"masked-{len(questions) - 1}"
    wait_until(lambda: deployed.logged(last))
    lines = [line for d in range(len(questions)) for line in deployed.logged(f"masked-{d}")]
    assert len(lines) == len(questions)
    removed = 0
    for line in lines:
        removed += any("ownership" in path for path in line.get("erased", ()))
        principal = line["input"].get("principal")
        assert not isinstance(principal, dict) or "key" not in principal, line
        for name, value in said(line).items():
            assert is_accepted(name, value, data), (name, value)
    assert removed > 50, "the questions held something to remove"


def said(line: Mapping[str, Any]) -> Mapping[str, Any]:
    ownership = line["input"].get("ownership", {})
    return ownership if isinstance(ownership, dict) else {"ownership": ownership}


def is_accepted(name: str, value: object, data: Mapping[str, Any]) -> bool:
    places = {
        "owner_team": "teams",
        "service": "services",
        "environment": "environments",
        "feature": "features",
    }
    if value == "":
        return True  # nothing was said
    if (place := places.get(name)) is not None:
        return value in data["registry"][place]
    pattern = data["contract"]["fields"][name].get("pattern")
    return isinstance(value, str) and re.search(pattern, value) is not None


def test_what_no_call_asked_is_not_logged(deployed: Deployment) -> None:
    asked(deployed, ({}, PROBE), ({}, "after-the-probe"))

    wait_until(lambda: deployed.logged("after-the-probe"))
    assert deployed.logged(PROBE) == []


def test_a_bundle_that_is_not_signed_by_our_key_is_refused_and_the_last_good_one_stays(
    deployed: Deployment, changed: Path, tmp_path: Path
) -> None:
    good, revision = deployed.host.bundle, read_policies(POLICIES).revision
    new = read_policies(changed)
    wrong = {
        "signed by somebody else": deployed.bundle_of(changed, a_signing_key(tmp_path)),
        "not signed": packed(bundle_content(new.data, new.rego, new.revision)),
        "signed, then cut off": good[: len(good) // 2],
    }
    for why, bundle in wrong.items():
        deployed.host.bundle = bundle
        wait_until(lambda: "code" in deployed.host.status_of(), lambda why=why: why)
        assert revision_at(deployed) == revision, why
        assert deployed.host.status_of()["active_revision"] == revision, why

        deployed.host.bundle = good
        wait_until(lambda: "code" not in deployed.host.status_of(), lambda why=why: why)

    deployed.host.bundle = deployed.bundle_of(changed)
    wait_until(lambda: revision_at(deployed) == new.revision)
    deployed.host.bundle = good
    wait_until(lambda: revision_at(deployed) == revision)


def test_a_key_is_changed_without_a_moment_without_a_policy(
    deploy: Deploy, changed: Path, tmp_path: Path
) -> None:
    """Method: the order of deploy/opa/README.md; a restart in the middle is the risk in it."""
    changing, second = deploy(POLICIES), a_signing_key(tmp_path)
    old, new = read_policies(POLICIES).revision, read_policies(changed).revision
    wait_until(lambda: any(changing.folder.glob("opa-state/bundles/tallygate/*")))

    changing.host.bundle = changing.bundle_of(changed, second, "tallygate-2")
    wait_until(lambda: "code" in changing.host.status_of())
    assert revision_at(changing) == old
    changing.opa.kill9()
    changing.opa.start(ready="/health?bundles")
    assert revision_at(changing) == old, "kept on disk, and still trusted"

    changing.trust(second, "tallygate-2")
    changing.opa.stop()
    changing.opa.start()
    assert revision_at(changing) == new


def test_started_again_without_its_bundle_server_it_has_the_last_good_bundle(
    deploy: Deploy,
) -> None:
    alone = deploy(POLICIES)
    wait_until(lambda: any(alone.folder.glob("opa-state/bundles/tallygate/*")))
    alone.opa.stop()
    alone.host.close()

    alone.opa.start(ready="/health?bundles")

    assert revision_at(alone) == read_policies(POLICIES).revision
