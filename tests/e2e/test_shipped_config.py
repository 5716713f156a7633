"""litellm_config.yaml, the demo keys and policies/registry agree with each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tallygate.proxy.demo_auth import DEMO_TEAMS
from tallygate.standin.__main__ import main as standin

REPOSITORY = Path(__file__).parents[2]


def _read(path: str) -> Any:
    return yaml.safe_load((REPOSITORY / path).read_text())


@pytest.fixture(scope="module")
def config() -> Any:
    return _read("litellm_config.yaml")


@pytest.fixture(scope="module")
def registry() -> Any:
    return _read("policies/registry/data.yaml")


def test_the_installation_is_one_line_first_in_a_list(config: Any) -> None:
    assert config["litellm_settings"]["callbacks"] == ["tallygate.proxy.handler"]


def test_every_demo_key_speaks_for_a_team_that_the_registry_binds(registry: Any) -> None:
    teams = {team for team in DEMO_TEAMS.values() if team is not None}

    assert teams == set(registry["principals"]["teams"])


def test_every_model_of_the_config_stands_in_a_group(config: Any, registry: Any) -> None:
    grouped = {name for names in registry["model_groups"].values() for name in names}

    assert {model["model_name"] for model in config["model_list"]} <= grouped


def test_no_key_and_no_address_stands_in_the_config(config: Any) -> None:
    held = [
        str(value)
        for model in config["model_list"]
        for name, value in model["litellm_params"].items()
        if name != "model"
    ]

    assert all(value.startswith("os.environ/") for value in held)
    assert config["general_settings"]["master_key"].startswith("os.environ/")


def test_the_stand_in_prints_every_variable_that_the_config_reads(
    config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (REPOSITORY / "litellm_config.yaml").read_text()
    read = {word.split("/")[1] for word in text.split() if word.startswith("os.environ/")}
    for name in read:
        monkeypatch.delenv(name, raising=False)

    printed = CliRunner().invoke(standin, ["--print-env", "--port", "4999"]).output

    assert {line.split("=")[0].removeprefix("export ") for line in printed.splitlines()} == read
    assert "export OPENAI_API_BASE=http://127.0.0.1:4999/v1" in printed
