"""Reading a folder to the end: what a reviewer would refuse is refused, and named where it lies."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fakes.broken_policies import ADMISSION, BREAKS, CASE, CONTRACT, REGISTRY, Break, added, said
from fakes.policy_folders import path_without_opa, real_opa
from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.loading import read_bundle, read_last_good
from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.bootstrap import policy_reading
from tallygate.bootstrap.policies import check_folder
from tallygate.bootstrap.policy_reading import (
    MODULE,
    main,
    read_at_start,
    read_to_bundle,
    reading_as_json,
    reading_from_json,
)
from tallygate.domain.kernel.instants import ns_from_text
from tallygate.errors import EngineSlow, PoliciesInvalid

NOW_NS = ns_from_text("2026-11-21T10:00:00Z")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(starter_policies(), tmp_path / "policies"))


@pytest.fixture
def _no_opa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_without_opa(tmp_path / "bin"))


def test_there_are_a_hundred_ways_and_more() -> None:
    assert len(BREAKS) >= 100


@pytest.mark.usefixtures("_no_opa")
@pytest.mark.parametrize("name", list(BREAKS)[::3])
def test_what_is_broken_is_refused_with_its_file(folder: Path, tmp_path: Path, name: str) -> None:
    """A third of the ways; bench/reload.py pushes all of them at a proxy under load."""
    BREAKS[name](folder)

    reading = read_to_bundle(folder, tmp_path / "bundle.zip", NOW_NS)

    assert reading.problems
    assert all(problem.file.startswith(str(folder)) for problem in reading.problems)
    assert all(problem.severity == "error" for problem in reading.problems)
    assert not (tmp_path / "bundle.zip").exists()
    assert reading_from_json(reading_as_json(reading)) == reading


@pytest.mark.parametrize("name", ["rego: syntax", "rego: an unsafe variable"])
def test_where_opa_is_at_hand_rego_is_refused_at_its_line(
    folder: Path, tmp_path: Path, name: str
) -> None:
    real_opa()
    BREAKS[name](folder)

    problem = read_to_bundle(folder, tmp_path / "bundle.zip", NOW_NS).problems[0]

    assert problem.file.endswith(".rego")
    assert problem.file.startswith(str(folder))
    assert problem.line is not None


def test_the_child_hands_over_a_bundle_that_decides_as_the_folder_says(
    folder: Path, tmp_path: Path
) -> None:
    bundle_file = tmp_path / "bundle.zip"
    found = subprocess.run(
        [sys.executable, "-m", MODULE, str(folder), str(bundle_file)],
        check=True,
        capture_output=True,
        timeout=60,
    )

    reading, bundle = reading_from_json(found.stdout), read_bundle(bundle_file)

    policies = read_policies(folder)
    assert reading.problems == ()
    assert bundle is not None
    assert (bundle.revision, bundle.data) == (policies.revision, policies.data)
    assert reading.revision == bundle.revision


def test_a_child_that_cannot_write_says_so_and_judges_nothing(folder: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", MODULE, str(folder), "/dev/null/bundle.zip"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert found.returncode == 3
    assert "NotADirectoryError" in found.stderr
    assert found.stdout == ""


# A host that is too busy for the engine's deadline says nothing about the policies.


@pytest.fixture
def _too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each question but the first empty one be over its deadline."""
    decide = EmbeddedEngine.decide

    def slow(engine: EmbeddedEngine, question: Mapping[str, Any]) -> Mapping[str, Any]:
        if question:
            raise EngineSlow("the policy engine gave no answer (deadline).")
        return decide(engine, question)

    monkeypatch.setattr(EmbeddedEngine, "decide", slow)


@pytest.mark.usefixtures("_too_slow")
def test_an_answer_past_the_deadline_is_not_found_out_and_refuses_nothing(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(policy_reading, "_NICENESS", 0)

    code = main([str(folder), str(tmp_path / "bundle.zip")])

    said_so = capsys.readouterr()
    assert code == 3
    assert said_so.out == ""
    assert said_so.err == "EngineSlow: the policy engine gave no answer (deadline).\n"
    assert not (tmp_path / "bundle.zip").exists()


@pytest.mark.usefixtures("_too_slow")
def test_a_check_whose_cases_are_past_the_deadline_could_not_tell(folder: Path) -> None:
    check = check_folder(folder, "2026-11-21T10:00:00Z")

    assert "deadline" in check.untold
    assert not any(problem.code == "case_differs" for problem in check.problems)


@pytest.mark.usefixtures("_too_slow")
def test_a_first_start_on_a_busy_host_starts_and_says_so(folder: Path, tmp_path: Path) -> None:
    started = read_at_start(folder, tmp_path / "state", NOW_NS)

    assert started.loaded.engine.revision == read_policies(folder).revision
    assert {problem.code for problem in started.reading.problems} == {"case_differs"}
    assert "deadline" in started.loaded.warnings[0]


# At start the same is judged, and there may be nothing else to decide by.


def broken_start(folder: Path, state: Path, change: Break) -> None:
    read_at_start(folder, state, NOW_NS).loaded.engine.close()
    change(folder)


@pytest.mark.parametrize(
    ("change", "said_so"),
    [
        pytest.param(BREAKS["case: what it expects is gone"], "case_differs", id="a case differs"),
        pytest.param(BREAKS["overrides: self-approved"], "self_approved", id="a rule is broken"),
        pytest.param(BREAKS["registry: a key twice"], "yaml_ambiguous", id="it cannot be read"),
    ],
)
def test_a_restart_does_not_put_in_force_what_a_reload_refused(
    folder: Path, tmp_path: Path, change: Break, said_so: str
) -> None:
    state = tmp_path / "state"
    before = read_policies(folder).revision
    broken_start(folder, state, change)

    started = read_at_start(folder, state, NOW_NS)

    assert started.loaded.is_last_good
    assert started.loaded.engine.revision == before
    assert {problem.code for problem in started.reading.problems} == {said_so}
    assert all(p.file.startswith(str(folder)) for p in started.reading.problems)
    assert str(folder) in started.loaded.warnings[0]


def test_a_first_start_takes_what_loads_though_its_cases_differ_and_says_so(
    folder: Path, tmp_path: Path
) -> None:
    said(CASE / "decision.json", '"admit"', '"reject"')(folder)

    started = read_at_start(folder, tmp_path / "state", NOW_NS)

    assert not started.loaded.is_last_good
    assert started.loaded.engine.revision == read_policies(folder).revision
    (warning,) = started.loaded.warnings
    assert "NOT AS IT SHOULD BE" in warning
    assert str(folder / CASE / "decision.json") in warning
    assert read_last_good(tmp_path / "state") is not None


def test_a_first_start_with_what_does_not_load_is_refused_with_file_and_line(
    folder: Path, tmp_path: Path
) -> None:
    added(REGISTRY, "teams: {}\n")(folder)
    lines = len((folder / REGISTRY).read_text().splitlines())

    with pytest.raises(PoliciesInvalid, match=f"{folder / REGISTRY}:{lines}:"):
        read_at_start(folder, tmp_path / "state", NOW_NS)


def test_a_start_in_the_middle_of_writing_falls_back(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    read_at_start(folder, state, NOW_NS)
    monkeypatch.setattr("tallygate.adapters.files.folder_content._TRIES", 3)
    later_ns = time.time_ns()

    def written_just_now(_: object) -> bool:
        return True

    monkeypatch.setattr("tallygate.adapters.files.folder_content._is_fresh", written_just_now)

    started = read_at_start(folder, state, later_ns)

    assert started.loaded.is_last_good
    assert started.reading.problems[0].code == "policies_unsettled"
    assert (folder / CONTRACT).exists()
    assert (folder / ADMISSION).exists()
