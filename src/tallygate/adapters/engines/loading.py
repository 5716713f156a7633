"""
Loading the engine at start, and the last good bundle that start-up falls back to.

Shapes  The last good bundle is one file, so that it is replaced as a whole or not at all:
        a zip of revision.json (with the digests of the others), data.json and policy.wasm.
Errors  The first reason why the folder cannot be used, when there is no last good bundle either.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import compile_policy, find_opa, verify_compiled
from tallygate.domain.kernel.digests import digest_of_bytes, digest_of_value
from tallygate.errors import EngineError, PoliciesInvalid, PolicyNotCompiled

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
class LoadedEngine:
    """An engine that answers, the data it answers from, and what the operator must hear."""

    engine: EmbeddedEngine
    data: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    is_last_good: bool = False
    """True when the policies folder could not be used and an older bundle decides."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A compiled policy with its data, as it is kept on disk."""

    revision: str
    data: Mapping[str, Any]
    wasm: bytes


def load_engine(read: Callable[[], Policies], last_good: Path | None) -> LoadedEngine:
    """Load what `read` returns; where that fails, the bundle kept in the folder `last_good`."""
    try:
        policies = read()
        wasm, warnings = _compiled(policies)
        engine = EmbeddedEngine(wasm, policies.data, policies.revision)
    except (PoliciesInvalid, EngineError) as error:
        return _fall_back(error, last_good)
    if last_good is not None:
        try:
            save_last_good(last_good, Bundle(policies.revision, policies.data, wasm))
        except OSError as error:
            unkept = (
                f"the last good policy could not be kept in {last_good} ({error.strerror}):"
                " a start with broken policies would have nothing to fall back to."
            )
            warnings = (*warnings, unkept)
    return LoadedEngine(engine, policies.data, warnings)


def save_last_good(folder: Path, bundle: Bundle) -> None:
    """Replace the kept bundle in one step; nothing is written when it is the same one."""
    noted = _note_of(bundle)
    target = folder / LAST_GOOD_NAME
    if _kept_note(target) == noted:
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{LAST_GOOD_NAME}.")
    try:
        with os.fdopen(handle, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("revision.json", orjson.dumps(noted))
                archive.writestr("data.json", orjson.dumps(bundle.data))
                archive.writestr("policy.wasm", bundle.wasm)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_last_good(folder: Path) -> Bundle | None:
    """Read the kept bundle; None when there is none or it is not whole."""
    try:
        with zipfile.ZipFile(folder / LAST_GOOD_NAME) as archive:
            noted = orjson.loads(archive.read("revision.json"))
            data = orjson.loads(archive.read("data.json"))
            bundle = Bundle(noted["revision"], data, archive.read("policy.wasm"))
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError):
        return None
    return bundle if noted == _note_of(bundle) else None


def _compiled(policies: Policies) -> tuple[bytes, tuple[str, ...]]:
    try:
        return verify_compiled(policies.rego, policies.wasm, policies.lock), ()
    except PolicyNotCompiled as error:
        opa = find_opa()
        if opa is None:
            raise
        wasm = compile_policy(policies.rego, opa, policies.folder)
        return wasm, (f"{error} It was compiled for this process only, with OPA {opa.version}.",)


def _fall_back(reason: PoliciesInvalid | EngineError, last_good: Path | None) -> LoadedEngine:
    bundle = read_last_good(last_good) if last_good is not None else None
    if bundle is None:
        raise reason
    engine = EmbeddedEngine(bundle.wasm, bundle.data, bundle.revision)
    warning = (
        f"THE POLICIES FOLDER IS NOT IN FORCE: the last good policy, revision {bundle.revision},"
        f" decides instead, because: {reason}"
    )
    return LoadedEngine(engine, bundle.data, (warning,), is_last_good=True)


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
