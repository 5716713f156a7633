from __future__ import annotations

import pytest

from fakes.policy_folders import CONTRACT, DOCUMENTS, REGISTRY
from tallygate.adapters.files.schemas import read_schema, schema_problems
from tallygate.adapters.files.starter import starter_policies
from tallygate.adapters.files.strict_yaml import parse_yaml
from tallygate.application.policy_check import check_policies
from tallygate.errors import Problem

MODES = "    modes: {default: report_only, prod: enforce}\n"
STEP = '{{from: "2026-12-01T00:00:00Z", mode: {mode}, canary: 10}}'


def check(added: str, modes: str = MODES, contract: str = CONTRACT) -> tuple[Problem, ...]:
    registry = REGISTRY.replace(MODES, f"{modes}    {added}\n")
    assert registry != REGISTRY
    texts = {**DOCUMENTS, "registry": registry, "contract": contract}
    documents = {name: parse_yaml(text, name) for name, text in texts.items()}
    return check_policies(documents, "2026-11-21T10:00:00Z")


@pytest.mark.parametrize(
    ("added", "modes"),
    [
        pytest.param("canary: {prod: 10}", MODES, id="where the mode is enforce"),
        pytest.param("canary: {default: 10}", MODES, id="the default, where one is enforced"),
        pytest.param(
            "canary: {staging: 10}", "    modes: {default: enforce}\n", id="enforced by default"
        ),
        pytest.param(
            f"schedule: [{STEP.format(mode='enforce')}]",
            "    modes: {default: report_only}\n",
            id="of a step",
        ),
    ],
)
def test_a_canary_that_shares_something_is_good(added: str, modes: str) -> None:
    assert check(added, modes) == ()


def test_a_canary_counts_where_the_contract_s_default_mode_enforces() -> None:
    enforced = CONTRACT.replace("modes: {default: report_only}", "modes: {default: enforce}")

    assert check("canary: {staging: 10}", modes="", contract=enforced) == ()


@pytest.mark.parametrize(
    ("added", "where", "code", "severity"),
    [
        pytest.param(
            "canary: {porduction: 10}", "porduction", "unknown_reference", "error", id="x"
        ),
        pytest.param("canary: {prod: 0}", "prod", "canary_unused", "warning", id="of nobody"),
        pytest.param("canary: {staging: 10}", "staging", "canary_unused", "warning", id="nowhere"),
        pytest.param(
            "canary: {prod: 10, default: 5}",
            "default",
            "canary_unused",
            "warning",
            id="the default, where none of the rest is enforced",
        ),
    ],
)
def test_a_canary_that_shares_nothing_is_named_with_its_line(
    added: str, where: str, code: str, severity: str
) -> None:
    (problem,) = check(added)

    assert (problem.code, problem.severity) == (code, severity)
    assert problem.where == f"services.support-assistant.canary.{where}"
    assert problem.line == REGISTRY[: REGISTRY.index(MODES)].count("\n") + 2


def test_a_canary_of_a_report_only_step_is_named() -> None:
    (problem,) = check(f"schedule: [{STEP.format(mode='report_only')}]")

    assert (problem.code, problem.severity) == ("canary_unused", "warning")
    assert problem.where == "services.support-assistant.schedule.0.canary"


def test_a_step_that_enforces_nobody_is_named() -> None:
    (problem,) = check(f"schedule: [{STEP.format(mode='enforce').replace('10}', '0}')}]")

    assert (problem.code, problem.severity) == ("canary_unused", "warning")
    assert "0 percent" in problem.message


@pytest.mark.parametrize("share", ["-1", "101", '"10"', "ten", "[10]"])
@pytest.mark.parametrize("form", ["canary: {{prod: {share}}}", "schedule: [{{canary: {share}}}]"])
def test_a_share_is_a_percent(form: str, share: str) -> None:
    registry = REGISTRY.replace(MODES, f"{MODES}    {form.format(share=share)}\n")
    schema = read_schema(starter_policies() / "schemas" / "registry.json")

    found = schema_problems(parse_yaml(registry, "registry/data.yaml"), schema)

    assert any(problem.where.rpartition("canary")[1] for problem in found)
