"""
What a run of a policy's own tests showed: Rego tests, cases on each engine, coverage.

Exact   A test that was not run is neither passed nor failed, and is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import Any

from tallygate.errors import Problem


class Outcome(StrEnum):
    """How a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class RegoTest:
    """One test rule, or one named part of it."""

    package: str
    name: str
    file: str
    line: int | None
    outcome: Outcome
    message: str = ""
    duration_us: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """One part of a decision that is not as the case says; None where the part is absent."""

    part: str
    expected: Any
    answered: Any


@dataclass(frozen=True, slots=True)
class CaseRun:
    """One case, asked of one engine."""

    engine: str
    name: str
    file: str
    differences: tuple[Difference, ...] = ()
    error: str = ""
    """Why there was no answer."""

    @property
    def passed(self) -> bool:
        return not self.differences and not self.error


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """How much of one Rego file its tests evaluated."""

    file: str
    covered: int
    """Lines; a line without anything to evaluate is not counted."""
    uncovered: tuple[tuple[int, int], ...] = ()
    """Ranges of lines, both ends included."""
    uncovered_lines: int = 0


@dataclass(slots=True)
class PolicyTests:
    """A whole run."""

    threshold: int
    engines: list[str] = field(default_factory=list)
    rego: list[RegoTest] = field(default_factory=list)
    cases: list[CaseRun] = field(default_factory=list)
    coverage: list[FileCoverage] | None = None
    """None where it was not measured."""
    problems: list[Problem] = field(default_factory=list)
    """Why the folder could not be tested at all."""
    not_run: list[str] = field(default_factory=list)
    """What was there to be run and was not."""
    left_out: list[str] = field(default_factory=list)
    """What was not run because nobody asked for it."""

    @property
    def failed(self) -> int:
        bad = (Outcome.FAILED, Outcome.ERROR)
        return sum(test.outcome in bad for test in self.rego) + sum(
            not case.passed for case in self.cases
        )

    @property
    def covered_percent(self) -> Decimal | None:
        """Give the share of lines that were evaluated, rounded down, so that 100 means all."""
        if self.coverage is None:
            return None
        covered = sum(file.covered for file in self.coverage)
        lines = covered + sum(file.uncovered_lines for file in self.coverage)
        share = Decimal(100 * covered) / Decimal(lines) if lines else Decimal(100)
        return share.quantize(Decimal("0.1"), rounding=ROUND_FLOOR)

    @property
    def is_covered(self) -> bool:
        percent = self.covered_percent
        return percent is None or percent >= self.threshold

    @property
    def is_finding(self) -> bool:
        return bool(self.failed or self.problems or not self.is_covered)


def differences_of(
    expected: Mapping[str, Any], answered: Mapping[str, Any]
) -> Iterator[Difference]:
    """Compare two decisions part by part."""
    for part in sorted({*expected, *answered}):
        if expected.get(part) != answered.get(part):
            yield Difference(part, expected.get(part), answered.get(part))
