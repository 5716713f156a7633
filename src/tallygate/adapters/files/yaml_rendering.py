"""
New values as YAML text that every reader understands alike, in the style of the file around them.

Shapes  Few plain values stand on one line; instants, figures and whatever else some reader takes
        for something other than text stand in double quotes.
Errors  TypeError for a value that policy files cannot hold, such as a float.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

from tallygate.adapters.files.strict_yaml import parse_yaml
from tallygate.errors import PoliciesInvalid

_INLINE_CHARS: Final = 88
_ENDLESS: Final = 10**9
"""Columns: a value is never folded."""


@dataclass(frozen=True, slots=True)
class Indents:
    """How far a file sets things in, in columns."""

    step: int = 2
    """A mapping below its key."""
    dash: int = 2
    """The dash of a list below its key."""


def inline(value: object, quotes: str | None = None) -> str:
    """Write a value on one line; `quotes` are the kind that stood there before."""
    if isinstance(value, str) and quotes == "'" and value.isprintable():
        node: object = SingleQuotedScalarString(value)
    elif isinstance(value, str) and quotes:
        node = DoubleQuotedScalarString(value)
    else:
        node = _node_of(value, flow=True)
    # Within braces, because the end of a document would be marked behind a value on its own.
    return _dumped(_in_brackets(CommentedMap({"k": node})), Indents()).strip()[len("{k: ") : -1]


def inline_entry(key: str, value: object) -> str:
    """Write `key: value` as it stands between braces."""
    return inline({key: value})[1:-1]


def entry_lines(
    key: str, value: object, indents: Indents, *, flow: bool | None = None
) -> list[str]:
    """Write an entry of a mapping on lines of its own; `flow` None: short values on one line."""
    node = _node_of(value, flow=is_short(value) if flow is None else flow)
    return _dumped(CommentedMap({_text(key): node}), indents).splitlines()


def item_lines(value: object, indents: Indents, *, flow: bool | None = None) -> list[str]:
    """Write an item of a list on lines of its own, the dash in column 0."""
    node = _node_of(value, flow=is_short(value) if flow is None else flow)
    level = Indents(indents.step, 0)  # ruamel sets even an outermost list in
    return _dumped(CommentedSeq([node]), level).splitlines()


def is_short(value: object) -> bool:
    """Whether a value reads well on one line: plain values, or a few of them."""
    if isinstance(value, list):
        fits = not any(isinstance(item, list | dict) for item in value)
    elif isinstance(value, dict):
        fits = not any(isinstance(item, dict) or not is_short(item) for item in value.values())
    else:
        return True
    return fits and len(inline(value)) <= _INLINE_CHARS


def _node_of(value: object, *, flow: bool) -> Any:  # noqa: ANN401 - ruamel's own
    match value:
        case dict():
            entries = {
                _text(key): _node_of(item, flow=flow or is_short(item))
                for key, item in value.items()
            }
            mapping = CommentedMap(entries)
            return _in_brackets(mapping) if flow else mapping
        case list():
            items = CommentedSeq([_node_of(item, flow=flow or is_short(item)) for item in value])
            return _in_brackets(items) if flow else items
        case str():
            return _text(value)
        case bool() | int() | None:
            return value
        case _:
            raise TypeError(f"a {type(value).__name__} cannot stand in a policy file")


def _in_brackets(node: Any) -> Any:  # noqa: ANN401 - ruamel's own
    node.fa.set_flow_style()
    return node


def _text(text: str) -> str:
    """Leave text plain where every reader takes it for this text, on a line and in brackets."""
    try:
        plain = parse_yaml(f"[{text}]", "").value == [text]
        plain = plain and parse_yaml(f"{text}: {text}", "").value == {text: text}
    except PoliciesInvalid:
        plain = False
    return text if plain else DoubleQuotedScalarString(text)


def _dumped(node: object, indents: Indents) -> str:
    writer = YAML(typ="rt", pure=True)
    writer.width = _ENDLESS
    writer.allow_unicode = True
    writer.indent(mapping=indents.step, sequence=indents.dash + 2, offset=indents.dash)
    out = io.StringIO()
    writer.dump(node, out)
    return out.getvalue()
