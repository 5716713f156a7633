"""
Regular expressions that mean the same to Python (the host) and to RE2 (every policy engine).

Exact   No lookaround, backreference, atomic group, possessive quantifier or condition, which RE2
        does not have. A repetition of nothing but a repetition, as in `(a+)+`, is refused, because
        Python takes exponential time for it; `(-a+)*` is not.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Final

_RE2_MAX_REPEAT: Final = 1000
_GROUP_OPENERS: Final = re.compile(r"\(\?(?:P<[A-Za-z_]\w*>|[imsx]+\)|:)|\((?!\?)")
_REPETITION: Final = re.compile(r"[*+?]|\{(\d*)(,?)(\d*)\}")
_ESCAPES: Final = frozenset("dDwWsSbBAaftnrvx") | frozenset(
    r"\.^$*+?{}[]|()-/_@:,;=<>!#%&~'" + '" '
)


def fault_of_pattern(pattern: str) -> str | None:
    """Say why a pattern cannot be used, or None when it can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            re.compile(pattern)
    except FutureWarning:
        return "has a set with [ or a doubled sign in it; escape it, RE2 reads it differently"
    except (re.error, RecursionError, OverflowError) as error:
        return f"is not a regular expression ({error})"
    return _Scan(pattern).fault()


@dataclass(slots=True)
class _Group:
    """What one open group, and its present branch, consist of."""

    mandatory: int = 0
    """Parts of the branch that must be there and do not repeat: they separate rounds."""
    repeats: bool = False
    ambiguous: bool = False
    """Some branch is a repetition and nothing else."""

    def end_branch(self) -> None:
        self.ambiguous |= self.repeats and self.mandatory == 0
        self.mandatory, self.repeats = 0, False


class _Scan:
    """One pass over a pattern that Python has already accepted."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._groups = [_Group()]
        self._last_ambiguous = False

    def fault(self) -> str | None:
        while self._at < len(self._pattern):
            fault = self._step()
            if fault:
                return fault
        return None

    def _step(self) -> str | None:
        match self._pattern[self._at]:
            case "\\":
                return self._escape()
            case "[":
                self._at = _end_of_class(self._pattern, self._at)
                self._atom()
            case "(":
                return self._open()
            case ")":
                self._close()
            case "*" | "+" | "?" | "{":
                return self._repetition()
            case "|":
                self._groups[-1].end_branch()
                self._at += 1
            case "^" | "$":
                self._at += 1
            case _:
                self._at += 1
                self._atom()
        return None

    def _atom(self) -> None:
        self._groups[-1].mandatory += 1
        self._last_ambiguous = False

    def _close(self) -> None:
        group = self._groups.pop()
        group.end_branch()
        self._at += 1
        self._atom()
        self._last_ambiguous = group.ambiguous
        if group.ambiguous:
            self._groups[-1].mandatory -= 1
            self._groups[-1].repeats = True

    def _escape(self) -> str | None:
        letter = self._pattern[self._at + 1]
        if letter not in _ESCAPES:
            return f"uses \\{letter}, which RE2 or Python does not have"
        self._at += 2
        self._atom()
        return None

    def _open(self) -> str | None:
        opener = _GROUP_OPENERS.match(self._pattern, self._at)
        if opener is None:
            shown = self._pattern[self._at : self._at + 4]
            return f"uses {shown}, which RE2 does not have (lookaround, condition, backreference)"
        self._at = opener.end()
        if not opener[0].endswith(")"):
            self._groups.append(_Group())
        return None

    def _repetition(self) -> str | None:
        found = _REPETITION.match(self._pattern, self._at)
        if found is None or found[0] == "{}":  # a brace that stands for itself
            self._at += 1
            self._atom()
            return None
        if found[2] and not found[1]:
            return f"uses {found[0]}, which RE2 takes literally; write {{0,{found[3]}}}"
        self._at = found.end()
        if self._pattern[self._at : self._at + 1] == "+":
            return "uses a possessive quantifier, which RE2 does not have"
        lazy = self._pattern[self._at : self._at + 1] == "?"
        self._at += lazy
        counts = [int(count) for count in (found[1], found[3]) if count]
        if any(count > _RE2_MAX_REPEAT for count in counts):
            return f"repeats more than {_RE2_MAX_REPEAT} times, which RE2 refuses"
        unbounded = found[0] in "*+" or (found[2] == "," and not found[3])
        if self._last_ambiguous and (unbounded or any(count > 1 for count in counts)):
            return "repeats a repetition, for which Python can take exponential time"
        if unbounded or found[0][0] in "*?" or found[1] == "0":
            self._groups[-1].mandatory -= not self._last_ambiguous
        self._groups[-1].repeats |= unbounded
        return None


def _end_of_class(pattern: str, start: int) -> int:
    at = start + 1
    if pattern[at] == "^":
        at += 1
    if pattern[at] == "]":  # the first one stands for itself
        at += 1
    while pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at + 1
