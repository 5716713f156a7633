"""Which rules fired: exactly those, by the real opa; without one, all there are, and said so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes.policy_folders import path_without_opa, real_opa
from tallygate.adapters.engines.rego_rules import rules_behind
from tallygate.adapters.files.policies import PolicySet, read_cases, read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.application.explanation import Rule, Rules

POLICIES = starter_policies()
CASES = {case.name: case for case in read_cases(POLICIES)}


@pytest.fixture(scope="module")
def policies() -> PolicySet:
    return read_policies(POLICIES)


def rules_of(policies: PolicySet, name: str) -> Rules:
    case = CASES[name]
    return rules_behind(policies.rego, policies.data, case.question, case.decision, policies.folder)


def text_of(rule: Rule) -> str:
    return Path(rule.file).read_text().splitlines()[rule.line - 1]


def test_the_rules_that_fired_are_named_with_file_line_and_title(policies: PolicySet) -> None:
    opa = real_opa()

    rules = rules_of(policies, "field-missing")

    assert rules.are_those_that_fired
    assert rules.told_by == f"opa eval --coverage, OPA {opa.version}"
    (found,) = rules.by_violation["ownership_missing", "workflow_id"]
    assert found.title == "One violation for each fault"
    assert Path(found.file) == POLICIES / "tallygate/admission/ownership.rego"
    assert text_of(found).startswith('violations contains {"code": "ownership_missing"')
    assert "some field in (required - present)" in found_body(found)


def found_body(rule: Rule) -> str:
    return Path(rule.file).read_text().splitlines()[rule.line]


def test_a_body_that_did_not_come_out_true_is_not_among_them(policies: PolicySet) -> None:
    real_opa()

    admitted = rules_of(policies, "complete-call")
    refused = rules_of(policies, "field-missing")

    assert not [rule for rule in admitted.rules if rule.name == "violations"]
    assert [rule for rule in refused.rules if rule.name == "violations"]


def test_bodies_with_one_code_are_told_apart_by_violation(policies: PolicySet) -> None:
    real_opa()

    rules = rules_of(policies, "override-does-not-cover-the-rest")

    (required,) = rules.by_violation["ownership_missing", "workflow_id"]
    (one_of,) = rules.by_violation["ownership_missing", "tenant_id_hash"]
    assert "required - present" in found_body(required)
    assert "data.contract.one_of" in found_body(one_of)


@pytest.mark.parametrize(
    ("case", "head"),
    [
        ("complete-call", 'else := {"mode": mode, "source": "service_environment"} if'),
        ("report-only-would-reject", 'else := {"mode": mode, "source": "service"} if'),
        ("schedule-in-the-share", '_planned(service, environment) := {"mode": mode, '),
        ("canary-out-of-the-share", '_shared(planned, service, environment) := {"mode": '),
        ("unbound", 'else := {"mode": _unbound_mode, "source": "unbound"} if'),
        ("canary-strictest-out-of-the-share", 'else := {"mode": "report_only", "source": "strict'),
    ],
)
def test_the_body_that_named_the_mode_is_found_among_its_else_branches(
    policies: PolicySet, case: str, head: str
) -> None:
    real_opa()
    source = str(CASES[case].decision["mode_source"])

    (rule,) = rules_of(policies, case).carrying(source)

    assert rule.head.startswith(head)
    assert head in text_of(rule)


def test_without_opa_all_that_could_have_fired_are_named_and_it_is_said(
    policies: PolicySet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", path_without_opa(tmp_path))

    rules = rules_of(policies, "field-missing")

    assert not rules.are_those_that_fired
    assert rules.told_by == "no opa on the PATH"
    able = rules.of_violation("ownership_missing", "workflow_id")
    assert len(able) == 2
    assert all('"ownership_missing"' in rule.head for rule in able)


def test_an_opa_that_fails_is_as_good_as_none(
    policies: PolicySet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "opa"
    broken.write_text('#!/bin/sh\n[ "$1" = version ] && echo "Version: 1.22.0" || echo sorry\n')
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    rules = rules_of(policies, "field-missing")

    assert not rules.are_those_that_fired
    assert "`opa eval --coverage` failed: sorry" in rules.told_by


SOURCE = """\
package a.b

import data.c

# METADATA
# title: Whether it is so
# description: At length.
default told := false

told if input.x

# A sentence of its own. And another.
_unnamed(x) := 1 if {
\tx
} else := 2 if {
\tnot x
}
else := 3

many contains {"code": "c"} if input.y
map[key] := value if {
\tsome key, value in input
}
"""


def test_rego_in_any_form_is_read_for_its_bodies(
    policies: PolicySet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", path_without_opa(tmp_path))
    decision: dict[str, Any] = {"violations": [], "waived": []}

    rules = rules_behind({"a.rego": SOURCE}, policies.data, {}, decision, tmp_path).rules

    assert [(rule.name, rule.line, rule.title) for rule in rules] == [
        ("told", 10, "Whether it is so"),
        ("_unnamed", 13, "A sentence of its own"),
        ("_unnamed", 15, "A sentence of its own"),
        ("_unnamed", 18, "A sentence of its own"),
        ("many", 20, ""),
        ("map", 21, ""),
    ]
    assert rules[2].head == "else := 2 if"
