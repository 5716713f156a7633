"""
A policies folder as one thing: data, Rego, compiled policy, cases and price lists together.

Errors  Findings are problems; what could not be found out is said apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import compile_policy, find_opa, verify_compiled
from tallygate.adapters.files.policies import PolicyCase, PolicySet, read_cases, read_policies
from tallygate.adapters.files.rollout_plans import read_plan
from tallygate.adapters.files.rule_books import check_rule_books
from tallygate.application.policy_check import check_policies
from tallygate.application.rollout_check import DOCUMENT, check_plan
from tallygate.errors import EngineError, EngineFailed, PoliciesInvalid, PolicyNotCompiled, Problem


@dataclass(slots=True)
class FolderCheck:
    """What was found in a policies folder."""

    problems: list[Problem] = field(default_factory=list)
    revision: str | None = None
    """None when the folder could not be read."""
    cases_run: int = 0
    untold: str | None = None
    """Why some of it could not be checked."""

    @property
    def errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.problems)


def check_folder(folder: Path, now: str) -> FolderCheck:
    """Check everything in the folder as of `now`; nothing is written."""
    check = FolderCheck()
    if folder.is_dir():
        check.problems.extend(check_rule_books(folder))
    try:
        policies = read_policies(folder)
    except PoliciesInvalid as error:
        check.problems.extend(error.problems)
        return check
    check.revision = policies.revision
    check.problems.extend(check_policies(policies.documents, now))
    check.problems.extend(_plan_problems(policies, now))
    try:
        wasm = _usable_wasm(policies, check)
        engine = EmbeddedEngine(wasm, policies.data, policies.revision)
        for case in read_cases(folder):
            check.cases_run += 1
            check.problems.extend(_differences(engine, case))
    except PoliciesInvalid as error:
        check.problems.extend(error.problems)
    except EngineError as error:
        check.untold = f"the cases were not run: {error}"
    return check


def _plan_problems(policies: PolicySet, now: str) -> Iterator[Problem]:
    try:
        plan = read_plan(policies.folder)
    except PoliciesInvalid as error:
        yield from error.problems
        return
    if plan is not None:
        yield from check_plan({**policies.documents, DOCUMENT: plan}, now)


def _usable_wasm(policies: PolicySet, check: FolderCheck) -> bytes:
    try:
        return verify_compiled(policies.rego, policies.wasm, policies.lock)
    except PolicyNotCompiled as stale:
        problem = Problem(
            code=stale.code, message=str(stale), file=str(policies.folder / "policy.lock")
        )
        check.problems.append(problem)
        opa = find_opa()
        if opa is None:
            raise
        return compile_policy(policies.rego, opa, policies.folder)


def _differences(engine: EmbeddedEngine, case: PolicyCase) -> Iterator[Problem]:
    try:
        answer = engine.decide(case.question)
    except EngineFailed as error:
        yield Problem(code="case_differs", message=str(error), file=case.file)
        return
    for name in sorted({*answer, *case.decision}):
        if answer.get(name) != case.decision.get(name):
            yield Problem(
                code="case_differs",
                message=f"expected {_shown(case.decision, name)}, the policy says"
                f" {_shown(answer, name)}.",
                remedy="Change the policy, or the case when the new decision is meant.",
                file=case.file,
                where=name,
            )


def _shown(decision: Mapping[str, Any], name: str) -> str:
    return str(decision[name]) if name in decision else "nothing"
