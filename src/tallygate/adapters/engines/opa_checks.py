"""
What `opa` itself says about the Rego: that it compiles strictly, is portable, and has OPA's form.

Shapes  The Rego files are copied away from their data first: types come from the schemas, and a
        fault in some YAML must not hide one in a rule.
Errors  Problems with file, line and column; PolicyNotCompiled when opa cannot be run.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import orjson

from tallygate.adapters.engines.opa import Opa, run_opa
from tallygate.errors import PolicyNotCompiled, Problem

CAPABILITIES: Final = "portable-capabilities.json"
_STAGED: Final = "policies"
_MANIFEST: Final = ".manifest"


def check_rego(folder: Path, schemas: Path, opa: Opa) -> list[Problem]:
    """Check every .rego file below the folder, tests included, against the schemas in `schemas`."""
    with tempfile.TemporaryDirectory(prefix="tallygate-check-") as name:
        root = Path(name)
        stage_rego(folder, root / _STAGED)
        check = ("check", "--strict", "--bundle", "--max-errors", "100", "--format", "json")
        typed = (*check, "--schema", str(schemas.resolve()), _STAGED)
        found = dict.fromkeys(_errors_of(opa, typed, root))
        problems = [_problem(folder, "rego_invalid", error) for error in found]
        capabilities = schemas / CAPABILITIES
        if capabilities.exists():
            # Tests run in opa only and may use any builtin.
            portable = (*check, "--ignore", "*_test.rego", "--capabilities")
            errors = _errors_of(opa, (*portable, str(capabilities.resolve()), _STAGED), root)
            problems.extend(
                _problem(folder, "rego_not_portable", error)
                for error in dict.fromkeys(errors)
                if error not in found
            )
        return [*problems, *_unformatted(folder, root, opa)]


_Error = tuple[str, int | None, int | None, str]
"""File below the staged folder, row, column, message."""


def stage_rego(folder: Path, target: Path) -> None:
    """Copy the Rego, tests included, and the manifest to where opa may read everything."""
    target.mkdir()
    for path in [*folder.rglob("*.rego"), folder / _MANIFEST]:
        if path.is_file():
            copy = target / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def _errors_of(opa: Opa, words: Sequence[str], root: Path) -> Iterator[_Error]:
    answer = run_opa((str(opa.path), *words), cwd=root)
    if answer.returncode == 0:
        return
    said = (answer.stdout, answer.stderr)
    errors = next((errors for text in said if (errors := _errors_in(text))), None)
    if errors is None:
        summary = " ".join(" ".join(said).split())[:500]
        raise PolicyNotCompiled(f"`opa check` failed: {summary or 'it said nothing'}")
    for error in errors:
        place = error.get("location") or {}
        row, column = place.get("row"), place.get("col")
        yield _below(place.get("file", "")), row, column, _message_of(error)


def _errors_in(text: str) -> list[Mapping[str, Any]] | None:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    errors = document.get("errors") if isinstance(document, dict) else None
    return errors if isinstance(errors, list) else None


def _message_of(error: Mapping[str, Any]) -> str:
    message = " ".join(str(error.get("message", "")).split())[:500]
    offered = (error.get("details") or {}).get("oneOf")
    if isinstance(offered, list) and offered:
        message += f" (expected one of: {', '.join(str(name) for name in offered[:12])})"
    return f"{error.get('code', 'opa')}: {message}"


def _problem(folder: Path, code: str, error: _Error) -> Problem:
    file, row, column, message = error
    remedy = {
        "rego_not_portable": f"Use a builtin that schemas/{CAPABILITIES} lists.",
    }.get(code, "")
    return Problem(
        code=code,
        message=f"{message}.",
        remedy=remedy,
        file=str(folder / (file or (_MANIFEST if "manifest" in message else ""))),
        line=row,
        column=column,
    )


def _unformatted(folder: Path, root: Path, opa: Opa) -> Iterator[Problem]:
    listed = run_opa((str(opa.path), "fmt", "--list", _STAGED), cwd=root)
    for name in listed.stdout.splitlines():
        wanted = run_opa((str(opa.path), "fmt", name), cwd=root).stdout
        yield Problem(
            code="rego_unformatted",
            message="does not have the form that opa fmt gives it.",
            remedy=f"Run: opa fmt -w {folder / _below(name)}",
            file=str(folder / _below(name)),
            line=_first_changed((root / name).read_text(encoding="utf-8"), wanted),
            severity="warning",
        )


def _first_changed(text: str, wanted: str) -> int:
    lines = zip(text.splitlines(), wanted.splitlines(), strict=False)
    same = takewhile(lambda pair: pair[0] == pair[1], lines)
    return min(sum(1 for _ in same) + 1, max(1, len(text.splitlines())))


def _below(name: str) -> str:
    return name.removeprefix(f"{_STAGED}/")
