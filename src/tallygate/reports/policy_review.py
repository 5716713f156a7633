"""
Check, tests and impact of a change of the policies, as one comment on its pull request.

Exact   At most 65,000 characters (GitHub takes 65,536). Names come from a pull request that anybody
        may open, so they are shown and never obeyed (impact_markdown has the escaping).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tallygate.application.policy_pull_request import PullRequestReview
from tallygate.application.policy_tests import CaseRun, Outcome
from tallygate.errors import Problem
from tallygate.reports.impact_markdown import code, prose
from tallygate.reports.policy_tests.text import difference_lines, lines_of

MARK: Final = "<!-- tallygate policy review -->"
"""The first line, by which a CI finds its own comment to replace it."""
MOST_CHARS: Final = 65_000
_MOST_ROWS: Final = 50
_MOST_CASE_LINES: Final = 12
_CUT: Final = "\n\n… cut here; `tallygate policy review` shows the rest."


def review_markdown(review: PullRequestReview, impact: str | None) -> str:
    """Write the comment; `impact` is the comment of `policy impact`, where it was asked."""
    text = "\n".join(_lines(review, impact))
    if len(text) > MOST_CHARS:
        text = text[: MOST_CHARS - len(_CUT)].rpartition("\n")[0] + _CUT
    return text


def _lines(review: PullRequestReview, impact: str | None) -> Iterator[str]:
    check, tests = review.check, review.tests
    yield MARK
    yield f"### Policy review: {headline(review)}"
    yield ""
    yield "| part | |"
    yield "|---|---|"
    warnings = f"{check.errors} errors, {check.warnings} warnings"
    compared = f", compared with {code(check.base)}" if check.base else ""
    yield f"| check | {warnings}{compared} |"
    yield f"| tests | {_tests(review)} |"
    yield f"| impact | {_impact(review, impact)} |"
    yield ""
    if check.problems:
        yield from _problems(check.problems)
    yield from _failures(review)
    for left_out in [*check.unchecked, *tests.left_out]:
        yield f"- not looked at: {prose(left_out)}"
    yield ""
    if check.revision:
        yield f"<sub>revision {code(check.revision)}</sub>"
        yield ""
    if impact:
        yield impact


def headline(review: PullRequestReview) -> str:
    """Say in a few words what it comes to."""
    if review.findings:
        return f"🛑 look at {' and '.join(review.findings)}"
    return "❔ not everything could be told" if review.untold else "✅ in order"


def _tests(review: PullRequestReview) -> str:
    tests = review.tests
    if tests.problems:
        return "the policies cannot be read"
    parts = [f"{tests.failed} failed"]
    if tests.rego:
        parts.append(f"{len(tests.rego)} Rego tests")
    for engine in tests.engines:
        asked = sum(case.engine == engine for case in tests.cases)
        parts.append(f"{asked} cases on {engine}")
    if tests.coverage is not None:
        parts.append(f"{tests.covered_percent} % of the rules' lines covered")
    parts.extend(f"**not run**: {prose(not_run)}" for not_run in tests.not_run)
    return ", ".join(parts)


def _impact(review: PullRequestReview, impact: str | None) -> str:
    if review.impact_untold:
        return f"**could not be told**: {prose(review.impact_untold)}"
    return "below" if impact else "not asked for: name recorded calls (`--inputs` or `--ledger`)"


def _problems(problems: Sequence[Problem]) -> Iterator[str]:
    yield "| where | what | how to mend it |"
    yield "|---|---|---|"
    worst_first = sorted(problems, key=lambda problem: problem.severity != "error")
    for problem in worst_first[:_MOST_ROWS]:
        sign = "🛑" if problem.severity == "error" else "⚠️"
        place = ":".join(str(part) for part in (problem.file, problem.line) if part)
        inside = f"{code(problem.where)}: " if problem.where else ""
        yield (
            f"| {sign} {code(place)} | {inside}{prose(problem.message)} `{problem.code}`"
            f" | {prose(problem.remedy)} |"
        )
    if len(problems) > _MOST_ROWS:
        yield ""
        yield f"… and {len(problems) - _MOST_ROWS} more."
    yield ""


def _failures(review: PullRequestReview) -> Iterator[str]:
    failed = [t for t in review.tests.rego if t.outcome in (Outcome.FAILED, Outcome.ERROR)]
    for test in failed[:_MOST_ROWS]:
        place = f"{test.file}:{test.line}" if test.line else test.file
        yield f"- 🛑 {code(f'{test.package}.{test.name}')} in {code(place)} {prose(test.message)}"
    differing = [case for case in review.tests.cases if not case.passed]
    for case in differing[:_MOST_ROWS]:
        yield from _case(case)
    if not review.tests.is_covered:
        for file in review.tests.coverage or ():
            if file.uncovered:
                yield f"- 🛑 no test evaluates {code(file.file)}, lines {lines_of(file)}"
    rest = max(0, len(failed) - _MOST_ROWS) + max(0, len(differing) - _MOST_ROWS)
    if rest:
        yield f"- … and {rest} more."


def _case(case: CaseRun) -> Iterator[str]:
    yield f"- 🛑 case {code(case.name)} on {case.engine}:"
    lines = list(difference_lines(case))
    for line in lines[:_MOST_CASE_LINES]:
        yield f"  - {code(line.strip())}"
    if len(lines) > _MOST_CASE_LINES:
        yield f"  - and {len(lines) - _MOST_CASE_LINES} more lines"
