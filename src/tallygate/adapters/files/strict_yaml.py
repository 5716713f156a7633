"""
YAML that every reader understands alike, or a problem with file and line.

PyYAML reads YAML 1.1, OPA reads something near 1.2: they disagree on `no`, `010`, `12:30:45`,
`1_000_000`, bare dates and duplicate keys. What is ambiguous is refused, so that a reviewer, Rego
and Python see one value.

Shapes  `read_yaml(path)` gives a `Document`: the value, and the line of every place inside it.
Errors  PoliciesInvalid with one Problem per fault.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tallygate.adapters.files.yaml_faults import (
    ambiguity_remedy,
    character_problem,
    encoding_problem,
    syntax_problem,
    without_secrets,
)
from tallygate.errors import PoliciesInvalid, Problem

_MAX_BYTES: Final = 16 * 1024 * 1024
_MAX_DEPTH: Final = 100
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_PLAIN_WORDS: Final = {"true": True, "false": False, "null": None}
# Plain scalars that some reader takes for something other than text.
_AMBIGUOUS: Final = re.compile(
    r"""
    (?i:y|n|yes|no|on|off|true|false|null|~|\.nan|[-+]?\.inf)
    | [-+]?[0-9][0-9_,]*(:[0-9_]+)+(\.[0-9_]*)?      # sexagesimal, times
    | [-+]?0[0-9_]+ | [-+]?0[xXoObB][0-9a-fA-F_]+    # octal, hexadecimal, binary
    | [-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?  # other numbers
    | [-+]?\.[0-9][0-9_]*([eE][-+]?[0-9]+)?
    | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt\ ].*)?      # dates
    | = | <<
    """,
    re.VERBOSE,
)

_NUMBER_STARTS: Final = frozenset("+-.0123456789")
_TAGS: Final = yaml.resolver.Resolver()

YamlPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file as JSON values, and where each of them stands."""

    file: str
    value: Any
    marks: dict[YamlPath, tuple[int, int]]
    """Path inside the document to 1-based line and column."""

    def place(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the nearest enclosing thing that exists."""
        steps = tuple(path)
        while steps and steps not in self.marks:
            steps = steps[:-1]
        return self.marks.get(steps, (1, 1))

    def problem(
        self,
        path: Sequence[str | int],
        code: str,
        message: str,
        remedy: str = "",
        severity: str = "error",
    ) -> Problem:
        """Build a problem that points at this place."""
        line, column = self.place(path)
        return Problem(
            code=code,
            message=without_secrets(message),
            remedy=without_secrets(remedy),
            file=self.file,
            line=line,
            column=column,
            where=without_secrets(".".join(str(step) for step in path)),
            severity=severity,
        )


def read_yaml(path: Path, *, shown_as: str | None = None) -> Document:
    """Read one file strictly; every fault in it is reported at once."""
    file = shown_as or str(path)
    content = b""
    try:
        if path.exists() and not path.is_file():
            raise _invalid(file, "cannot be read: it is not a file", "Put a file there.")
        if path.stat().st_size > _MAX_BYTES:
            raise _invalid(file, f"the file is larger than {_MAX_BYTES} bytes", "No policy is.")
        content = path.read_bytes()
        text = content.decode("utf-8")
    except OSError as error:
        raise _invalid(file, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PoliciesInvalid([encoding_problem(content, error.start, file)]) from error
    return parse_yaml(text, file)


def parse_yaml(text: str, file: str) -> Document:
    """Parse text as `read_yaml` does; `file` is only for messages."""
    try:
        if _is_too_deep(text):
            raise _invalid(file, f"is nested too deeply: more than {_MAX_DEPTH} levels")
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        raise PoliciesInvalid([syntax_problem(error, text, file)]) from error
    except yaml.YAMLError as error:
        raise PoliciesInvalid([character_problem(text, file)]) from error
    reader = _Reader(file)
    try:
        value = reader.value_of(node, ()) if node is not None else None
    except RecursionError as error:
        raise _invalid(file, "is nested too deeply") from error
    if reader.problems:
        raise PoliciesInvalid(reader.problems)
    return Document(file, value, reader.marks)


def _is_too_deep(text: str) -> bool:
    """Whether composing it would recurse too far: libyaml ends the process then."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                return True
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return False


def _is_ambiguous(text: str) -> bool:
    """Whether some reader takes plain text for something else; Go drops underscores first."""
    if _AMBIGUOUS.fullmatch(text):
        return True
    return text[:1] in _NUMBER_STARTS and bool(_AMBIGUOUS.fullmatch(text.replace("_", "")))


def _invalid(file: str, message: str, remedy: str = "") -> PoliciesInvalid:
    unread = Problem(code="file_unreadable", message=f"{message}.", remedy=remedy, file=file)
    return PoliciesInvalid([unread])


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.marks: dict[YamlPath, tuple[int, int]] = {}
        self._seen: set[int] = set()
        self._aliased: set[int] = set()

    def value_of(self, node: yaml.Node, path: YamlPath) -> Any:  # noqa: ANN401 - JSON is Any
        self.marks[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if id(node) in self._seen:  # an alias is its anchor's node again
            if id(node) not in self._aliased:
                self._refuse(node, path, "anchors and aliases are not allowed; write the value out")
            self._aliased.add(id(node))
            return None
        self._seen.add(id(node))
        self._check_tag(node, path)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value_of(item, (*path, i)) for i, item in enumerate(node.value)]
        assert isinstance(node, yaml.MappingNode), node
        return self._mapping(node, path)

    def _check_tag(self, node: yaml.Node, path: YamlPath) -> None:
        """Refuse a tag that makes a value something other than it looks like."""
        is_plain = not getattr(node, "style", None)
        looks_like = _TAGS.resolve(  # type: ignore[no-untyped-call]  # the stubs leave it out
            type(node), node.value, (is_plain, not is_plain)
        )
        if node.tag != looks_like:
            self._refuse(node, path, f"the tag {node.tag} is not allowed")

    def _mapping(self, node: yaml.MappingNode, path: YamlPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node, path, "a key must be plain text")
                continue
            key = key_node.value
            self._check_tag(key_node, (*path, key))
            if not key_node.style and _is_ambiguous(key):
                self._refuse(key_node, (*path, key), f"the key {key} is read differently", key)
            if key in result:
                first = self.marks[(*path, key)][0]
                message = f"the key {key} stands twice, first in line {first}"
                self._refuse(key_node, (*path, key), message, said="Keep one of them.")
                continue
            result[key] = self.value_of(value_node, (*path, key))
            self.marks[(*path, key)] = (
                key_node.start_mark.line + 1,
                key_node.start_mark.column + 1,
            )
        return result

    def _scalar(self, node: yaml.ScalarNode, path: YamlPath) -> Any:  # noqa: ANN401 - JSON
        text: str = node.value
        if node.style:  # plain is None in PyYAML's own reader, "" in libyaml's
            return text
        if text == "":
            return None
        if text in _PLAIN_WORDS:
            return _PLAIN_WORDS[text]
        if _INTEGER.fullmatch(text) and len(text) <= 15 and text != "-0":
            return int(text)
        if _is_ambiguous(text):
            self._refuse(node, path, f"{text} is read differently by different YAML readers", text)
        return text

    def _refuse(
        self,
        node: yaml.Node,
        path: YamlPath,
        message: str,
        text: str | None = None,
        said: str = "",
    ) -> None:
        self.problems.append(
            Problem(
                code="yaml_ambiguous",
                message=without_secrets(message) + ".",
                remedy=without_secrets(ambiguity_remedy(text) if text else said),
                file=self.file,
                line=node.start_mark.line + 1,
                column=node.start_mark.column + 1,
                where=without_secrets(".".join(str(step) for step in path)),
            )
        )
