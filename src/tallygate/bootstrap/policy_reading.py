"""
Reading a policies folder to the end: taken at one moment, loaded, judged as a reviewer would.

At start this happens in the proxy. While it serves calls it happens in a child process
(`python -m tallygate.bootstrap.policy_reading FOLDER BUNDLE`): reading 5,000 teams is a second and
a half of Python, and a thread would take every other turn of the interpreter from the calls.

Shapes  The child writes the bundle, and what it found as one line of JSON to stdout.
Errors  PoliciesUnsettled, and EngineSlow except at start, where nobody would ask again. What is
        wrong with policies are problems, which name the folder's files.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Self

import orjson

from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.loading import (
    LoadedEngine,
    load_engine,
    make_ready,
    problems_of,
    write_bundle,
)
from tallygate.adapters.files.folder_content import FolderContent, read_content
from tallygate.adapters.files.policies import PolicyCase, PolicySet, read_cases, read_policies
from tallygate.application.policy_check import check_policies
from tallygate.application.reloading import Reading
from tallygate.bootstrap.policies import differences
from tallygate.domain.attribution.contract import contract_from_data, registry_from_data
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.policy.break_glass import break_glass_from_data
from tallygate.domain.policy.terms import terms_from_data
from tallygate.errors import (
    EngineError,
    EngineSlow,
    PoliciesInvalid,
    PoliciesUnsettled,
    Problem,
)

MODULE: Final = "tallygate.bootstrap.policy_reading"
_NICENESS: Final = 10
"""Calls go first where there is one processor."""


@dataclass(frozen=True, slots=True)
class StartingPolicy:
    """What a proxy starts with, and the reading of the folder that led to it."""

    loaded: LoadedEngine
    reading: Reading


def read_at_start(folder: Path, last_good: Path, now_ns: int) -> StartingPolicy:
    """Load the folder, else the last good bundle; raises the reason where there is neither."""
    try:
        content = read_content(folder)
    except PoliciesUnsettled as error:
        unsettled = Problem(code=error.code, message=f"{error}.", file=str(folder))
        content = FolderContent(folder, {}, "", now_ns, (unsettled,))
    with _Copy(content, now_ns) as copy:
        loaded = load_engine(copy.read, last_good, copy.judge_at_start)
    reading = Reading(
        content=content.digest,
        revision=None if loaded.is_last_good else loaded.engine.revision,
        problems=loaded.problems,
        warnings=loaded.warnings,
    )
    return StartingPolicy(loaded, reading)


def read_to_bundle(folder: Path, target: Path, now_ns: int) -> Reading:
    """Read and judge the folder; where there is nothing against it, write the bundle."""
    content = read_content(folder)
    revision: str | None = None
    warnings: tuple[str, ...] = ()
    with _Copy(content, now_ns) as copy:
        try:
            policies = copy.read()
            revision = policies.revision
            ready = make_ready(policies, copy.judge)
            problems, warnings = ready.problems, ready.warnings
            ready.engine.close()
            if not problems:
                write_bundle(target, ready.bundle)
        except EngineSlow:
            raise
        except (PoliciesInvalid, EngineError) as error:
            problems = problems_of(error, folder)
    return Reading(content=content.digest, revision=revision, problems=problems, warnings=warnings)


def reading_as_json(reading: Reading) -> bytes:
    """Write what the child found."""
    return orjson.dumps(asdict(reading))


def reading_from_json(text: bytes) -> Reading:
    """Read what the child found; ValueError, KeyError or TypeError for anything else."""
    found = orjson.loads(text)
    return Reading(
        content=found["content"],
        revision=found["revision"],
        problems=tuple(Problem(**problem) for problem in found["problems"]),
        warnings=tuple(found["warnings"]),
    )


_Compare = Callable[[EmbeddedEngine, PolicyCase], Iterator[Problem]]


class _Copy:
    """The folder's files as they were taken, which are read in a temporary folder."""

    def __init__(self, content: FolderContent, now_ns: int) -> None:
        self._content = content
        self._now = text_from_ns(now_ns)
        self._temporary = tempfile.TemporaryDirectory(prefix="tallygate-policies-")
        self._place = Path(self._temporary.name)
        self._policies: PolicySet | None = None

    def __enter__(self) -> Self:
        self._content.copy_to(self._place)
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    def read(self) -> PolicySet:
        if self._content.problems:
            raise PoliciesInvalid(self._content.problems)
        try:
            policies = read_policies(self._place)
        except PoliciesInvalid as error:
            raise PoliciesInvalid(self._shown(error.problems)) from None
        self._policies = replace(policies, folder=self._content.folder)
        return self._policies

    def judge(self, engine: EmbeddedEngine) -> Sequence[Problem]:
        """Look for what `tallygate policy check` would refuse, price lists aside."""
        return self._judge(engine, differences)

    def judge_at_start(self, engine: EmbeddedEngine) -> Sequence[Problem]:
        """Look for the same; a case that was not answered in time speaks against the folder."""
        return self._judge(engine, _differences_or_too_slow)

    def _judge(self, engine: EmbeddedEngine, compare: _Compare) -> Sequence[Problem]:
        assert self._policies is not None, "judged before it was read"
        problems = list(check_policies(self._policies.documents, self._now))
        try:
            contract_from_data(self._policies.data["contract"])
            registry_from_data(self._policies.data["registry"])
            break_glass_from_data(self._policies.data)
            terms_from_data(self._policies.data)
            if not any(problem.severity == "error" for problem in problems):
                for case in read_cases(self._place):  # else they differ by what is named already
                    problems.extend(compare(engine, case))
        except PoliciesInvalid as error:
            problems.extend(error.problems)
        except EngineSlow:
            raise
        except Exception as error:  # noqa: BLE001 - data that passed every rule, and yet
            told = f"the gate cannot use what the files say ({type(error).__name__})."
            problems.append(Problem(code="data_unfit", message=told, file=str(self._place)))
        return self._shown(problems)

    def _shown(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Let each problem name the folder itself."""
        here, there = str(self._place), str(self._content.folder)
        return tuple(
            replace(problem, file=there + problem.file.removeprefix(here))
            if problem.file.startswith(here)
            else problem
            for problem in problems
        )


def _differences_or_too_slow(engine: EmbeddedEngine, case: PolicyCase) -> Iterator[Problem]:
    try:
        yield from differences(engine, case)
    except EngineSlow as error:
        yield Problem(code="case_differs", message=str(error), file=case.file)


def main(arguments: Sequence[str]) -> int:
    """Run as the child: exit 0 where something was found out, be it good or bad; 3 where not."""
    folder, bundle = map(Path, arguments)
    os.nice(_NICENESS)
    try:
        reading = read_to_bundle(folder, bundle, time.time_ns())
    except (PoliciesUnsettled, EngineSlow, OSError, MemoryError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 3
    sys.stdout.buffer.write(reading_as_json(reading))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
