"""
Which bodies of the Rego's rules a decision ran through, by `opa eval --coverage`.

Shapes  Sources are text by path relative to the policies folder, as in adapters/engines/opa.py.
Exact   OPA marks the head of a body as covered when the body came out true, so with `opa` the
        rules told of are those that fired. Without it, all bodies there are.
Errors  Where `opa` cannot be run, or fails, the reason stands beside all bodies there are.
Source  A trace (`--explain full`) names each binding as well, and is 2 GB for one question to a
        registry of 5,000 services; coverage is 0.1 MB.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import orjson

from tallygate.adapters.engines.opa import ENTRYPOINT, Opa, find_opa, run_opa
from tallygate.application.explanation import Rule, Rules, finds
from tallygate.errors import PolicyNotCompiled

_ROOT: Final = "policies"
_INPUT: Final = "input.json"
_QUERY: Final = "data." + ENTRYPOINT.replace("/", ".")
_TITLE: Final = re.compile(r"^title:\s*(?P<title>.+)", re.MULTILINE)
_HEAD: Final = re.compile(r"(?:default\s+(?P<defaulted>\w+)|(?P<name>[A-Za-z_]\w*))(?=[\s(\[.:=])")
_ELSE: Final = re.compile(r"\}?\s*(?=else\b)")
_NO_RULES: Final = frozenset({"package", "import"})


def rules_behind(
    rego: Mapping[str, str],
    data: Mapping[str, Any],
    question: Mapping[str, Any],
    decision: Mapping[str, Any],
    folder: Path,
) -> Rules:
    """Tell which rules a decision came from: those that fired, where `opa` is at hand."""
    bodies = [body for path in sorted(rego) for body in _bodies_in(path, rego[path], folder)]
    try:
        opa = find_opa()
        if opa is not None:
            with tempfile.TemporaryDirectory(prefix="tallygate-explain-") as name:
                staged = _Staged(Path(name), opa, rego, data, question)
                return _fired(staged, decision, bodies)
        reason = "no opa on the PATH"
    except PolicyNotCompiled as error:
        reason = str(error)
    every = tuple(body.rule for body in bodies)
    return Rules(every, are_those_that_fired=False, told_by=reason)


def _fired(staged: _Staged, decision: Mapping[str, Any], bodies: Sequence[_Body]) -> Rules:
    covered = staged.covered(_QUERY)
    fired = [body for body in bodies if body.place in covered]
    return Rules(
        tuple(body.rule for body in fired),
        are_those_that_fired=True,
        told_by=f"opa eval --coverage, OPA {staged.opa.version}",
        by_violation=dict(_by_violation(decision, fired, staged)),
    )


_Place = tuple[str, int, int]
"""Path below the folder, row and column of a head."""


@dataclass(frozen=True, slots=True)
class _Body:
    rule: Rule
    place: _Place
    package: str


def _by_violation(
    decision: Mapping[str, Any], fired: Sequence[_Body], staged: _Staged
) -> Iterator[tuple[tuple[str, str], tuple[Rule, ...]]]:
    """Where several bodies with one code have fired, ask for each violation by itself."""
    for item in (*decision["violations"], *decision["waived"]):
        code, field = item["code"], item["field"]
        able = [body for body in fired if finds(body.rule, code)]
        if len(able) > 1:
            key = orjson.dumps({"code": code, "field": field}).decode()
            rules = {f"data.{body.package}.{body.rule.name}[{key}]" for body in able}
            covered = frozenset().union(*(staged.covered(query) for query in rules))
            able = [body for body in able if body.place in covered]
        yield (code, field), tuple(body.rule for body in able)


def _bodies_in(path: str, text: str, folder: Path) -> Iterator[_Body]:
    titles: dict[str, str] = {}
    comment: list[str] = []
    name = package = ""
    for row, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            comment.append(line.removeprefix("#").removeprefix(" "))
            continue
        if line.startswith("package "):
            package = line.split()[1]
        other, head = _ELSE.match(line), _HEAD.match(line)
        column = 1 if other is None else other.end() + 1
        if other is None and head is not None:
            name = head["defaulted"] or head["name"]
            titles.setdefault(name, _title_of(comment))
        comment = []
        is_body = other is not None or (head is not None and head["defaulted"] is None)
        if is_body and name not in _NO_RULES:
            shown = line[column - 1 :].rstrip(" {")
            rule = Rule(str(folder / path), row, name, titles[name], shown)
            yield _Body(rule, (path, row, column), package)


def _title_of(comment: Sequence[str]) -> str:
    """Take a rule's METADATA title, else the first sentence of what stands above it."""
    text = "\n".join(comment)
    if matched := _TITLE.search(text):
        return matched["title"].strip()
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


class _Staged:
    """A bundle and an input in a folder of their own, to be asked by `opa eval`."""

    def __init__(
        self,
        root: Path,
        opa: Opa,
        rego: Mapping[str, str],
        data: Mapping[str, Any],
        question: Mapping[str, Any],
    ) -> None:
        self._root, self.opa = root, opa
        for path, text in rego.items():
            target = root / _ROOT / PurePosixPath(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="")
        (root / _ROOT / "data.json").write_bytes(orjson.dumps(data))
        (root / _INPUT).write_bytes(orjson.dumps(question))

    def covered(self, query: str) -> frozenset[_Place]:
        words = ("eval", "-b", _ROOT, "--input", _INPUT, "--strict-builtin-errors", "--coverage")
        answer = run_opa((str(self.opa.path), *words, "--format", "json", query), cwd=self._root)
        try:
            files = orjson.loads(answer.stdout)["coverage"]["files"]
            return frozenset(
                (file.removeprefix(f"{_ROOT}/"), part["start"]["row"], part["start"]["col"])
                for file, report in files.items()
                for part in report.get("covered", ())
            )
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            summary = " ".join((answer.stderr or answer.stdout).split())[:200]
            raise PolicyNotCompiled(f"`opa eval --coverage` failed: {summary}") from error
