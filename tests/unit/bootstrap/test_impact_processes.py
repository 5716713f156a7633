from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from fakes.entries import NOON_NS, SECOND_NS
from fakes.git_repositories import commit_all, new_repository
from fakes.policy_folders import CONTRACT, compile_folder, small_policies
from fakes.recorded_calls import FakeDecisionLines, an_input, some_calls
from tallygate.application.impact import BATCH_INPUTS, find_impact
from tallygate.application.impact_findings import Window
from tallygate.bootstrap import impact_processes
from tallygate.bootstrap.impact import Compared, policies_at
from tallygate.bootstrap.impact_processes import AllCores
from tallygate.errors import EngineFailed

INPUTS = 3 * BATCH_INPUTS + 7
WINDOW = Window(
    since_ns=NOON_NS - SECOND_NS, until_ns=NOON_NS + SECOND_NS, now_ns=NOON_NS, at_ns=NOON_NS
)


@pytest.fixture
def compared(tmp_path: Path) -> Compared:
    """Compare a revision with one that asks for a feature as well."""
    repository = new_repository(tmp_path / "repository")
    folder = compile_folder(small_policies(repository / "policies"))
    commit_all(repository, "The policies in force")
    stricter = CONTRACT.replace("environment]", "environment, feature]", 1)
    assert stricter != CONTRACT
    (folder / "contract" / "data.yaml").write_text(stricter)
    return policies_at(folder, "main", "worktree")


def recorded_calls() -> FakeDecisionLines:
    inputs = [
        an_input(
            f"service-{number % 5}",
            claims={"workflow_id": f"wf-{number}"} | ({"feature": "f"} if number % 2 else {}),
        )
        for number in range(INPUTS)
    ]
    return FakeDecisionLines([some_calls(each, 3) for each in inputs], inputs)


def test_processes_find_what_one_process_finds(
    compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(impact_processes, "cores", lambda: 2)
    told: list[tuple[int, int | None]] = []
    policies = (compared.base, compared.head, WINDOW)

    here = find_impact(recorded_calls(), *policies)
    spread = find_impact(
        recorded_calls(),
        *policies,
        lambda done, of: told.append((done, of)),
        AllCores(compared, WINDOW, inline_batches=0),
    )

    assert spread == here
    assert spread.refused.calls == 3 * (INPUTS + 1) // 2
    assert told[-1] == (INPUTS, INPUTS)


def test_a_process_that_was_ended_from_outside_is_no_answer(
    compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(impact_processes, "cores", lambda: 2)
    monkeypatch.setattr(impact_processes, "_compare_in_worker", end_this_process)

    with pytest.raises(EngineFailed, match="ended from outside"):
        find_impact(
            recorded_calls(),
            compared.base,
            compared.head,
            WINDOW,
            compare=AllCores(compared, WINDOW, inline_batches=0),
        )


def end_this_process(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
