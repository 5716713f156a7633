"""
Edits of reviewed YAML files that leave every other byte as it was: comments, order, quotes, blanks.

ruamel.yaml says where each node of the file begins and ends, and writes what is new in the style
of what stands around it. The text between is not written again, because a dump of the whole file
moves comments and evens out what people aligned; so the diff is the lines that were meant.

Shapes  `edited(text, edits, file)` gives the new text; an edit names its place by a path.
Exact   The strict reader reads the result back, and it must be the old value with these edits.
Errors  PoliciesInvalid: the file cannot be read strictly, or an edit cannot be made in it.
"""

from __future__ import annotations

import copy
import difflib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from tallygate.adapters.files.strict_yaml import Document, YamlPath, parse_yaml
from tallygate.adapters.files.yaml_splices import Place, Splicer
from tallygate.errors import PoliciesInvalid


@dataclass(frozen=True, slots=True)
class Put:
    """Give a mapping's key a value: in place where it stands, else as a new last entry."""

    path: YamlPath
    value: Any
    comment: str = ""
    """Put above the entry, without the `#`."""
    after: str | None = None
    """The key that a new entry comes after; the last one when that is not there."""


@dataclass(frozen=True, slots=True)
class Insert:
    """Add an item to the list at the path, which is made where there is none."""

    path: YamlPath
    value: Any
    index: int | None = None
    """Where it will stand; None is the end."""
    comment: str = ""
    after: str | None = None
    """As `Put.after`, where the list itself is new."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Take out an entry of a mapping or an item of a list; comments above it stay."""

    path: YamlPath


Edit = Put | Insert | Remove


def edited(text: str, edits: Sequence[Edit], file: str) -> str:
    """Make the edits one after the other; `file` is only for messages."""
    document = parse_yaml(text, file)
    meant = copy.deepcopy(document.value)
    for edit in edits:
        try:
            meant = _applied(meant, edit)
            text = _made(text, edit)
        except (KeyError, IndexError) as error:
            raise _refused(document, edit, "there is nothing at this place") from error
        except (TypeError, ValueError) as error:
            raise _refused(document, edit, str(error)) from error
        if not _says(text, meant):
            raise _refused(document, edit, "the file would not say just what was meant")
    return text


def replace_file(path: Path, text: str) -> None:
    """Replace the file whole or not at all; a link stays one, and so do the permissions."""
    target = path.resolve()
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def read_text(path: Path) -> str:
    """Read a file with its line ends as they are, for `edited` to keep them."""
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


def diff_of(before: str, after: str, shown_as: str) -> str:
    """Show what changed as `git diff` would, for a pull request."""
    if before == after:
        return ""
    lines = difflib.unified_diff(
        _whole_lines(before), _whole_lines(after), f"a/{shown_as}", f"b/{shown_as}"
    )
    return "".join(lines)


def shown_as(path: Path) -> str:
    """Name a file in a diff so that `git apply` takes it: from here, and never absolute."""
    here = Path.cwd()
    inside = path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path
    return inside.as_posix().lstrip("/")


def _whole_lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n\\ No newline at end of file\n"
    return lines


def _says(text: str, meant: object) -> bool:
    """Whether the strict reader finds this value, with numbers and truth values told apart."""
    try:
        found = parse_yaml(text, "").value
    except PoliciesInvalid:
        return False
    sort = orjson.OPT_SORT_KEYS  # as text, in which 1 is not true
    return orjson.dumps(found, option=sort) == orjson.dumps(meant, option=sort)


def _refused(document: Document, edit: Edit, why: str) -> PoliciesInvalid:
    return PoliciesInvalid(
        [
            document.problem(
                edit.path,
                "edit_refused",
                f"cannot be edited by a program: {why}.",
                "Nothing was written; edit the file by hand.",
            )
        ]
    )


def _applied(value: Any, edit: Edit) -> Any:  # noqa: ANN401 - JSON is Any
    """Make the edit on the plain value: what the edited file must say."""
    if not edit.path:
        raise ValueError("no place in the file is named")
    whole = {} if value is None else value
    holder = whole
    for step in edit.path[:-1]:
        if isinstance(holder, dict) and holder.get(step) is None and not isinstance(edit, Remove):
            holder[step] = {}
        holder = holder[step]
    last = edit.path[-1]
    match edit:
        case Put(value=new):
            holder[last] = copy.deepcopy(new)
        case Insert(value=new, index=index):
            if isinstance(holder, dict) and holder.get(last) is None:
                holder[last] = []
            items = holder[last]
            if not isinstance(items, list):
                raise TypeError("there is a value where a list was expected")
            items.insert(len(items) if index is None else index, copy.deepcopy(new))
        case Remove():
            del holder[last]
    return whole


def _made(text: str, edit: Edit) -> str:
    root = YAML(typ="rt", pure=True).compose(text)
    splicer = Splicer.over(text, root)
    if not isinstance(edit, Remove):
        return _put(splicer, root, edit)
    if root is None:
        raise KeyError(edit.path[-1])
    return _remove(splicer, root, edit.path)


def _put(splicer: Splicer, root: Node | None, edit: Put | Insert) -> str:
    if root is None:
        key, value = _what_is_new(edit, 0)
        return splicer.at_end(key, value, edit.comment)
    place, reached = _descend(root, edit.path)
    if reached < len(edit.path):
        key, value = _what_is_new(edit, reached)
        return splicer.with_entry(place, key, value, edit.comment, edit.after)
    if isinstance(edit, Put):
        return splicer.replaced(place, edit.value, edit.comment)
    if isinstance(place.node, SequenceNode):
        return splicer.with_item(place, edit.value, edit.index, edit.comment)
    return splicer.replaced(place, [edit.value], edit.comment)


def _what_is_new(edit: Put | Insert, reached: int) -> tuple[str, Any]:
    """Return the first step of the path that is not there, and what comes under it."""
    value: Any = edit.value if isinstance(edit, Put) else [edit.value]
    for step in reversed(edit.path[reached + 1 :]):
        value = {step: value}
    first = edit.path[reached]
    if not isinstance(first, str):
        raise IndexError(first)
    return first, value


def _remove(splicer: Splicer, root: Node, path: YamlPath) -> str:
    place, reached = _descend(root, path[:-1])
    keys = _keys(place.node)
    if reached < len(path) - 1 or path[-1] not in keys:
        raise KeyError(path[-1])
    return splicer.without(place, keys.index(path[-1]))


def _keys(node: Node) -> list[str | int]:
    if isinstance(node, MappingNode):
        return [key.value for key, _ in node.value]
    return list(range(len(node.value))) if isinstance(node, SequenceNode) else []


def _descend(root: Node, path: YamlPath) -> tuple[Place, int]:
    """Go down the path as far as there is something."""
    place = Place(root)
    for reached, step in enumerate(path):
        node = place.node
        in_brackets = place.in_brackets or bool(getattr(node, "flow_style", False))
        if step not in _keys(node):
            return place, reached
        if isinstance(node, MappingNode):
            key, value = next(pair for pair in node.value if pair[0].value == step)
            place = Place(value, key, in_brackets)
        else:
            place = Place(node.value[step], None, in_brackets, is_item=True)
    return place, len(path)
