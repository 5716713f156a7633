"""
From policies to an engine that answers, and the last good bundle that start-up falls back to.

Shapes  A bundle on disk is one file, so that it is replaced as a whole or not at all: a zip of
        revision.json (with the digests of the others), data.json and policy.wasm.
Exact   What a judge finds wrong (a case that differs, a name that does not exist) refuses a bundle
        as what cannot be loaded does. Only where a start has nothing else it is taken all the
        same: the policy fails toward the violation, and a proxy that does not start serves nobody.
Errors  The first reason why the folder cannot be used, when there is no last good bundle either.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

import orjson

from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import (
    LOCK_NAME,
    WASM_NAME,
    compile_policy,
    find_opa,
    verify_compiled,
)
from tallygate.domain.kernel.digests import digest_of_bytes, digest_of_value
from tallygate.errors import EngineError, PoliciesInvalid, PolicyNotCompiled, Problem

LAST_GOOD_NAME: Final = "last-good.zip"


class Policies(Protocol):
    """What an engine needs of a policy set (adapters/files/policies.py has it)."""

    @property
    def folder(self) -> Path: ...
    @property
    def data(self) -> Mapping[str, Any]: ...
    @property
    def rego(self) -> Mapping[str, str]: ...
    @property
    def wasm(self) -> bytes | None: ...
    @property
    def lock(self) -> bytes | None: ...
    @property
    def revision(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Bundle:
    """A compiled policy with its data, as it is kept on disk."""

    revision: str
    data: Mapping[str, Any]
    wasm: bytes


@dataclass(frozen=True, slots=True)
class ReadyBundle:
    """A bundle that was loaded once and judged."""

    bundle: Bundle
    engine: EmbeddedEngine
    problems: tuple[Problem, ...]
    """Errors that a judge found; with any of them the bundle is not to be put in force."""
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoadedEngine:
    """An engine that answers, the data it answers from, and what the operator must hear."""

    engine: EmbeddedEngine
    data: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    is_last_good: bool = False
    """True when the policies folder could not be used and an older bundle decides."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with the folder, whichever decides."""


Judge = Callable[[EmbeddedEngine], Sequence[Problem]]
"""Looks at policies that answer, for what speaks against them."""


def make_ready(policies: Policies, judge: Judge | None = None) -> ReadyBundle:
    """Load and judge; raises PoliciesInvalid or EngineError where nothing can be loaded."""
    wasm, warnings = _compiled(policies)
    engine = EmbeddedEngine(wasm, policies.data, policies.revision)
    found = judge(engine) if judge is not None else ()
    return ReadyBundle(
        bundle=Bundle(policies.revision, policies.data, wasm),
        engine=engine,
        problems=tuple(problem for problem in found if problem.severity == "error"),
        warnings=warnings,
    )


def load_engine(
    read: Callable[[], Policies], last_good: Path | None, judge: Judge | None = None
) -> LoadedEngine:
    """Load what `read` returns; where that fails, the bundle kept in the folder `last_good`."""
    folder = Path()
    try:
        policies = read()
        folder = policies.folder
        ready = make_ready(policies, judge)
    except (PoliciesInvalid, EngineError) as error:
        return _fall_back(error, folder, last_good)
    warnings = ready.warnings
    if ready.problems:
        kept = read_last_good(last_good) if last_good is not None else None
        if kept is not None and kept.revision != ready.bundle.revision:
            ready.engine.close()
            return _fall_back(PoliciesInvalid(ready.problems), folder, last_good)
        told = "; ".join(str(problem) for problem in ready.problems)
        warnings = (*warnings, f"THE POLICY IN FORCE IS NOT AS IT SHOULD BE: {told}")
    if last_good is not None:
        try:
            save_last_good(last_good, ready.bundle)
        except OSError as error:
            warnings = (*warnings, not_kept(last_good, error))
    return LoadedEngine(ready.engine, ready.bundle.data, warnings, problems=ready.problems)


def problems_of(error: PoliciesInvalid | EngineError, folder: Path) -> tuple[Problem, ...]:
    """Say as problems why a folder cannot be used."""
    if isinstance(error, PoliciesInvalid):
        return error.problems
    file = folder / (LOCK_NAME if isinstance(error, PolicyNotCompiled) else WASM_NAME)
    return (Problem(code=error.code, message=str(error), file=str(file)),)


def not_kept(folder: Path, error: OSError) -> str:
    """Warn that a later start would have nothing to fall back to."""
    return (
        f"the last good policy could not be kept in {folder} ({error.strerror}):"
        " a start with broken policies would have nothing to fall back to."
    )


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Write a bundle into a new file."""
    with path.open("wb") as file:
        _write(file, bundle)


def read_bundle(path: Path) -> Bundle | None:
    """Read a bundle file; None when there is none or it is not whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            noted = orjson.loads(archive.read("revision.json"))
            data = orjson.loads(archive.read("data.json"))
            bundle = Bundle(noted["revision"], data, archive.read("policy.wasm"))
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError):
        return None
    return bundle if noted == _note_of(bundle) else None


def keep_as_last_good(folder: Path, bundle_file: Path) -> None:
    """Replace the kept bundle with a file of that kind, in one step."""
    _replace(folder, lambda file: _copy(bundle_file, file))


def save_last_good(folder: Path, bundle: Bundle) -> None:
    """Replace the kept bundle in one step; nothing is written when it is the same one."""
    if _kept_note(folder / LAST_GOOD_NAME) == _note_of(bundle):
        return
    _replace(folder, lambda file: _write(file, bundle))


def read_last_good(folder: Path) -> Bundle | None:
    """Read the kept bundle; None when there is none or it is not whole."""
    return read_bundle(folder / LAST_GOOD_NAME)


def _replace(folder: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write beside and rename, so that workers who do so at once leave one whole file."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{LAST_GOOD_NAME}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(folder / LAST_GOOD_NAME)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _copy(source: Path, file: IO[bytes]) -> None:
    with source.open("rb") as content:
        shutil.copyfileobj(content, file)


def _write(file: IO[bytes], bundle: Bundle) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("revision.json", orjson.dumps(_note_of(bundle)))
        archive.writestr("data.json", orjson.dumps(bundle.data))
        archive.writestr("policy.wasm", bundle.wasm)


def _compiled(policies: Policies) -> tuple[bytes, tuple[str, ...]]:
    try:
        return verify_compiled(policies.rego, policies.wasm, policies.lock), ()
    except PolicyNotCompiled as error:
        opa = find_opa()
        if opa is None:
            raise
        wasm = compile_policy(policies.rego, opa, policies.folder)
        return wasm, (f"{error} It was compiled for this process only, with OPA {opa.version}.",)


def _fall_back(
    reason: PoliciesInvalid | EngineError, folder: Path, last_good: Path | None
) -> LoadedEngine:
    bundle = read_last_good(last_good) if last_good is not None else None
    if bundle is None:
        raise reason
    engine = EmbeddedEngine(bundle.wasm, bundle.data, bundle.revision)
    warning = (
        f"THE POLICIES FOLDER IS NOT IN FORCE: the last good policy, revision {bundle.revision},"
        f" decides instead, because: {reason}"
    )
    problems = problems_of(reason, folder)
    return LoadedEngine(engine, bundle.data, (warning,), is_last_good=True, problems=problems)


def _note_of(bundle: Bundle) -> dict[str, str]:
    return {
        "revision": bundle.revision,
        "data": digest_of_value(bundle.data),
        "wasm": digest_of_bytes(bundle.wasm),
    }


def _kept_note(target: Path) -> object:
    try:
        with zipfile.ZipFile(target) as archive:
            return orjson.loads(archive.read("revision.json"))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        return None
