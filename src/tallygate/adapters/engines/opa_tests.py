"""
The Rego tests of a policies folder, and questions asked of OPA itself, in one run of `opa` each.

Shapes  OPA gets a bundle that is made for it: the Rego as it lies there, and as data the one
        data.json that every engine gets, so that no reader of YAML makes a difference.
Errors  PoliciesInvalid for Rego that does not load; PolicyNotCompiled when opa cannot be run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from tallygate.adapters.engines.opa import ENTRYPOINT, Opa, run_opa
from tallygate.adapters.engines.opa_checks import stage_rego
from tallygate.application.policy_tests import FileCoverage, Outcome, RegoTest
from tallygate.errors import PoliciesInvalid, Problem

_TIMEOUT: Final = "60s"
_STAGED: Final = "."
_MOST_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class OpaBundle:
    """A policies folder, staged for opa."""

    opa: Opa
    folder: Path
    """As people know it."""
    staged: Path

    def tests(self) -> list[RegoTest]:
        """Run every test rule; each named part of one counts by itself."""
        answer = self._run("test", "--bundle", _STAGED, "--timeout", _TIMEOUT, "--format", "json")
        return [
            test for one in self._json(*answer) or () for test in _tests_of(one, str(self.folder))
        ]

    def coverage(self) -> list[FileCoverage]:
        """Measure what the tests evaluate, in the files that are no tests. They must all pass."""
        words = ("test", "--bundle", _STAGED, "--timeout", _TIMEOUT, "--coverage")
        report = self._json(*self._run(*words, "--format", "json"))
        files = report.get("files", {}) if isinstance(report, dict) else {}
        return [
            _coverage_of(str(self.folder / name), entry)
            for name, entry in sorted(files.items())
            if not name.endswith("_test.rego")
        ]

    def decide(self, questions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | str]:
        """Ask them all in one run; text in place of a decision says why there is none."""
        with tempfile.TemporaryDirectory(prefix="tallygate-questions-") as name:
            for number, question in enumerate(questions):
                (Path(name) / f"{number}.json").write_bytes(orjson.dumps(question))
            words = ("exec", "--bundle", _STAGED, "--decision", ENTRYPOINT, name)
            report = self._json(*self._run(*words))
        answers: dict[int, Mapping[str, Any] | str] = {}
        for entry in report.get("result", ()) if isinstance(report, dict) else ():
            decision = entry.get("result")
            failed = (entry.get("error") or {}).get("message", "the decision is undefined")
            is_decision = isinstance(decision, dict)
            answers[int(Path(entry["path"]).stem)] = decision if is_decision else str(failed)
        return [answers.get(number, "opa did not answer") for number in range(len(questions))]

    def _run(self, *words: str) -> tuple[str, str]:
        answer = run_opa((str(self.opa.path), *words), cwd=self.staged)
        return answer.stdout, answer.stderr

    def _json(self, stdout: str, stderr: str) -> Any:  # noqa: ANN401 - JSON
        try:
            return orjson.loads(stdout)
        except orjson.JSONDecodeError:
            said = " ".join((stderr or stdout).split())[:_MOST_CHARS] or "it said nothing"
            unloaded = Problem(code="rego_invalid", message=f"opa: {said}", file=str(self.folder))
            raise PoliciesInvalid([unloaded]) from None


@contextmanager
def staged_for_opa(folder: Path, data: Mapping[str, Any], opa: Opa) -> Iterator[OpaBundle]:
    """Stage the folder's Rego with this data for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="tallygate-test-") as name:
        staged = Path(name) / "policies"
        stage_rego(folder, staged)
        (staged / "data.json").write_bytes(orjson.dumps(data))
        yield OpaBundle(opa, folder, staged)


def _tests_of(entry: Mapping[str, Any], folder: str) -> Iterator[RegoTest]:
    place = entry.get("location") or {}
    duration_us = int(entry.get("duration", 0)) // 1000
    for name, part in _parts_of(str(entry.get("name", "")), entry):
        error = part.get("error")
        yield RegoTest(
            package=str(entry.get("package", "")).removeprefix("data."),
            name=name,
            file=f"{folder}/{place.get('file', '')}",
            line=place.get("row"),
            outcome=_outcome(part),
            message=str(error.get("message", error))
            if isinstance(error, dict)
            else str(error or ""),
            duration_us=duration_us,
        )
        duration_us = 0  # opa tells the sum of a rule only


def _parts_of(name: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    waiting = [(name, entry)]
    while waiting:
        shown, part = waiting.pop(0)
        inner = part.get("sub_results")
        if isinstance(inner, dict) and inner:
            waiting.extend((f"{shown}[{key}]", one) for key, one in sorted(inner.items()))
        else:
            yield shown, part


def _outcome(part: Mapping[str, Any]) -> Outcome:
    if part.get("error"):
        return Outcome.ERROR
    if part.get("fail"):
        return Outcome.FAILED
    return Outcome.SKIPPED if part.get("skip") else Outcome.PASSED


def _coverage_of(file: str, entry: Mapping[str, Any]) -> FileCoverage:
    rows: set[int] = set()
    for place in entry.get("not_covered") or ():
        rows |= set(range(place["start"]["row"], place["end"]["row"] + 1))
    covered = int(entry.get("covered_lines", 0))
    uncovered = int(entry.get("not_covered_lines", 0))
    return FileCoverage(file, covered, tuple(_ranges(sorted(rows))), uncovered)


def _ranges(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = last = None
    for row in rows:
        if start is None or last is None:
            start = row
        elif row != last + 1:
            yield start, last
            start = row
        last = row
    if start is not None and last is not None:
        yield start, last
