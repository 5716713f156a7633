from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from fakes.policy_folders import real_opa
from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.files.rollout_plans import PLAN, read_plan
from tallygate.adapters.files.starter import starter_policies
from tallygate.bootstrap.policies import check_folder


def test_the_shipped_plan_is_sound() -> None:
    found = check_folder(starter_policies(), "2026-11-21T12:00:00Z").problems

    assert read_plan(starter_policies()) is not None
    assert [problem for problem in found if str(PLAN) in problem.file] == []


def test_the_plan_decides_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(starter_policies(), folder)
    with_plan = read_policies(folder)
    (folder / PLAN).unlink()

    assert read_policies(folder).revision == with_plan.revision
    assert "rollout" not in with_plan.data


def test_an_opa_server_does_not_read_the_plan_as_data() -> None:
    opa = real_opa()

    answer = subprocess.run(
        [opa.path, "eval", "-b", starter_policies(), "--format", "values", "object.keys(data)"],
        check=True,
        capture_output=True,
        text=True,
    )

    documents = json.loads(answer.stdout)[0]
    assert "registry" in documents
    assert "rollout" not in documents
