"""
A value that a pattern takes, so that people and what-if questions have an example.

Exact  Patterns as `fault_of_pattern` lets them pass. What is returned matches; where the short
       way through the pattern does not lead to a match, there is no sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_WORDS: Final = ("nightly-digest", "job:nightly-digest", f"hk1_{'0' * 32}", "0" * 32)
"""Tried first: they read better than the shortest match."""
_PLAIN: Final = "aA0" + "".join(map(chr, range(ord(" "), ord("~") + 1)))
_CLASSES: Final = {"d": "0", "D": "a", "w": "a", "W": "-", "s": " ", "S": "a"}
_COUNT: Final = re.compile(r"[*+?]\??|\{(\d*),?\d*\}\??")
_OPENER: Final = re.compile(r"\((\?P<\w+>|\?:|\?[imsx]+\))?")


def sample_of(pattern: str) -> str | None:
    """Return a text that matches, None where none was found."""
    compiled = re.compile(pattern, re.ASCII)
    shortest = _Shortest(pattern).text()
    return next((text for text in (*_WORDS, shortest) if text and compiled.fullmatch(text)), None)


class _Shortest:
    """One pass over a pattern: the first branch of each choice, as few rounds as will do."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def text(self) -> str:
        return "".join(self._branch())

    def _branch(self) -> Iterator[str]:
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            part = self._atom()
            yield part * self._rounds()
        self._skip_other_branches()

    def _atom(self) -> str:
        start = self._at
        match self._pattern[start]:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                self._at += 2
                letter = self._pattern[start + 1]
                return "" if letter in "bBA" else _CLASSES.get(letter, letter)
            case "^" | "$":
                self._at += 1
                return ""
            case ".":
                self._at += 1
                return "a"
            case letter:
                self._at += 1
                return letter

    def _group(self) -> str:
        opener = _OPENER.match(self._pattern, self._at)
        assert opener is not None, "an atom that starts with ( is a group"
        self._at = opener.end()
        if opener[0].endswith(")"):  # flags only
            return ""
        inside = "".join(self._branch())
        self._at += 1
        return inside

    def _class(self) -> str:
        end = self._at + 2 if self._pattern[self._at + 1] == "^" else self._at + 1
        end += self._pattern[end] == "]"  # the first one stands for itself
        while self._pattern[end] != "]":
            end += 2 if self._pattern[end] == "\\" else 1
        allowed = re.compile(self._pattern[self._at : end + 1], re.ASCII)
        self._at = end + 1
        return next((letter for letter in _PLAIN if allowed.fullmatch(letter)), "")

    def _rounds(self) -> int:
        count = _COUNT.match(self._pattern, self._at)
        if count is None or count[0] == "{}":
            return 1
        self._at = count.end()
        if count[1] is not None:
            return int(count[1] or 0)
        return int(count[0][0] == "+")

    def _skip_other_branches(self) -> None:
        """Go on to the end of the group, past the branches that were not taken."""
        depth = 0
        while self._at < len(self._pattern):
            letter = self._pattern[self._at]
            if letter == ")" and depth == 0:
                return
            if letter == "[":
                self._class()
                continue
            depth += (letter == "(") - (letter == ")")
            self._at += 2 if letter == "\\" else 1
