"""
Heads of the ledger's chain in a YAML file that is meant for git.

Shapes  A list; entries are appended at the end and nothing that is there is written again.
Errors  PoliciesInvalid with file and line for an entry that cannot be read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tallygate.adapters.files.strict_yaml import Document, read_yaml
from tallygate.domain.ledger.findings import Anchor
from tallygate.errors import LedgerUnavailable, PoliciesInvalid

_PREFACE: Final = """\
# Where the ledger's hash chain stood, and when; `tallygate ledger anchor` appends, nobody edits.
# Commit this file: whoever can rewrite the database cannot rewrite what others have pulled.
"""
_KINDS: Final = {"at": str, "seals": int, "events": int, "last_seq": int, "head": str}


class AnchorFile:
    """The `Anchors` port on one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def place(self) -> str:
        return str(self._path)

    def read(self) -> Sequence[Anchor]:
        if not self._path.exists():
            return ()
        document = read_yaml(self._path)
        entries = document.value if document.value is not None else []
        if not isinstance(entries, list):
            raise _invalid(document, (), "the file is not a list of anchors.")
        return tuple(_anchor(document, number, entry) for number, entry in enumerate(entries))

    def append(self, anchor: Anchor) -> None:
        try:
            before = self._path.read_text(encoding="utf-8") if self._path.exists() else _PREFACE
            if not before.endswith("\n"):
                before += "\n"
            partial = self._path.with_name(f"{self._path.name}.partial")
            with partial.open("w", encoding="utf-8") as file:
                file.write(before + _text_of(anchor))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
        except OSError as error:
            raise LedgerUnavailable(
                f"the anchor file {self.place} cannot be written: {error.strerror}."
            ) from error


def _text_of(anchor: Anchor) -> str:
    return (
        f'- at: "{anchor.at}"\n'
        f"  seals: {anchor.seals}\n"
        f"  events: {anchor.events}\n"
        f"  last_seq: {anchor.last_seq}\n"
        f'  head: "{anchor.head}"\n'
    )


def _anchor(document: Document, number: int, entry: Any) -> Anchor:  # noqa: ANN401 - as read
    if not isinstance(entry, dict) or entry.keys() != _KINDS.keys():
        raise _invalid(document, (number,), f"an anchor has exactly {', '.join(_KINDS)}.")
    for name, kind in _KINDS.items():
        if type(entry[name]) is not kind:
            wanted = "text in quotes" if kind is str else "a whole number"
            raise _invalid(document, (number, name), f"{name} is {wanted}.")
    return Anchor(**entry)


def _invalid(document: Document, path: Sequence[str | int], message: str) -> PoliciesInvalid:
    remedy = "Take the file from git as it was; it is only ever appended to."
    return PoliciesInvalid([document.problem(path, "anchor_invalid", message, remedy)])
