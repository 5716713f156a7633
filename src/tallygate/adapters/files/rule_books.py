"""
The price lists under policies/rates: read strictly, checked together, chosen by provider and time.

Shapes  One book per file; its name is the book's `billing_rule_version`. `rates/published.yaml`
        pins the digest of each published book, so that an edit of a price is loud.
Errors  RuleBookInvalid with file and line for every fault of every book.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from tallygate.adapters.files.schemas import read_schema, schema_problems
from tallygate.adapters.files.strict_yaml import Document, read_yaml
from tallygate.domain.pricing.rule_book import RuleBook, book_in_force, closed_by_successors
from tallygate.domain.pricing.rule_book_data import rule_book_from_data
from tallygate.errors import PoliciesInvalid, Problem, RuleBookInvalid

_SCHEMA: Final = "schemas/rule_book.json"
_PINS: Final = "rates/published.yaml"


@dataclass(frozen=True, slots=True)
class _Reading:
    books: tuple[RuleBook, ...]
    problems: tuple[Problem, ...]


class RuleBookFolder:
    """The rule books of one policies folder, all of them read when it is made."""

    def __init__(self, folder: Path) -> None:
        reading = _read(folder)
        if errors := [p for p in reading.problems if p.severity == "error"]:
            raise RuleBookInvalid(errors)
        self._books = reading.books
        self._of_provider: dict[str, list[RuleBook]] = {}
        for book in self._books:
            self._of_provider.setdefault(book.provider, []).append(book)

    @property
    def books(self) -> tuple[RuleBook, ...]:
        """All books, by version."""
        return self._books

    def in_force(self, provider: str, at_ns: int) -> RuleBook:
        """Choose the one book for the provider at that instant; NoRuleBook when there is none."""
        return book_in_force(self._of_provider.get(provider, ()), provider, at_ns)


def check_rule_books(folder: Path) -> tuple[Problem, ...]:
    """Return all that is wrong with the books of a policies folder, warnings included."""
    return _read(folder).problems


def _read(folder: Path) -> _Reading:
    try:
        schema = read_schema(folder / _SCHEMA)
    except PoliciesInvalid as error:
        return _Reading((), error.problems)
    problems: list[Problem] = []
    found: list[tuple[RuleBook, Document]] = []
    for path in sorted((folder / "rates").rglob("*.yaml")):
        if path == folder / _PINS:
            continue
        try:
            document = read_yaml(path, shown_as=_shown(path, folder))
            found.append((_book(document, schema), document))
        except PoliciesInvalid as error:
            problems.extend(error.problems)
    problems.extend(_orphans(found))
    closed = closed_by_successors(book for book, _ in found)
    found = [(book, document) for book, (_, document) in zip(closed, found, strict=True)]
    problems.extend(_overlaps(found))
    problems.extend(_edited(folder, found))
    books = sorted(closed, key=lambda book: book.billing_rule_version)
    return _Reading(tuple(books), tuple(problems))


def _shown(path: Path, folder: Path) -> str:
    return f"{folder.name}/{path.relative_to(folder).as_posix()}"


def _book(document: Document, schema: Mapping[str, Any]) -> RuleBook:
    if problems := schema_problems(document, schema):
        raise RuleBookInvalid(problems)
    try:
        book = rule_book_from_data(document.value, document.problem)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Only when somebody loosened the schema, which the domain relies on.
        message = f"does not have the shape of a rule book ({type(error).__name__})."
        raise RuleBookInvalid([document.problem((), "rule_book_shape", message)]) from error
    stem = Path(document.file).stem
    if stem != book.billing_rule_version:
        message = f"{book.billing_rule_version} stands in a file named {stem}.yaml."
        remedy = f"Name the file {book.billing_rule_version}.yaml, or the book {stem}."
        raise RuleBookInvalid([document.problem(("rulebook",), "rule_book_name", message, remedy)])
    return book


def _orphans(found: Sequence[tuple[RuleBook, Document]]) -> list[Problem]:
    known = {(book.provider, book.billing_rule_version) for book, _ in found}
    return [
        document.problem(
            ("supersedes",),
            "rule_book_supersedes",
            f"{book.supersedes} is no book of {book.provider} that can be read.",
            "Name the version that ends where this one begins.",
        )
        for book, document in found
        if book.supersedes is not None and (book.provider, book.supersedes) not in known
    ]


def _overlaps(found: Sequence[tuple[RuleBook, Document]]) -> list[Problem]:
    problems = []
    for (one, first), (other, second) in combinations(found, 2):
        if one.billing_rule_version == other.billing_rule_version:
            message = f"{other.billing_rule_version} is also in {first.file}."
            problems.append(second.problem(("rulebook",), "rule_book_twice", message))
        elif one.overlaps(other):
            line, _ = first.place(("effective",))
            message = (
                f"{other.billing_rule_version} and {one.billing_rule_version} "
                f"({first.file}:{line}) are both in force for {one.provider} at the same time."
            )
            remedy = (
                f"Does it replace the other one? Then add `supersedes: {one.billing_rule_version}`."
            )
            problems.append(second.problem(("effective",), "rule_books_overlap", message, remedy))
    return problems


def _edited(folder: Path, found: Sequence[tuple[RuleBook, Document]]) -> list[Problem]:
    """Compare published books with the digest under which they were published."""
    path = folder / _PINS
    if not path.exists():
        return []
    try:
        pins = read_yaml(path, shown_as=_shown(path, folder))
    except PoliciesInvalid as error:
        return list(error.problems)
    if not isinstance(pins.value, dict):
        return [pins.problem((), "rule_book_pins", "expected a mapping of version to digest.")]
    problems = []
    books = {book.billing_rule_version: (book, document) for book, document in found}
    for version, digest in pins.value.items():
        if version not in books:
            message = f"{version} was published, and no book that can be read has this name."
            remedy = "Restore its file: it still prices the calls of its period."
            problems.append(pins.problem((version,), "rule_book_gone", message, remedy))
        elif books[version][0].digest != digest:
            book, document = books[version]
            message = (
                f"{version} was published as {digest} and is now {book.digest}: "
                f"{document.file} was edited."
            )
            remedy = (
                "Prices are appended, never edited: restore it, and write the change as a new "
                "version. (Not in use anywhere yet? Then put the new digest here.)"
            )
            problems.append(pins.problem((version,), "rule_book_edited", message, remedy))
    for version, (book, document) in books.items():
        if version not in pins.value:
            message = f"{version} is not pinned, so an edit of it would pass unseen."
            remedy = f'Add `{version}: "{book.digest}"` to {_shown(path, folder)}.'
            problems.append(
                document.problem(
                    ("rulebook",), "rule_book_unpinned", message, remedy, severity="warning"
                )
            )
    return problems
