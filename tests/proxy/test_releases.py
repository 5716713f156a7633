"""Which LiteLLM releases are known, and what a start on another one is told."""

from __future__ import annotations

import re
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tallygate.proxy.call_types import CALL_TYPES
from tallygate.proxy.gate import _PROXY_Gate
from tallygate.proxy.releases import (
    COMPROMISED_RELEASES,
    LOCKED_RELEASE,
    LOST_WITHOUT_HOOK,
    OLDEST_RELEASE,
    TRIED_RELEASES,
    Seen,
    findings_about,
    look_at_litellm,
)
from tallygate.proxy.selfcheck import Finding

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "compatibility.md"
FAMILIAR: Final = Seen(
    release=LOCKED_RELEASE,
    hooks=frozenset(LOST_WITHOUT_HOOK),
    call_types=frozenset(CALL_TYPES),
    llm_routes=frozenset({"/v1/chat/completions", "/v1/responses/{response_id}", "/bedrock/*"}),
)


def finding(seen: Seen, name: str) -> Finding:
    (found,) = [each for each in findings_about(seen) if each.name == name]
    return found


def test_the_locked_release_is_found_as_it_was_left() -> None:
    assert [each for each in findings_about(FAMILIAR) if not each.ok or each.lost] == []


@pytest.mark.parametrize("release", ["1.106.3", "1.108.0", "1.110.0", "2.0.0", "1.104.9.post1"])
def test_an_unknown_release_is_told_what_was_not_tested(release: str) -> None:
    found = finding(replace(FAMILIAR, release=release), "litellm_release")

    assert not found.ok
    assert found.lost.startswith(f"LiteLLM {release} was not tried")
    assert all(tried in found.lost for tried in TRIED_RELEASES)
    for untested in ("one attempt in the ledger", "retries", "kill -9", "refusal", "prompt or key"):
        assert untested in found.lost


@pytest.mark.parametrize("release", ["1.99.3", "1.100.4", "0.14.1"])
def test_an_older_release_than_is_supported_says_so(release: str) -> None:
    found = finding(replace(FAMILIAR, release=release), "litellm_release")

    assert not found.ok
    assert f"older than {OLDEST_RELEASE}" in found.lost


@pytest.mark.parametrize("release", sorted(COMPROMISED_RELEASES))
def test_a_compromised_release_is_called_that_whatever_its_number(release: str) -> None:
    found = finding(replace(FAMILIAR, release=release), "litellm_release")

    assert not found.ok
    assert "compromised" in found.lost


def test_a_hook_that_litellm_lacks_is_named_with_what_it_costs() -> None:
    gone = "async_post_call_failure_deployment_hook"
    seen = replace(FAMILIAR, hooks=FAMILIAR.hooks - {gone})

    found = finding(seen, "litellm_hooks")

    assert not found.ok
    assert f"{gone}: {LOST_WITHOUT_HOOK[gone]}" in found.lost


def test_call_types_and_routes_that_no_table_has_are_named() -> None:
    seen = replace(
        FAMILIAR,
        call_types=FAMILIAR.call_types | {"atelepathy"},
        llm_routes=FAMILIAR.llm_routes | {"/v1/telepathy/{mind}"},
    )

    assert finding(seen, "litellm_call_types").lost.endswith(": atelepathy")
    assert finding(seen, "litellm_routes").lost.endswith(": /v1/telepathy/{mind}")


def test_what_differs_on_an_older_release_is_said_there_and_only_there() -> None:
    oldest = finding(replace(FAMILIAR, release=OLDEST_RELEASE), "litellm_differences")

    assert not oldest.ok
    assert "/v1/messages" in oldest.lost
    assert "service tier" in oldest.lost
    assert finding(FAMILIAR, "litellm_differences").ok


def test_every_hook_of_the_gate_has_what_is_lost_without_it() -> None:
    hooks = {name for name in vars(_PROXY_Gate) if not name.startswith("_")}

    assert hooks == set(LOST_WITHOUT_HOOK)


def test_the_installed_litellm_shows_what_the_gate_needs() -> None:
    seen = look_at_litellm(LOCKED_RELEASE)

    assert seen.hooks == set(LOST_WITHOUT_HOOK)
    assert "acompletion" in seen.call_types
    assert "/v1/chat/completions" in seen.llm_routes


def test_the_lock_the_script_and_the_page_name_the_same_releases() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    script = (ROOT / "scripts" / "test-litellm").read_text(encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    excluded = re.findall(r'^COMPROMISED="([^"]*)"', script, re.MULTILINE)[0].split()

    assert f"\nlitellm=={LOCKED_RELEASE} " in lock
    assert set(excluded) == COMPROMISED_RELEASES
    assert set(re.findall(r"^\| \*{0,2}(\d+\.\d+\.\d+)", page, re.MULTILINE)) >= TRIED_RELEASES


def test_pyproject_supports_what_was_tried_and_nothing_compromised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (litellm,) = [line for line in project["dependencies"] if line.startswith("litellm[")]

    assert f">={OLDEST_RELEASE}," in litellm
    assert set(re.findall(r"!=([\d.]+)", litellm)) == COMPROMISED_RELEASES


@pytest.mark.parametrize("release", [*sorted(COMPROMISED_RELEASES), "1.107.0.post1", "", "latest"])
def test_the_script_refuses_a_compromised_release_and_no_release(release: str) -> None:
    run = subprocess.run(
        [ROOT / "scripts" / "test-litellm", release],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert run.returncode == 2
    assert ("compromised" in run.stderr) == release.startswith("1.")
    assert not (ROOT / ".tools" / f"litellm-{release}" / "bin").exists()
