"""
The policies folder, read once and strictly: what every engine gets, and where each value stands.

Shapes  Five documents are data, and nothing else is: contract, registry, overrides, roles and
        break_glass, each `<name>/data.yaml`. The last three may be absent.
Exact   The revision is the digest of that data and of the Rego without its tests.
Errors  PoliciesInvalid with every problem that was found, not with the first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from tallygate.adapters.files.folder_content import files_below
from tallygate.adapters.files.schemas import read_schema, schema_problems
from tallygate.adapters.files.starter import starter_policies
from tallygate.adapters.files.strict_yaml import Document, read_yaml
from tallygate.application.policy_check import check_patterns
from tallygate.domain.kernel.digests import digest_of_bytes, digest_of_value
from tallygate.errors import PoliciesInvalid, Problem

REQUIRED_DOCUMENTS: Final = ("contract", "registry")
OPTIONAL_DOCUMENTS: Final = ("overrides", "roles", "break_glass")
_KEY: Final = re.compile(r'(\s*)"(\w+)":')
_DATA_NAMES: Final = ("data.yaml", "data.yml", "data.json")


@dataclass(frozen=True, slots=True)
class PolicySet:
    """One reading of a policies folder."""

    folder: Path
    data: Mapping[str, Any]
    """The one data.json: a key for each document."""
    rego: Mapping[str, str]
    """Path below the folder to source, tests left out."""
    documents: Mapping[str, Document]
    wasm: bytes | None
    lock: bytes | None
    revision: str


@dataclass(frozen=True, slots=True)
class PolicyCase:
    """An input and the decision that every engine must give for it."""

    name: str
    file: str
    question: Mapping[str, Any]
    decision: Mapping[str, Any]
    lines: Mapping[str, int] = field(default_factory=dict)
    """Where each part of the decision stands in its file."""

    def line_of(self, part: str) -> int:
        """Return the line of a part; a part that is not there belongs at the beginning."""
        return self.lines.get(part, 1)


def read_policies(folder: Path) -> PolicySet:
    """Read the folder; raises PoliciesInvalid with all that is wrong in its files."""
    problems: list[Problem] = []
    if not folder.is_dir():
        raise PoliciesInvalid([_missing(folder, "the policies folder does not exist")])
    documents = _read_documents(folder, problems)
    problems.extend(_stray_data(folder))
    rego = _read_rego(folder, problems)
    if problems:
        raise PoliciesInvalid(problems)
    data = {name: document.value for name, document in documents.items()}
    for name in OPTIONAL_DOCUMENTS:
        data.setdefault(name, {})
    return PolicySet(
        folder=folder,
        data=data,
        rego=rego,
        documents=documents,
        wasm=_bytes_of(folder / "policy.wasm"),
        lock=_bytes_of(folder / "policy.lock"),
        revision=revision_of(rego, data),
    )


def read_documents(folder: Path) -> tuple[dict[str, Document], list[Problem]]:
    """Read what can be read as YAML, also where the schema objects, and all that is wrong in it."""
    problems: list[Problem] = []
    return _read_documents(folder, problems), problems


def revision_of(rego: Mapping[str, str], data: Mapping[str, Any]) -> str:
    """Digest what decides: the sources and the data."""
    digests = {name: digest_of_bytes(text.encode()) for name, text in rego.items()}
    return digest_of_value({"rego": digests, "data": data})


def read_rego(folder: Path) -> dict[str, str]:
    """Read Rego that belongs to no policies folder, tests left out."""
    problems: list[Problem] = []
    sources = _read_rego(folder, problems)
    if problems:
        raise PoliciesInvalid(problems)
    return sources


def read_cases(folder: Path) -> tuple[PolicyCase, ...]:
    """Read `cases/<name>/input.json` and `decision.json`, by name."""
    problems: list[Problem] = []
    cases: list[PolicyCase] = []
    for place in sorted(path for path in (folder / "cases").glob("*") if path.is_dir()):
        question = _read_json(place / "input.json", problems)
        decision = _read_json(place / "decision.json", problems)
        file = place / "decision.json"
        cases.append(PolicyCase(place.name, str(file), question, decision, _lines_in(file)))
    if problems:
        raise PoliciesInvalid(problems)
    return tuple(cases)


def _read_documents(folder: Path, problems: list[Problem]) -> dict[str, Document]:
    documents: dict[str, Document] = {}
    for name in (*REQUIRED_DOCUMENTS, *OPTIONAL_DOCUMENTS):
        path = folder / name / "data.yaml"
        if not os.path.lexists(path):
            if name in REQUIRED_DOCUMENTS:
                problems.append(
                    _missing(path, f"the {name} is missing; without it nothing can be decided")
                )
            continue
        try:
            document = read_yaml(path)
            if document.value is None and name in OPTIONAL_DOCUMENTS:
                document = Document(document.file, {}, document.marks)
            documents[name] = document
            found = problems_of_document(folder, name, document)
        except PoliciesInvalid as error:
            found = list(error.problems)
        else:
            if not found and name == "contract":
                found = [p for p in check_patterns(document) if p.severity == "error"]
        problems.extend(found)
    return documents


def problems_of_document(folder: Path, name: str, document: Document) -> list[Problem]:
    """Compare a document with its schema: the folder's own, else the one that is shipped."""
    return schema_problems(document, read_schema(_schema_path(folder, name)))


def _schema_path(folder: Path, name: str) -> Path:
    own = folder / "schemas" / f"{name}.json"
    return own if own.exists() else starter_policies() / "schemas" / f"{name}.json"


def _stray_data(folder: Path) -> list[Problem]:
    read = {folder / name / "data.yaml" for name in (*REQUIRED_DOCUMENTS, *OPTIONAL_DOCUMENTS)}
    missing = {path for path in read if not path.exists()}
    stray = (path for path in files_below(folder) if path.name in _DATA_NAMES and path not in read)
    return [
        Problem(
            code="stray_data",
            message="tallygate does not read this file as policy data, but an OPA server would.",
            remedy="Rename it to data.yaml."
            if path.with_name("data.yaml") in missing
            else "Rename it, or move its content to "
            f"{', '.join(REQUIRED_DOCUMENTS)}, {', '.join(OPTIONAL_DOCUMENTS)}.",
            file=str(path),
        )
        for path in sorted(stray)
    ]


def _read_rego(folder: Path, problems: list[Problem]) -> dict[str, str]:
    sources: dict[str, str] = {}
    for path in sorted(files_below(folder)):
        if path.suffix != ".rego" or path.name.endswith("_test.rego"):
            continue
        try:
            with path.open(encoding="utf-8", newline="") as file:
                sources[path.relative_to(folder).as_posix()] = file.read()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(
                Problem(
                    code="file_unreadable",
                    message=f"cannot be read as UTF-8 text ({type(error).__name__}).",
                    file=str(path),
                )
            )
    if not sources and not problems:
        problems.append(_missing(folder, "there is no .rego file in the policies folder"))
    return sources


def _read_json(path: Path, problems: list[Problem]) -> Mapping[str, Any]:
    try:
        value = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        problems.append(
            Problem(
                code="case_invalid",
                message=f"is not JSON: {error.msg}.",
                file=str(path),
                line=error.lineno,
                column=error.colno,
            )
        )
        return {}
    except OSError as error:
        problems.append(
            Problem(
                code="case_invalid", message=f"cannot be read: {error.strerror}.", file=str(path)
            )
        )
        return {}
    if not isinstance(value, dict):
        problems.append(
            Problem(code="case_invalid", message="is not a JSON object.", file=str(path), line=1)
        )
        return {}
    return value


def _lines_in(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found = ((_KEY.match(line), number) for number, line in enumerate(lines, start=1))
    # The outermost of two with one name: the one with less before it.
    named = sorted((len(key[1]), key[2], number) for key, number in found if key)
    return {name: number for _, name, number in reversed(named)}


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        unread = Problem(
            code="file_unreadable", message=f"cannot be read: {error.strerror}.", file=str(path)
        )
        raise PoliciesInvalid([unread]) from error


def _missing(path: Path, message: str) -> Problem:
    return Problem(
        code="missing",
        message=f"{message}.",
        remedy="`tallygate init` writes a folder to start from.",
        file=str(path),
    )
