"""
A review of the policy documents: looking places up, and saying what is wrong at one.

Shapes  A document is a value and a way to point at a place in it.
Errors  Collected, never raised.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, Protocol

from tallygate.domain.kernel.instants import ns_from_text
from tallygate.errors import Problem

MODES: Final = ("report_only", "enforce")
_SHOWN: Final = 12
Path = tuple[str | int, ...]


class Source(Protocol):
    """A document that knows where its values stand."""

    @property
    def value(self) -> Any: ...  # noqa: ANN401 - JSON is Any

    def problem(
        self,
        path: Sequence[str | int],
        code: str,
        message: str,
        remedy: str = "",
        severity: str = "error",
    ) -> Problem: ...


@dataclass(slots=True)
class Review:
    """The documents under review, the instant it is done as of, and what was found so far."""

    documents: Mapping[str, Source]
    now: str
    problems: list[Problem] = field(default_factory=list)

    def at(self, document: str, *path: str | int) -> Any:  # noqa: ANN401 - JSON
        """Return the value at a place, None where there is nothing."""
        value = self.documents[document].value if document in self.documents else None
        for step in path:
            if isinstance(value, dict) and step in value:
                value = value[step]
            else:
                return None
        return value

    def entries(self, document: str, *path: str | int) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Walk a mapping of mappings."""
        for name, entry in mapping_of(self.at(document, *path)).items():
            yield name, mapping_of(entry)

    def say(
        self,
        document: str,
        path: Path,
        code: str,
        message: str,
        remedy: str = "",
        severity: str = "error",
    ) -> None:
        self.problems.append(
            self.documents[document].problem(path, code, message, remedy, severity)
        )

    def known(
        self, document: str, path: Path, value: object, names: Collection[str], what: str
    ) -> bool:
        """Say so where a name is not one of those that exist."""
        if isinstance(value, str) and value in names:
            return True
        self.say(
            document,
            path,
            "unknown_reference",
            f"there is no {what} {value}.",
            offer(value, names),
        )
        return False

    def registered(self, document: str, path: Path, value: object, part: str, what: str) -> None:
        """Say so where the registry does not list a value, or has retired it."""
        names = mapping_of(self.at("registry", part))
        if not self.known(document, path, value, names, what):
            return
        retired_at = mapping_of(names[str(value)]).get("retired_at")
        if isinstance(retired_at, str) and retired_at <= self.now:
            self.say(
                document,
                path,
                "retired_reference",
                f"the {what} {value} was retired at {retired_at}.",
                "Name one that is in use.",
                "warning",
            )

    def mode(self, document: str, path: Path, value: object, modes: Sequence[str] = MODES) -> None:
        if value not in modes:
            self.say(document, path, "unknown_mode", f"{value} is not a mode.", offer(value, modes))

    def instant(self, document: str, path: Path, value: object) -> int | None:
        """Read an instant; say so where it is none."""
        try:
            return ns_from_text(str(value))
        except ValueError:
            self.say(
                document,
                path,
                "bad_instant",
                f"{value} is not an instant.",
                'Expected a quoted UTC instant such as "2026-11-21T10:00:00Z".',
            )
            return None

    def ascending(self, document: str, path: Path, steps: object, *, strictly: bool) -> None:
        """Check that dated entries stand in the order of their `from`."""
        before: int | None = None
        for index, step in enumerate(list_of(steps)):
            where = (*path, index, "from")
            at_ns = self.instant(document, where, mapping_of(step).get("from"))
            if at_ns is None:
                continue
            if before is not None and (at_ns < before or (strictly and at_ns == before)):
                self.say(
                    document,
                    where,
                    "dates_out_of_order",
                    "this date is not after the one above it.",
                    "Put the entries in the order of their dates.",
                )
            before = at_ns

    def names_in(
        self, document: str, path: Path, entry: Mapping[str, Any], parts: Sequence[str]
    ) -> None:
        for part in parts:
            for index, name in enumerate(list_of(entry.get(part))):
                self.registered(document, (*path, part, index), name, part, part.removesuffix("s"))


def offer(value: object, names: Collection[str]) -> str:
    """Name the values that exist, the nearest one first."""
    listed = sorted(str(name) for name in names)
    close = get_close_matches(str(value), listed, n=1) or get_close_matches(
        str(value).casefold().replace("-", "_"), listed, n=1
    )
    end = ", ..." if len(listed) > _SHOWN else "."
    if not listed:
        return "None exists yet."
    expected = f"Expected one of: {', '.join(listed[:_SHOWN])}{end}"
    return f"Did you mean {close[0]}? {expected}" if close else expected


def mapping_of(value: object) -> Mapping[str, Any]:
    """Take anything but a mapping for an empty one; the schema has spoken of it already."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> Sequence[Any]:
    """Take anything but a list for an empty one."""
    return value if isinstance(value, list) else ()
