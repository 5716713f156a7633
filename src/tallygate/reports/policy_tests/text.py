"""A run of a policy's tests, for people: what failed in full, the rest as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import orjson

from tallygate.application.policy_tests import CaseRun, FileCoverage, Outcome, PolicyTests
from tallygate.reports.plain import one_line


def run_text(run: PolicyTests, folder: str) -> str:
    """Write failures first, then the sums."""
    return "\n".join(one_line(line) for line in _lines(run, folder))


def _lines(run: PolicyTests, folder: str) -> Iterator[str]:
    yield from (f"{problem}  [{problem.severity}: {problem.code}]" for problem in run.problems)
    yield from _failures(run)
    outcomes = Counter(test.outcome for test in run.rego)
    if run.rego:
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        yield f"Rego tests     {told}"
    for engine in run.engines:
        asked = [case for case in run.cases if case.engine == engine]
        failed = sum(not case.passed for case in asked)
        if asked:
            yield f"cases          {len(asked) - failed} passed, {failed} failed, on {engine}"
    if run.coverage is not None:
        yield f"coverage       {run.covered_percent} % of lines, at least {run.threshold} wanted"
        for file in run.coverage:
            if file.uncovered:
                yield f"    {file.file}: not evaluated: {lines_of(file)}"
    yield from (f"left out       {left_out}" for left_out in run.left_out)
    yield from (f"NOT RUN        {not_run}" for not_run in run.not_run)
    yield f"{folder}: {_end(run)}"


def _failures(run: PolicyTests) -> Iterator[str]:
    for test in run.rego:
        if test.outcome in (Outcome.FAILED, Outcome.ERROR):
            place = f"{test.file}:{test.line}" if test.line else test.file
            told = f"{test.outcome.upper()}  {place}: {test.package}.{test.name}"
            yield f"{told} {test.message}".rstrip()
    for case in run.cases:
        if not case.passed:
            yield f"FAILED  {case.file}: on {case.engine}"
            yield from (f"    {line}" for line in difference_lines(case))


def _end(run: PolicyTests) -> str:
    if run.problems:
        return "not tested, for it cannot be read"
    if run.is_finding:
        return f"{run.failed} failed" if run.failed else "too little is covered"
    return "could not tell" if run.not_run else "all passed"


def difference_lines(case: CaseRun) -> Iterator[str]:
    """Show a case's decision against the answer, part by part."""
    if case.error:
        yield f"no decision: {case.error}"
    for found in case.differences:
        expected = found.expected if isinstance(found.expected, list) else [found.expected]
        answered = found.answered if isinstance(found.answered, list) else [found.answered]
        yield f"{found.part}:"
        yield from (f"  - {_json(one)}" for one in expected if one not in answered)
        yield from (f"  + {_json(one)}" for one in answered if one not in expected)
        if sorted(map(_json, expected)) == sorted(map(_json, answered)):
            yield "  the order differs"


def lines_of(file: FileCoverage) -> str:
    """Name the lines that were not evaluated."""
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in file.uncovered)


def _json(value: object) -> str:
    return "nothing" if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
