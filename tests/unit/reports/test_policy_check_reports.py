"""The reports of `policy check`, against files that people and tools can read."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from tallygate.application.folder_check import FolderCheck
from tallygate.application.problem_codes import PROBLEM_CODES, explained
from tallygate.errors import Problem
from tallygate.reports.policy_check.document import check_document
from tallygate.reports.policy_check.github import check_annotations
from tallygate.reports.policy_check.junit import check_junit
from tallygate.reports.policy_check.sarif import check_sarif
from tallygate.reports.policy_check.text import check_text

GOLDEN: Final = Path(__file__).parents[2] / "golden"
SOURCE: Final = Path(__file__).parents[3] / "src" / "tallygate"

REGISTRY: Final = "policies/registry/data.yaml"
OVERRIDES: Final = "policies/overrides/data.yaml"
FOUND: Final = FolderCheck(
    problems=[
        Problem(
            code="unknown_reference",
            message="there is no team team-suport.",
            remedy="Did you mean team-support? Expected one of: team-support, 100%, a:b.",
            file=REGISTRY,
            line=17,
            column=17,
            where="services.support-assistant.owner_team",
        ),
        Problem(
            code="override_expired",
            message="it has expired and excuses nothing.",
            remedy="Remove it.",
            file=OVERRIDES,
            line=6,
            column=5,
            where="support-assistant.ovr-1.expires_at",
            severity="warning",
        ),
        Problem(code="rego_invalid", message="a <b> & \x1b[31m\n::c", file="policies/a b,ü.rego"),
        Problem(code="rego_invalid", message="a <b> & \x1b[31m\n::c", file="policies/a b,ü.rego"),
        Problem(code="missing", message="there is no folder.", line=1, file="/elsewhere/policies"),
    ],
    files=["policies/contract/data.yaml", REGISTRY, OVERRIDES],
    revision="sha256:abc",
    cases_run=3,
    untold="the cases were not run: no answer.",
    unchecked=["the Rego's form: there is no opa on the PATH."],
)


def golden(name: str) -> str:
    return (GOLDEN / name).read_text(encoding="utf-8")


def test_text_is_as_it_was() -> None:
    assert check_text(FOUND, "policies") + "\n" == golden("policy_check.txt")


def test_annotations_for_github_are_as_they_were() -> None:
    assert check_annotations(FOUND, "policies") + "\n" == golden("policy_check.github.txt")


def test_junit_is_as_it_was() -> None:
    assert check_junit(FOUND) + "\n" == golden("policy_check.junit.xml")


def test_sarif_is_as_it_was() -> None:
    assert check_sarif(FOUND, "1.2.3") == json.loads(golden("policy_check.sarif"))


def test_no_line_of_a_log_begins_with_a_command_that_we_did_not_write() -> None:
    """A value in a file may hold a line break and then what a runner takes for a command."""
    for report in (check_text(FOUND, "::x"), check_annotations(FOUND, "policies")):
        for line in report.splitlines():
            assert not line.startswith("::c")
            assert not re.search(r"[\x00-\x1f]", line)


def test_the_counts_of_junit_add_up() -> None:
    root = ET.fromstring(check_junit(FOUND))

    assert root.attrib["tests"] == str(len(root.findall("./testsuite/testcase")))
    assert root.attrib["failures"] == str(len(root.findall(".//failure"))) == "4"
    assert root.attrib["errors"] == str(len(root.findall(".//error"))) == "1"
    assert root.attrib["skipped"] == str(len(root.findall(".//skipped"))) == "1"
    passed = root.find("./testsuite[@name='policies/contract/data.yaml']/testcase")
    assert passed is not None
    assert list(passed) == []


def test_sarif_names_each_rule_once_and_points_at_it() -> None:
    (run,) = check_sarif(FOUND, "1.2.3")["runs"]
    rules = run["tool"]["driver"]["rules"]

    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert all(rule["help"]["text"] and rule["shortDescription"]["text"] for rule in rules)
    fingerprints = [result["partialFingerprints"]["place/v1"] for result in run["results"]]
    assert len(set(fingerprints)) == len(fingerprints)


def test_a_fingerprint_stays_when_the_line_moves() -> None:
    def of_line(line: int) -> object:
        problem = Problem(code="schema", message="m", file=REGISTRY, line=line, where="a.b")
        (run,) = check_sarif(FolderCheck(problems=[problem]), "1")["runs"]
        return run["results"][0]["partialFingerprints"]

    assert of_line(3) == of_line(30)


def test_json_says_all_of_it() -> None:
    document = json.loads(json.dumps(check_document(FOUND)))

    assert document["ok"] is False
    assert (document["errors"], document["warnings"]) == (4, 1)
    assert document["could_not_tell"] == FOUND.untold
    assert document["not_checked"] == FOUND.unchecked


def codes_in_the_sources() -> set[str]:
    """Find what is given as `code=` to a Problem, or as the code of `say`, `problem`, `refuse`."""
    found: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            called = node.func.id if isinstance(node.func, ast.Name) else called
            place = {"say": 2, "problem": 1, "refuse": 1}.get(called)
            given = [k.value for k in node.keywords if k.arg == "code" and called == "Problem"]
            given += node.args[place : place + 1] if place is not None else []
            found |= {str(one.value) for one in given if isinstance(one, ast.Constant)}
    return {code for code in found if re.fullmatch(r"[a-z]+(_[a-z]+)*", code)}


def test_every_code_is_explained_and_nothing_else_is() -> None:
    indirect = {"policy_not_compiled", "rego_not_portable", "rego_invalid"}
    indirect |= {"retired_owner", "owner_retires"}
    of_other_commands = {"anchor_invalid", "edit_refused", "not_written"}

    assert codes_in_the_sources() - PROBLEM_CODES.keys() == of_other_commands
    assert PROBLEM_CODES.keys() - codes_in_the_sources() - indirect == set()


@pytest.mark.parametrize("code", sorted(PROBLEM_CODES))
def test_an_explanation_is_a_title_and_sentences(code: str) -> None:
    known = explained(code)

    assert not known.title.endswith(".")
    assert known.help.endswith(".")


def test_a_code_of_another_tool_stands_for_itself() -> None:
    assert explained("some_new_code").title == "Some new code"
