"""
What went wrong while YAML was read, in words that lead to the place and out of it.

Exact   A key that was pasted where its hash belongs does not get into a message.
"""

from __future__ import annotations

import re
from typing import Final

import yaml

from tallygate.errors import Problem

_SECRET: Final = re.compile(r"\bsk-[A-Za-z0-9_-]{6,}")
_NOT_YAML: Final = re.compile(
    r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FRACTION: Final = re.compile(r"[-+]?[0-9_]*\.[0-9_]*")
_REMEDIES: Final = {
    "cannot start any token": "Quote a value that begins with @, %, ` or another sign.",
    "mapping values are not allowed": "Quote a value that has a colon and a space in it.",
    "unknown escape character": "A backslash is an escape in double quotes: write it twice, or use"
    " single quotes.",
    "another document": "A file holds one document; remove the `---`.",
    "expected <document start>": "A file holds one document; remove the `---`.",
    "did not find expected key": "The fault may lie above: look for indentation, an open quote or"
    " a bracket.",
}


def without_secrets(text: str) -> str:
    """Cut out what looks like an API key."""
    return _SECRET.sub("sk-...", text)


def syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """Say where a reader gave up, what it was in the middle of, and what to look for."""
    mark = error.problem_mark
    message = error.problem or "is not YAML"
    remedy = next((said for part, said in _REMEDIES.items() if part in message), "")
    line = mark.line + 1 if mark else None
    column = mark.column + 1 if mark else None
    if mark and "\t" in _indentation(text, mark.line):
        message, remedy = "a tab stands in the indentation", "YAML is indented with spaces only."
    elif (
        (error.context or "").startswith("while parsing")
        and error.context_mark
        and error.context_mark.line + 1 != line
    ):
        message += f" {error.context} that begins in line {error.context_mark.line + 1}"
    return Problem(
        code="yaml_syntax",
        message=f"{without_secrets(message)}.",
        remedy=remedy or "Quote the value, or look for a fault just above.",
        file=file,
        line=line,
        column=column,
    )


def character_problem(text: str, file: str) -> Problem:
    """Point at the first character that YAML does not allow."""
    found = _NOT_YAML.search(text)
    at = found.start() if found else 0
    named = f"the character U+{ord(text[at]):04X}" if found else "a character"
    return Problem(
        code="yaml_syntax",
        message=f"{named} is not allowed in YAML.",
        remedy="Remove it.",
        file=file,
        line=text.count("\n", 0, at) + 1,
        column=at - (text.rfind("\n", 0, at) + 1) + 1,
    )


def encoding_problem(content: bytes, at: int, file: str) -> Problem:
    """Point at the first byte that is not UTF-8."""
    before = content[:at]
    return Problem(
        code="file_unreadable",
        message=f"is not UTF-8 at byte {at}.",
        remedy="Save the file as UTF-8.",
        file=file,
        line=before.count(b"\n") + 1,
        column=at - (before.rfind(b"\n") + 1) + 1,
    )


def ambiguity_remedy(text: str) -> str:
    """Say how to write what plain text does not say clearly."""
    quoted = f'Quote it: "{text}".'
    if _DATE.fullmatch(text):
        return f'{quoted} An instant is written to the second: "{text}T00:00:00Z".'
    if _FRACTION.fullmatch(text):
        return f"{quoted} Numbers without quotes are whole; a share of a quarter is 25."
    return "Write out what it would merge in." if text == "<<" else quoted


def _indentation(text: str, line: int) -> str:
    lines = text.splitlines()
    shown = lines[line] if line < len(lines) else ""
    return shown[: len(shown) - len(shown.lstrip())]
