"""
A policies folder as one thing: data, Rego, compiled policy, cases and price lists together.

Errors  Findings are problems; what could not be found out is said apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import compile_policy, find_opa, verify_compiled
from tallygate.adapters.engines.opa_checks import check_rego
from tallygate.adapters.files.policies import (
    OPTIONAL_DOCUMENTS,
    REQUIRED_DOCUMENTS,
    PolicyCase,
    PolicySet,
    read_cases,
    read_documents,
    read_policies,
)
from tallygate.adapters.files.rate_history import edited_rates
from tallygate.adapters.files.revisions import branched_at, copied_at
from tallygate.adapters.files.rollout_plans import PLAN, read_plan
from tallygate.adapters.files.rule_books import check_rule_books
from tallygate.adapters.files.starter import starter_policies
from tallygate.adapters.files.strict_yaml import Document
from tallygate.application.folder_check import FolderCheck
from tallygate.application.policy_check import check_policies
from tallygate.application.policy_history import compare_with_base
from tallygate.application.registry_lives import RETIRED_OWNER
from tallygate.application.rollout_check import DOCUMENT, check_plan
from tallygate.errors import (
    EngineError,
    EngineFailed,
    EngineSlow,
    PoliciesInvalid,
    PolicyNotCompiled,
    Problem,
    RevisionWithoutPolicies,
)


def check_folder(
    folder: Path, now: str, *, ask_opa: bool = False, base: str | None = None
) -> FolderCheck:
    """
    Check everything in the folder as of `now`; nothing is written.

    With `base`, compare it with that revision too, as of where HEAD left it.
    """
    check = FolderCheck()
    problems: list[Problem] = []
    if folder.is_dir():
        check.files.extend(_files_of(folder))
        check.problems.extend(_at(folder, problem) for problem in check_rule_books(folder))
        documents, problems = _data_problems(folder, now)
        check.problems.extend(problems)
        check.problems.extend(_plan_problems(folder, documents, now))
        if base is not None:
            _compare(folder, base, now, documents, check)
        if ask_opa and all(problem.code != "schema_invalid" for problem in problems):
            _check_rego(folder, check)
    try:
        policies = read_policies(folder)
    except PoliciesInvalid as error:
        check.problems.extend(error.problems)
    else:
        check.revision = policies.revision
        _run_cases(policies, check, told=any(p.severity == "error" for p in problems))
    check.settle()
    return check


def _files_of(folder: Path) -> Iterator[str]:
    for name in (*REQUIRED_DOCUMENTS, *OPTIONAL_DOCUMENTS):
        yield str(folder / name / "data.yaml")
    for pattern in (PLAN.as_posix(), "rates/**/*.yaml", "**/*.rego", "cases/*/decision.json"):
        yield from sorted(str(path) for path in folder.glob(pattern))
    yield str(folder / "policy.lock")


def _at(folder: Path, problem: Problem) -> Problem:
    """Name a price list as the other files are named: from where the folder was named."""
    inside = problem.file.removeprefix(f"{folder.name}/")
    return replace(problem, file=str(folder / inside)) if inside != problem.file else problem


def _data_problems(folder: Path, now: str) -> tuple[Mapping[str, Document], list[Problem]]:
    """Schemas first; references also where a schema objects, but not twice about one place."""
    documents, problems = read_documents(folder)
    there = {
        name
        for name in (*REQUIRED_DOCUMENTS, *OPTIONAL_DOCUMENTS)
        if name in REQUIRED_DOCUMENTS or (folder / name / "data.yaml").exists()
    }
    # Where a whole part is missing, every reference to it would be an error of its own.
    if there <= documents.keys() and all(problem.where for problem in problems):
        places = {(problem.file, problem.line, problem.column) for problem in problems}
        problems.extend(
            replace(problem, severity="error") if problem.code == RETIRED_OWNER else problem
            for problem in check_policies(documents, now)
            if (problem.file, problem.line, problem.column) not in places
        )
    return documents, problems


def _plan_problems(folder: Path, documents: Mapping[str, Document], now: str) -> Iterator[Problem]:
    for path in sorted((folder / PLAN).parent.glob("*.y*ml")):
        if path != folder / PLAN:
            yield Problem(
                code="stray_plan",
                message="nothing reads this file; the rollout plan is plan.yaml.",
                remedy="Rename it, or move it out of the policies folder.",
                file=str(path),
            )
    try:
        plan = read_plan(folder)
    except PoliciesInvalid as error:
        yield from error.problems
        return
    if plan is not None and {*REQUIRED_DOCUMENTS} <= documents.keys():
        yield from check_plan({**documents, DOCUMENT: plan}, now)


def _compare(
    folder: Path, base: str, now: str, documents: Mapping[str, Document], check: FolderCheck
) -> None:
    commit = branched_at(folder, base)
    try:
        with copied_at(folder, commit) as copy:
            before, unread = read_documents(copy)
            check.problems.extend(edited_rates(folder, copy, now))
    except RevisionWithoutPolicies as error:
        check.unchecked.append(f"what changed since {base}: {error}")
        return
    check.base = f"{base} ({commit[:12]})"
    lost = sorted({*documents} - {*before} if unread else ())
    if lost:
        check.unchecked.append(
            f"what changed since {base} in {', '.join(lost)}: it cannot be read there."
        )
    values = {name: document.value for name, document in before.items()}
    check.problems.extend(compare_with_base(documents, values, now))


def _check_rego(folder: Path, check: FolderCheck) -> None:
    own = folder / "schemas"
    try:
        opa = find_opa()
        if opa is None:
            check.unchecked.append(
                "the Rego's form, types and portability: there is no opa on the PATH."
            )
            return
        schemas = own if own.is_dir() else starter_policies() / "schemas"
        check.problems.extend(check_rego(folder, schemas, opa))
    except PolicyNotCompiled as error:
        check.unchecked.append(f"the Rego's form, types and portability: {error}")


def _run_cases(policies: PolicySet, check: FolderCheck, *, told: bool) -> None:
    """Run the cases, unless errors in the data were told, which the cases would only echo."""
    try:
        wasm = _usable_wasm(policies, check)
        engine = EmbeddedEngine(wasm, policies.data, policies.revision)
        cases = read_cases(policies.folder)
        if told:
            check.unchecked.append(f"{len(cases)} cases: the data has to be mended first.")
            return
        for case in cases:
            check.cases_run += 1
            check.problems.extend(differences(engine, case))
    except PoliciesInvalid as error:
        if not any(problem.code == "rego_invalid" for problem in check.problems):
            check.problems.extend(error.problems)
    except EngineError as error:
        check.untold = f"the cases were not run: {error}"


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


def differences(engine: EmbeddedEngine, case: PolicyCase) -> Iterator[Problem]:
    """
    Ask a case's question; each part of the decision that is another one is a problem.

    EngineSlow leaves: a busy host is not the policy's fault.
    """
    try:
        answer = engine.decide(case.question)
    except EngineSlow:
        raise
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
                line=case.line_of(name),
                where=name,
            )


def _shown(decision: Mapping[str, Any], name: str) -> str:
    return str(decision[name]) if name in decision else "nothing"
