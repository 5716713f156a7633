"""
A YAML text and where its nodes stand: lines are put in and taken out, the rest is not touched.

Errors  ValueError or TypeError where that cannot be done without touching something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tallygate.adapters.files.yaml_rendering import (
    Indents,
    entry_lines,
    inline,
    inline_entry,
    is_short,
    item_lines,
)

_BLANK_LINE: Final = re.compile(r"\n[ \t]*\r?\n")
_LEAD: Final = re.compile(r" *(?:- +)*")


@dataclass(frozen=True, slots=True)
class Place:
    """A node, the key that it stands under, and whether brackets are around it."""

    node: Node
    key: Node | None = None
    """None for the root and for an item of a list."""
    in_brackets: bool = False
    is_item: bool = False
    """Whether it stands behind a dash or a comma, so that nothing can be opened below it."""


@dataclass(frozen=True, slots=True)
class Splicer:
    """One text, before one change."""

    text: str
    indents: Indents

    @classmethod
    def over(cls, text: str, root: Node | None) -> Splicer:
        """Take the text, and set things in as far as it does."""
        return cls(text, _indents_of(root))

    def replaced(self, place: Place, value: object, comment: str) -> str:
        """Put another value where a plain one, one in brackets or none stands."""
        node = place.node
        if _is_block(node):
            raise ValueError("a block stands there; change its entries one by one")
        if isinstance(node, ScalarNode) and node.style in ("|", ">"):
            raise ValueError("a block of text stands there")
        above = self._line_start((place.key or node).start_mark.index)
        if _is_null(node):
            if isinstance(value, dict) and not (is_short(value) or place.is_item):
                return self._opened(place, value, comment)
            start, end = self._value_span(place)
            gap = " " if self.text[start - 1 : start] == ":" else ""
            return self._spliced(start, end, gap + inline(value), above, comment)
        quotes = node.style if isinstance(node, ScalarNode) and node.style in ('"', "'") else None
        span = node.start_mark.index, node.end_mark.index
        return self._spliced(*span, inline(value, quotes), above, comment)

    def with_entry(
        self, place: Place, key: str, value: object, comment: str, after: str | None
    ) -> str:
        """Add an entry to the mapping at the place."""
        node = place.node
        if _is_null(node) or _is_empty(node):
            if place.in_brackets or place.is_item:
                return self.replaced(place, {key: value}, comment)
            return self._opened(place, {key: value}, comment)
        if not isinstance(node, MappingNode):
            raise TypeError("there is a value where a mapping was expected")
        before = next((pair for pair in node.value if pair[0].value == after), None)
        if node.flow_style:
            at = self._end(*(before or node.value[-1])) if node.value else node.start_mark.index + 1
            new = (", " if node.value else "") + inline_entry(key, value)
            return self._spliced(at, at, new, self._line_start(node.start_mark.index), comment)
        flow = _flow_beside([value for _, value in node.value], value)
        lines = entry_lines(key, value, self.indents, flow=flow)
        column = node.value[0][0].start_mark.column
        at = self._next_line(self._end(*(before or node.value[-1])))
        if self._is_spaced(node):
            spaced = _with_lines(self.text, at, [""], 0, "")
            at += len(spaced) - len(self.text)
            return _with_lines(spaced, at, lines, column, comment)
        return _with_lines(self.text, at, lines, column, comment)

    def with_item(self, place: Place, value: object, index: int | None, comment: str) -> str:
        """Add an item to the list at the place, before the item that has the index now."""
        node = place.node
        assert isinstance(node, SequenceNode), place
        if _is_empty(node) and not (place.in_brackets or place.is_item or is_short([value])):
            return self._opened(place, [value], comment)
        if node.flow_style:
            return self._with_item_in_brackets(node, value, index, comment)
        lines = item_lines(value, self.indents, flow=_flow_beside(node.value, value))
        column = node.start_mark.column
        where = len(node.value) if index is None else index
        if where > 0:
            return self._lines_after(
                self._end(node.value[where - 1], node.value[where - 1]), lines, column, comment
            )
        return self._lines_at(self._line_start(node.start_mark.index), lines, column, comment)

    def without(self, place: Place, index: int) -> str:
        """Take out a member of a mapping or a list."""
        node = place.node
        members = list(_members(node))
        first, last = members[index]
        if _is_bracketed(node):
            return self._without_in_brackets(members, index)
        if len(members) == 1:
            return self._emptied(place)
        start = self._line_start(first.start_mark.index)
        lead = self.text[start : first.start_mark.index]
        if lead.strip() not in ("", "-") or (lead.strip() == "-" and isinstance(node, MappingNode)):
            raise ValueError("something else stands on the same line")
        return self.text[:start] + self.text[self._next_line(self._end(first, last)) :]

    def at_end(self, key: str, value: object, comment: str) -> str:
        """Add the first entry to a text that holds nothing but comments."""
        lines = entry_lines(key, value, self.indents)
        return self._lines_at(len(self.text), lines, 0, comment)

    def _with_item_in_brackets(
        self, node: SequenceNode, value: object, index: int | None, comment: str
    ) -> str:
        above = self._line_start(node.start_mark.index)
        if not node.value:
            at, new = node.start_mark.index + 1, inline(value)
        elif index is not None and index < len(node.value):
            at, new = node.value[index].start_mark.index, f"{inline(value)}, "
        else:
            at, new = self._end(node.value[-1], node.value[-1]), f", {inline(value)}"
        return self._spliced(at, at, new, above, comment)

    def _without_in_brackets(self, members: Sequence[tuple[Node, Node]], index: int) -> str:
        first, last = members[index]
        start, end = first.start_mark.index, self._end(first, last)
        if index:
            start = self._end(*members[index - 1])
        elif len(members) > 1:
            end = members[1][0].start_mark.index
        if "#" in self.text[start:end] and "\n" in self.text[start:end]:
            raise ValueError("a comment stands between the brackets")
        return self.text[:start] + self.text[end:]

    def _emptied(self, place: Place) -> str:
        """Leave `key: []` or `key: {}` of a block whose only member goes."""
        node = place.node
        if place.key is None:
            raise ValueError("nothing would be left of the file")
        colon = self.text.index(":", place.key.end_mark.index) + 1
        ((first, last),) = _members(node)
        start = self._line_start(first.start_mark.index)
        if start <= colon:
            raise ValueError("something else stands on the same line")
        empty = "[]" if isinstance(node, SequenceNode) else "{}"
        rest = self.text[self._next_line(self._end(first, last)) :]
        return f"{self.text[:colon]} {empty}{self.text[colon:start]}{rest}"

    def _is_spaced(self, node: MappingNode) -> bool:
        """Whether a blank line stands between the last two entries."""
        if len(node.value) < 2:
            return False
        start, end = self._end(*node.value[-2]), node.value[-1][0].start_mark.index
        return _BLANK_LINE.search(self.text, start, end) is not None

    def _opened(self, place: Place, value: dict[str, Any] | list[Any], comment: str) -> str:
        """Put a block in the place of nothing, `{}` or `[]`."""
        start, end = self._value_span(place)
        text = self.text[:start].rstrip(" ") + self.text[end:]
        if isinstance(value, dict):
            ((key, item),) = value.items()
            lines, step = entry_lines(key, item, self.indents), self.indents.step
        else:
            lines = [line for each in value for line in item_lines(each, self.indents)]
            step = self.indents.dash
        if place.key is None:
            return _with_lines(self.text[:start], start, lines, 0, comment) + self.text[
                end:
            ].lstrip("\r\n")
        column = place.key.start_mark.column + step
        below = self._next_line(place.key.end_mark.index) - (len(self.text) - len(text))
        return _with_lines(text, below, lines, column, comment)

    def _value_span(self, place: Place) -> tuple[int, int]:
        """Return where the value stands; where nothing does, the place behind the colon."""
        if place.node.start_mark.index < place.node.end_mark.index or place.key is None:
            return place.node.start_mark.index, place.node.end_mark.index
        behind = self.text.index(":", place.key.end_mark.index) + 1
        return behind, behind

    def _spliced(self, start: int, end: int, new: str, above: int, comment: str) -> str:
        """Put text on a line that stays, and the comment above that line."""
        text = self.text[:start] + new + self.text[end:]
        lead = _LEAD.match(self.text, above)
        assert lead, above
        return _with_lines(text, above, [], len(lead[0]), comment)

    def _lines_after(self, at: int, lines: Sequence[str], column: int, comment: str) -> str:
        return self._lines_at(self._next_line(at), lines, column, comment)

    def _lines_at(self, at: int, lines: Sequence[str], column: int, comment: str) -> str:
        return _with_lines(self.text, at, lines, column, comment)

    def _end(self, first: Node, last: Node) -> int:
        """Return where a member's last line of content ends, before any comments below it."""
        node = last
        while _is_block(node):
            *_, (first, node) = _members(node)
        if _is_null(node):
            return max(int(first.end_mark.index), int(node.end_mark.index))
        if isinstance(node, ScalarNode) and node.style in ("|", ">"):
            return self._end_of_text_block(node)
        return int(node.end_mark.index)

    def _end_of_text_block(self, node: Node) -> int:
        """Return where its last line ends; its own mark lies behind the comments below it."""
        at = end = self._next_line(node.start_mark.index)
        indent: int | None = None
        while at < len(self.text):
            line = self.text[at : self._next_line(at)]
            if line.strip():
                column = len(line) - len(line.lstrip(" "))
                indent = column if indent is None else indent
                if column < indent or at >= node.end_mark.index:
                    break
                end = self._next_line(at)
            at = self._next_line(at)
        return end - 1

    def _line_start(self, at: int) -> int:
        return self.text.rfind("\n", 0, at) + 1

    def _next_line(self, at: int) -> int:
        found = self.text.find("\n", at)
        return len(self.text) if found < 0 else found + 1


def _with_lines(text: str, at: int, lines: Sequence[str], column: int, comment: str) -> str:
    """Put lines, and a comment above them, before the line that begins at `at`."""
    newline = "\r\n" if "\r\n" in text else "\n"
    said = [f"# {line}".rstrip() for line in comment.splitlines()]
    new = [" " * column + line for line in (*said, *lines)]
    before, behind = text[:at], text[at:]
    if new and before and not before.endswith("\n"):  # the last line of the file has no end
        return before + newline + newline.join(new) + behind
    return before + "".join(line + newline for line in new) + behind


def _members(node: Node) -> Iterator[tuple[Node, Node]]:
    """Walk the nodes that each member begins and ends with."""
    if isinstance(node, MappingNode):
        yield from node.value
    elif isinstance(node, SequenceNode):
        yield from ((item, item) for item in node.value)


def _is_block(node: Node) -> bool:
    return isinstance(node, MappingNode | SequenceNode) and not node.flow_style


def _is_bracketed(node: Node) -> bool:
    return isinstance(node, MappingNode | SequenceNode) and bool(node.flow_style)


def _is_empty(node: Node) -> bool:
    return isinstance(node, MappingNode | SequenceNode) and not node.value


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and str(node.tag).endswith(":null")


def _flow_beside(siblings: Sequence[Node], value: object) -> bool | None:
    """Tell how the nearest sibling of its kind stands: in brackets, as a block, None unknown."""
    if not isinstance(value, dict | list):
        return None
    kind = MappingNode if isinstance(value, dict) else SequenceNode
    found = [bool(one.flow_style) for one in siblings if isinstance(one, kind) and one.value]
    return found[-1] if found else None


def _indents_of(root: Node | None) -> Indents:
    """See how far the file sets in its first mapping in a mapping, and its first list in one."""
    step: int | None = None
    dash: int | None = None
    waiting = [root] if root is not None else []
    while waiting and (step is None or dash is None):
        node = waiting.pop(0)
        for key, value in node.value if isinstance(node, MappingNode) else ():
            if not _is_block(value):
                continue
            by = value.start_mark.column - key.start_mark.column
            if isinstance(value, MappingNode):
                step = by if step is None else step
            else:
                dash = by if dash is None else dash
            waiting.append(value)
        waiting.extend(node.value if isinstance(node, SequenceNode) else ())
    return Indents(step or Indents().step, Indents().dash if dash is None else dash)
