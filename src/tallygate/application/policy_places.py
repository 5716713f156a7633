"""
Places in the policy data, to say of a decision which of them it came from.

Shapes  A place is a document and a path in it, shown with file, line and column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tallygate.application.policy_review import Path

COLLECTIONS: Final = {
    "owner_team": "teams",
    "service": "services",
    "environment": "environments",
    "feature": "features",
}
"""Where the registry lists a field's values; any other field's are under `values`."""


class Placed(Protocol):
    """A document that knows where its values stand."""

    @property
    def file(self) -> str: ...

    @property
    def value(self) -> Any: ...  # noqa: ANN401 - JSON is Any

    def place(self, path: Sequence[str | int]) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True)
class DataEntry:
    """One place that had a say."""

    file: str
    line: int
    column: int
    where: str
    """The path in the document, for example `services.search.modes.prod`."""
    value: str | None
    """What stands there, where it is a single value."""
    says: str = ""
    """What it means here, where that is not plain."""


@dataclass(frozen=True, slots=True)
class Places:
    """The documents of one policies folder, by name."""

    documents: Mapping[str, Placed]

    def at(self, document: str, *path: str | int) -> Any:  # noqa: ANN401 - JSON is Any
        """Return the value at a place, None where there is nothing."""
        value: Any = self.documents[document].value if document in self.documents else None
        for step in path:
            in_mapping = isinstance(value, dict) and step in value
            in_list = isinstance(value, list) and isinstance(step, int) and step < len(value)
            if not in_mapping and not in_list:
                return None
            value = value[step]
        return value

    def mapping(self, document: str, *path: str | int) -> Mapping[str, Any]:
        """Return the mapping at a place, an empty one where there is none."""
        value = self.at(document, *path)
        return value if isinstance(value, dict) else {}

    def items(self, document: str, *path: str | int) -> Sequence[Any]:
        """Return the list at a place, an empty one where there is none."""
        value = self.at(document, *path)
        return value if isinstance(value, list) else ()

    def entry(self, document: str, path: Path, says: str = "") -> DataEntry:
        """Point at a place, or at what encloses it where there is nothing."""
        source = self.documents[document]
        line, column = source.place(path)
        value = self.at(document, *path)
        shown = None if value is None or isinstance(value, dict | list) else _text(value)
        where = ".".join(str(step) for step in path) or document
        return DataEntry(source.file, line, column, where, shown, says)

    def listed(self, document: str, path: Path, value: object, says: str = "") -> list[DataEntry]:
        """Point at each item of a list that is this value."""
        return [
            self.entry(document, (*path, index), says)
            for index, item in enumerate(self.items(document, *path))
            if item == value
        ]


def values_of(field: str) -> Path:
    """Return where the registry lists a field's values."""
    collection = COLLECTIONS.get(field)
    return ("values", field) if collection is None else (collection,)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
