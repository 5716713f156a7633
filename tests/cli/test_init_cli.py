from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.cli.init import init


def run(*words: object) -> Result:
    return CliRunner().invoke(init, [str(word) for word in words])


def test_it_writes_the_starter_policies_and_the_line_to_add(tmp_path: Path) -> None:
    result = run(tmp_path)

    assert result.exit_code == 0, result.output
    written = read_policies(tmp_path / "policies")
    assert written.revision == read_policies(starter_policies()).revision
    assert 'callbacks: ["tallygate.proxy.handler"]' in result.stdout
    assert "must be a list, and tallygate must stand first" in result.stdout
    assert "tallygate policy check" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["policies"]


def test_the_shipped_cases_stay_behind_since_they_are_about_the_shipped_registry(
    tmp_path: Path,
) -> None:
    run(tmp_path)

    assert not (tmp_path / "policies" / "cases").exists()
    assert (tmp_path / "policies" / "policy.wasm").is_file()


def test_it_writes_here_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert run().exit_code == 0
    assert (tmp_path / "policies" / "contract" / "data.yaml").is_file()


def test_it_names_the_config_files_that_are_there_and_changes_none(tmp_path: Path) -> None:
    config = tmp_path / "litellm_config.yaml"
    config.write_text("model_list: []\n")
    (tmp_path / "other_config.yaml").write_text("a: 1\n")
    (tmp_path / "bad_config.yml").write_bytes(b"\xff")

    result = run(tmp_path)

    assert f"In {config}, add:" in result.stdout
    assert "other_config" not in result.stdout
    assert config.read_text() == "model_list: []\n"


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_it_never_overwrites(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "policies"
    match kind:
        case "folder":
            target.mkdir()
        case "file":
            target.write_text("mine")
        case _:
            target.symlink_to(tmp_path / "nowhere")

    result = run(tmp_path)

    assert result.exit_code == 1
    assert f"{target} is there already; nothing was written." in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["policies"]
    assert not (tmp_path / "nowhere").exists()


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path)
    contract = tmp_path / "policies" / "contract" / "data.yaml"
    contract.write_text("mine")

    assert run(tmp_path).exit_code == 1
    assert contract.read_text() == "mine"


def test_a_folder_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    assert run(tmp_path / "nowhere").exit_code == 2


def test_a_copy_that_fails_leaves_no_half_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("tallygate.cli.init")  # the package's name `init` is the command
    monkeypatch.setattr(module, "starter_policies", lambda: tmp_path / "nowhere")

    result = run(tmp_path)

    assert result.exit_code == 1
    assert "could not be written" in result.stderr
    assert list(tmp_path.iterdir()) == []
