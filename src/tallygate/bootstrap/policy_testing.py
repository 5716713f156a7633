"""
A policy's own tests, on every engine that is at hand.

Errors  What fails is in the result; what could not be run is said there too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import Opa, compile_policy, find_opa, verify_compiled
from tallygate.adapters.engines.opa_tests import staged_for_opa
from tallygate.adapters.files.policies import PolicyCase, PolicySet, read_cases, read_policies
from tallygate.application.policy_tests import CaseRun, PolicyTests, differences_of
from tallygate.errors import EngineError, EngineFailed, PoliciesInvalid, PolicyNotCompiled

EMBEDDED: Final = "embedded"


def run_policy_tests(folder: Path, threshold: int, *, cases_only: bool = False) -> PolicyTests:
    """Run the Rego tests with opa, and the cases on the embedded engine and on opa."""
    run = PolicyTests(threshold)
    try:
        policies = read_policies(folder)
        cases = read_cases(folder)
        opa = _opa(run)
        _on_the_embedded_engine(policies, cases, opa, run)
        if opa is not None:
            _on_opa(policies, cases, opa, run, cases_only=cases_only)
    except PoliciesInvalid as error:
        run.problems.extend(error.problems)
        return run
    files = [path for path in folder.rglob("*_test.rego") if path.is_file()]
    if files and cases_only:
        run.left_out.append(f"the Rego tests ({len(files)} files): --cases-only was given.")
    elif files and opa is None:
        run.not_run.append(
            f"the Rego tests ({len(files)} files) and their coverage: they need opa on the PATH,"
            " for policy.wasm holds no tests."
        )
    if not files and not cases:
        run.not_run.append("there is nothing to run: neither *_test.rego nor cases/.")
    return run


def _opa(run: PolicyTests) -> Opa | None:
    try:
        return find_opa()
    except PolicyNotCompiled as error:
        run.left_out.append(f"the engine opa: {error}")
        return None


def _on_the_embedded_engine(
    policies: PolicySet, cases: Sequence[PolicyCase], opa: Opa | None, run: PolicyTests
) -> None:
    try:
        engine = EmbeddedEngine(_wasm(policies, opa, run), policies.data, policies.revision)
    except EngineError as error:
        if cases:
            run.not_run.append(f"{len(cases)} cases on the engine {EMBEDDED}: {error}")
        return
    run.engines.append(EMBEDDED)
    try:
        for case in cases:
            try:
                answer: Mapping[str, Any] | str = engine.decide(case.question)
            except EngineFailed as error:
                answer = str(error)
            run.cases.append(_case_run(EMBEDDED, case, answer))
    finally:
        engine.close()


def _wasm(policies: PolicySet, opa: Opa | None, run: PolicyTests) -> bytes:
    try:
        return verify_compiled(policies.rego, policies.wasm, policies.lock)
    except PolicyNotCompiled as stale:
        if opa is None:
            raise
        run.left_out.append(f"policy.wasm as it lies there: {stale} It was compiled for this run.")
        return compile_policy(policies.rego, opa, policies.folder)


def _on_opa(
    policies: PolicySet,
    cases: Sequence[PolicyCase],
    opa: Opa,
    run: PolicyTests,
    *,
    cases_only: bool,
) -> None:
    name = f"opa {opa.version}"
    run.engines.append(name)
    with staged_for_opa(policies.folder, policies.data, opa) as bundle:
        answers = bundle.decide([case.question for case in cases]) if cases else []
        for case, answer in zip(cases, answers, strict=True):
            run.cases.append(_case_run(name, case, answer))
        if cases_only:
            return
        run.rego.extend(bundle.tests())
        if any(test.outcome in ("failed", "error") for test in run.rego):
            run.left_out.append("coverage: it is measured when every Rego test passes.")
        else:
            run.coverage = bundle.coverage()


def _case_run(engine: str, case: PolicyCase, answer: Mapping[str, Any] | str) -> CaseRun:
    if isinstance(answer, str):
        return CaseRun(engine, case.name, case.file, error=answer)
    return CaseRun(engine, case.name, case.file, tuple(differences_of(case.decision, answer)))
