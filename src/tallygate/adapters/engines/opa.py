"""
Compiling the Rego with `opa`, and the lock that says what policy.wasm was compiled from.

Shapes  Rego sources are text by path relative to the policies folder, tests left out.
Exact   One command, one folder name, never optimised: the same sources give the same bytes.
Errors  PoliciesInvalid for Rego that does not compile; PolicyNotCompiled for everything between
        the Rego and a policy.wasm that belongs to it.
Source  `-O=1` makes bundles that do not load, `-O=2` ones that decide wrongly (opa#6529); OPA
        before 1.21.3 accepts some unsigned bundles (GHSA-g2pf-6v5v-qcc8).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import orjson

from tallygate.domain.kernel.digests import digest_of_bytes
from tallygate.errors import PoliciesInvalid, PolicyNotCompiled, Problem

ENTRYPOINT: Final = "tallygate/admission/decision"
MINIMUM_OPA: Final = (1, 21, 3)
WASM_NAME: Final = "policy.wasm"
LOCK_NAME: Final = "policy.lock"
MEND: Final = "Run `tallygate policy build` (it needs opa 1.21.3 or newer on the PATH)."

_BUNDLE: Final = "bundle.tar.gz"
_BUILD: Final = (
    *("build", "-b", "policies", "-t", "wasm", "-e", ENTRYPOINT),
    *("--ignore", "*_test.rego", "-o", _BUNDLE),
)
COMMAND: Final = " ".join(("opa", *_BUILD))
_DEADLINE_S: Final = 120
_FAULT: Final = re.compile(r"(?:policies/)?(?P<file>[^\s:][^:]*\.rego):(?P<line>\d+): (?P<text>.*)")


@dataclass(frozen=True, slots=True)
class Opa:
    """An `opa` that may compile."""

    path: Path
    version: str


def find_opa() -> Opa | None:
    """Find `opa` on the PATH; one that is too old is PolicyNotCompiled, with the version."""
    found = shutil.which("opa")
    if found is None:
        return None
    answer = run_opa((found, "version"), cwd=None)
    matched = re.search(r"^Version:\s*v?((\d+)\.(\d+)\.(\d+)\S*)", answer.stdout, re.MULTILINE)
    if matched is None:
        raise PolicyNotCompiled(f"{found} did not tell its version; expected OPA 1.21.3 or newer.")
    if tuple(int(part) for part in matched.groups()[1:]) < MINIMUM_OPA:
        raise PolicyNotCompiled(
            f"{found} is OPA {matched[1]}; expected 1.21.3 or newer, because older ones accept"
            " unsigned bundles (GHSA-g2pf-6v5v-qcc8). Install a newer opa."
        )
    return Opa(Path(found), matched[1])


def compile_policy(rego: Mapping[str, str], opa: Opa, shown_in: Path = Path("policies")) -> bytes:
    """Compile the sources to WebAssembly in a temporary folder; `shown_in` is for messages."""
    with tempfile.TemporaryDirectory(prefix="tallygate-build-") as folder:
        root = Path(folder)
        for name, text in rego.items():
            target = root / "policies" / PurePosixPath(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="")
        answer = run_opa((str(opa.path), *_BUILD), cwd=root)
        if answer.returncode != 0:
            raise PoliciesInvalid(_faults_of(answer.stderr or answer.stdout, shown_in))
        with tarfile.open(root / _BUNDLE) as bundle:
            member = bundle.extractfile(f"/{WASM_NAME}")
            assert member is not None, "opa build -t wasm always writes policy.wasm"
            return member.read()


def lock_of(rego: Mapping[str, str], wasm: bytes, opa_version: str) -> bytes:
    """Write down what the compiled policy was made from, by whom, and how."""
    lock = {
        "command": COMMAND,
        "opa_version": opa_version,
        "rego": _digests_of(rego),
        "wasm": digest_of_bytes(wasm),
    }
    return orjson.dumps(lock, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def write_compiled(folder: Path, rego: Mapping[str, str], opa: Opa) -> bytes:
    """Compile and put policy.wasm and policy.lock beside the sources; returns the wasm."""
    wasm = compile_policy(rego, opa, folder)
    # The lock last: a build that is cut in between is a mismatch, never a wrong match.
    _replace(folder / WASM_NAME, wasm)
    _replace(folder / LOCK_NAME, lock_of(rego, wasm, opa.version))
    return wasm


def verify_compiled(rego: Mapping[str, str], wasm: bytes | None, lock: bytes | None) -> bytes:
    """Return the wasm when the lock says that it belongs to these sources."""
    if wasm is None or lock is None:
        missing = WASM_NAME if wasm is None else LOCK_NAME
        raise PolicyNotCompiled(f"{missing} is missing: the Rego has not been compiled. {MEND}")
    noted = _read_lock(lock)
    differing = _differences(_digests_of(rego), noted.get("rego"))
    if differing:
        raise PolicyNotCompiled(
            f"{WASM_NAME} was compiled from other Rego; changed since: {', '.join(differing)}."
            f" {MEND}"
        )
    if noted.get("wasm") != digest_of_bytes(wasm):
        raise PolicyNotCompiled(f"{WASM_NAME} is not the file that {LOCK_NAME} names. {MEND}")
    if noted.get("command") != COMMAND:
        raise PolicyNotCompiled(
            f"{LOCK_NAME} names another build command; expected `{COMMAND}`. {MEND}"
        )
    return wasm


def _read_lock(lock: bytes) -> Mapping[str, Any]:
    try:
        noted = orjson.loads(lock)
    except orjson.JSONDecodeError:
        noted = None
    if not isinstance(noted, dict):
        raise PolicyNotCompiled(f"{LOCK_NAME} is not a JSON object. {MEND}")
    return noted


def _differences(found: Mapping[str, str], noted: object) -> list[str]:
    before = noted if isinstance(noted, dict) else {}
    return sorted(name for name in {*found, *before} if found.get(name) != before.get(name))


def _digests_of(rego: Mapping[str, str]) -> dict[str, str]:
    return {name: digest_of_bytes(rego[name].encode()) for name in sorted(rego)}


def _faults_of(output: str, shown_in: Path) -> list[Problem]:
    found = [match for line in output.splitlines() if (match := _FAULT.search(line))]
    if not found:
        summary = " ".join(output.split())[:500] or "opa build failed and said nothing"
        return [Problem(code="rego_invalid", message=summary, file=str(shown_in))]
    return [
        Problem(
            code="rego_invalid",
            message=match["text"],
            file=str(shown_in / match["file"]),
            line=int(match["line"]),
        )
        for match in found
    ]


def run_opa(command: tuple[str, ...], cwd: Path | None) -> subprocess.CompletedProcess[str]:
    """Run opa with nothing of this environment but HOME and PATH; not to be run is an error."""
    try:
        return subprocess.run(  # noqa: S603 - the words are ours, the path is what PATH names
            command,
            cwd=cwd,
            env={"HOME": os.environ.get("HOME", os.devnull), "PATH": os.environ.get("PATH", "")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_DEADLINE_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PolicyNotCompiled(
            f"{command[0]} could not be run ({type(error).__name__})."
        ) from error


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        os.fchmod(handle, 0o644)
    Path(name).replace(path)
