"""
The price lists compared with those of a base revision: appended, never edited.

Exact   A list is compared by its values, so a comment may change. One that is not in force yet may
        be edited: it has priced nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tallygate.adapters.files.strict_yaml import Document, YamlPath, read_yaml
from tallygate.errors import PoliciesInvalid, Problem

_PINS: Final = "published.yaml"
_REMEDY: Final = "Restore it as it was, and write the change as a new price list with `supersedes`."


def edited_rates(folder: Path, base: Path, now: str) -> list[Problem]:
    """Compare the lists of the folder with those of `base`, a copy of the folder as it was."""
    here = {path.name: path for path in (folder / "rates").rglob("*.yaml")}
    planned: set[str] = set()
    problems: list[Problem] = []
    for path in sorted((base / "rates").rglob("*.yaml")):
        before = _read(path)
        if path.name == _PINS or before is None:
            continue
        if _begins(before) > now:
            planned.add(path.stem)
        elif path.name not in here:
            problems.append(
                Problem(
                    code="rates_edited",
                    message="a price list that was in force is gone.",
                    remedy=_REMEDY,
                    file=str(folder / path.relative_to(base)),
                )
            )
        else:
            problems.extend(_edits(before, here[path.name]))
    pins = folder / "rates" / _PINS
    return [*problems, *_repinned(_read(base / "rates" / _PINS), pins, planned)]


def _edits(before: Document, path: Path) -> Iterator[Problem]:
    after = _read(path)
    if after is None or after.value == before.value:
        return  # one that cannot be read is told of by the check of the lists
    place = _first_difference(before.value, after.value)
    yield after.problem(
        place,
        "rates_edited",
        "this price list is in force and was edited; what it has priced could not be explained"
        " any more.",
        _REMEDY,
    )


def _repinned(before: Document | None, path: Path, planned: set[str]) -> Iterator[Problem]:
    after = _read(path)
    if before is None or after is None or not isinstance(before.value, dict):
        return
    pins: Mapping[str, Any] = after.value if isinstance(after.value, dict) else {}
    for version, digest in before.value.items():
        if version not in planned and pins.get(version) != digest:
            yield after.problem(
                (version,),
                "rates_edited",
                f"the pin of {version} was {'changed' if version in pins else 'taken out'}.",
                "Put it back: a pin is what shows that a published price list was edited.",
            )


def _first_difference(before: object, after: object, path: YamlPath = ()) -> YamlPath:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*after, *before]:
            if before.get(name) != after.get(name):
                return _first_difference(before.get(name), after.get(name), (*path, name))
    if isinstance(before, list) and isinstance(after, list):
        for index, (one, other) in enumerate(zip(before, after, strict=False)):
            if one != other:
                return _first_difference(one, other, (*path, index))
    return path


def _begins(document: Document) -> str:
    value = document.value
    effective = value.get("effective") if isinstance(value, dict) else None
    begins = effective.get("from") if isinstance(effective, dict) else None
    return begins if isinstance(begins, str) else ""


def _read(path: Path) -> Document | None:
    try:
        return read_yaml(path)
    except PoliciesInvalid:
        return None
