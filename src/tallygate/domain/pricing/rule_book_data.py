"""
From the document of a rule book to a `RuleBook`, or every reason why it cannot be trusted.

Shapes  The document has the shape of policies/schemas/rule_book.json; here is what a schema
        cannot say: exact prices, one row for each condition, names that mean one model, and
        golden examples that hold.
Errors  RuleBookInvalid with one Problem per fault. `ProblemAt` adds file and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import combinations, pairwise, product
from typing import Any, Final

from tallygate.domain.kernel.digests import digest_of_value
from tallygate.domain.kernel.instants import ns_from_text
from tallygate.domain.kernel.money import exact_arithmetic, text_from_amount
from tallygate.domain.pricing.rating import rate, total_of
from tallygate.domain.pricing.rule_book import (
    AXES,
    CONTEXT,
    LOCAL_AXES,
    UPLIFTED_METERS,
    Axis,
    Conditions,
    ContextStep,
    ModelRates,
    Row,
    RuleBook,
)
from tallygate.domain.usage.meters import TOKENS, Meter, NormalisedUsage, TokenCounts
from tallygate.errors import PricingError, Problem, RuleBookInvalid

Path = tuple[str | int, ...]
ProblemAt = Callable[[Sequence[str | int], str, str, str], Problem]
"""(path inside the document, code, message, remedy) to a Problem that says where."""

_DECIMAL: Final = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]{1,6})?")
_PER: Final = {1: 0, 10: 1, 100: 2, 1_000: 3, 10_000: 4, 100_000: 5, 1_000_000: 6}
_NOT_PRICES: Final = frozenset({"when", "not_sold"})
_INPUT_SIDE: Final = (
    *(Meter.INPUT, Meter.CACHE_READ, Meter.CACHE_READ_AUDIO, Meter.CACHE_READ_IMAGE),
    *(Meter.CACHE_WRITE, Meter.CACHE_WRITE_5M),
    *(Meter.CACHE_WRITE_1H, Meter.AUDIO_INPUT, Meter.IMAGE_INPUT),
)
_OUTPUT_SIDE: Final = (Meter.OUTPUT, Meter.REASONING, Meter.AUDIO_OUTPUT, Meter.IMAGE_OUTPUT)


def problem_without_file(
    path: Sequence[str | int], code: str, message: str, remedy: str
) -> Problem:
    """Build a Problem for a document that came from no file."""
    where = ".".join(str(step) for step in path)
    return Problem(code=code, message=message, remedy=remedy, where=where)


def rule_book_from_data(
    data: Mapping[str, Any], problem_at: ProblemAt = problem_without_file
) -> RuleBook:
    """Build a book from its document; RuleBookInvalid carries all that is wrong with it."""
    reader = _Reader(data, problem_at)
    book = reader.book()
    if not reader.problems:
        reader.check_examples(book)
    if reader.problems:
        raise RuleBookInvalid(reader.problems)
    return book


class _Reader:
    def __init__(self, data: Mapping[str, Any], problem_at: ProblemAt) -> None:
        self.data = data
        self.problems: list[Problem] = []
        self._problem_at = problem_at
        self._per = dict.fromkeys(Meter, _PER[data["per"]])
        for name, per in data.get("per_meter", {}).items():
            self._per[Meter(name)] = _PER[per]

    def refuse(self, path: Path, code: str, message: str, remedy: str = "") -> None:
        self.problems.append(self._problem_at(path, code, message, remedy))

    def book(self) -> RuleBook:
        data = self.data
        from_ns = self._instant(("effective", "from"), data["effective"]["from"])
        to_ns = None
        if data["effective"]["to"] is not None:
            to_ns = self._instant(("effective", "to"), data["effective"]["to"])
            if from_ns >= to_ns:
                self.refuse(("effective", "to"), "rule_book_period", "ends before it begins.")
        axes = {
            name: Axis(name=name, meanings=dict(axis["map"]), absent=axis["absent"])
            for name, axis in data["axes"].items()
        }
        models = tuple(
            self._model(("models", i), entry, axes) for i, entry in enumerate(data["models"])
        )
        self._check_names(models)
        return RuleBook(
            billing_rule_version=data["rulebook"],
            provider=data["provider"],
            currency=data["currency"],
            effective_from_ns=from_ns,
            effective_to_ns=to_ns,
            supersedes=data.get("supersedes"),
            digest=digest_of_value(data),
            axes=axes,
            inherit=self._inherit(),
            models=models,
        )

    def _inherit(self) -> dict[Meter, Meter]:
        found = {Meter(m): Meter(f) for m, f in self.data.get("inherit", {}).items()}
        for meter, other in found.items():
            if other in found:
                self.refuse(
                    ("inherit", meter.value),
                    "rule_book_inherit",
                    f"{meter.value} takes the price of {other.value}, which takes another's.",
                    "Name the meter that has the price.",
                )
            if (meter in TOKENS) != (other in TOKENS):
                self.refuse(
                    ("inherit", meter.value),
                    "rule_book_inherit",
                    f"{meter.value} does not count what {other.value} counts.",
                    "A token may take the price of another token only.",
                )
        return found

    def _model(self, path: Path, entry: Mapping[str, Any], axes: Mapping[str, Axis]) -> ModelRates:
        context = self._context((*path, "context", "steps"), entry.get("context"))
        uplifts = self._uplifts((*path, "uplifts"), entry.get("uplifts", {}), axes)
        named = {axis for row in entry["prices"] for axis in row["when"]}
        concern = {name: a for name, a in axes.items() if name not in LOCAL_AXES - named}
        values = {name: axis.values for name, axis in concern.items() if name not in uplifts}
        values = {name: found for name, found in values.items() if len(found) > 1}
        if context:
            values[CONTEXT] = tuple(step.name for step in context)
        rows = []
        whole = True
        for i, row in enumerate(entry["prices"]):
            read = self._row((*path, "prices", i), row, values)
            if read is None:
                whole = False
            else:
                rows.append(read)
        if whole:
            self._check_rows((*path, "prices"), rows, values)
        model = ModelRates(
            names=tuple(entry["match"]["names"]),
            patterns=self._patterns((*path, "match", "patterns"), entry["match"]),
            axes=tuple(concern),
            context=context,
            rows=tuple(rows),
            uplifts=uplifts,
        )
        self._check_uplifted((*path, "uplifts"), model)
        return model

    def _context(self, path: Path, entry: Mapping[str, Any] | None) -> tuple[ContextStep, ...]:
        if entry is None:
            return ()
        steps = entry["steps"]
        ends = [step.get("up_to") for step in steps[:-1]]
        begins = [step.get("above") for step in steps[1:]]
        names = [step["name"] for step in steps]
        sound = (
            ends == begins
            and None not in ends
            and all(a < b for a, b in pairwise(ends))
            and "above" not in steps[0]
            and "up_to" not in steps[-1]
            and len(set(names)) == len(names)
        )
        if not sound:
            self.refuse(
                path,
                "rule_book_context",
                "the steps leave a gap or overlap.",
                "Begin without `above`, end without `up_to`, and begin each step above what the "
                "one before is `up_to`; each with a name of its own.",
            )
            return ()
        return tuple(
            ContextStep(step["name"], step.get("above", -1), step.get("up_to")) for step in steps
        )

    def _uplifts(
        self, path: Path, entry: Mapping[str, Any], axes: Mapping[str, Axis]
    ) -> dict[str, dict[str, Decimal]]:
        uplifts: dict[str, dict[str, Decimal]] = {}
        for name, factors in entry.items():
            if name not in axes:
                self._unknown_axis((*path, name), name, axes)
                continue
            uplifts[name] = {}
            for value, text in factors.items():
                if value not in axes[name].values:
                    self._unknown_value((*path, name, value), value, axes[name].values)
                factor = self._decimal((*path, name, value), text)
                if factor is not None:
                    uplifts[name][value] = factor
        return uplifts

    def _row(
        self, path: Path, entry: Mapping[str, Any], values: Mapping[str, tuple[str, ...]]
    ) -> Row | None:
        before = len(self.problems)
        when: dict[str, tuple[str, ...]] = {}
        for axis, wanted in entry["when"].items():
            when[axis] = tuple(wanted) if isinstance(wanted, list) else (wanted,)
            if axis not in values:
                self._unknown_axis((*path, "when", axis), axis, values)
                continue
            for value in when[axis]:
                if value not in values[axis]:
                    self._unknown_value((*path, "when", axis), value, values[axis])
        if missing := [axis for axis in values if axis not in when]:
            self.refuse(
                (*path, "when"),
                "rule_book_axis",
                f"says nothing about {', '.join(missing)}.",
                "A row names every axis on which prices of the book differ.",
            )
        prices = {}
        for name, text in entry.items():
            if name not in _NOT_PRICES:
                price = self._decimal((*path, name), text)
                if price is not None:
                    with exact_arithmetic():
                        prices[Meter(name)] = price.scaleb(-self._per[Meter(name)])
        sold = "not_sold" not in entry
        if sold != bool(prices) and len(self.problems) == before:
            self.refuse(path, "rule_book_row", "has both or neither of prices and not_sold.")
        return Row(when, prices, sold) if len(self.problems) == before else None

    def _check_rows(
        self, path: Path, rows: Sequence[Row], values: Mapping[str, tuple[str, ...]]
    ) -> None:
        overlapping: dict[tuple[int, ...], str] = {}
        for combination in product(*values.values()):
            case = dict(zip(values, combination, strict=True))
            said = ", ".join(f"{axis} {value}" for axis, value in case.items()) or "any call"
            found = tuple(i for i, row in enumerate(rows) if row.matches(case))
            if not found:
                self.refuse(
                    path,
                    "rule_book_gap",
                    f"no row covers {said}.",
                    "Add its prices, or a row with `not_sold: true`.",
                )
            elif len(found) > 1:
                overlapping.setdefault(found, said)
        for found, said in overlapping.items():
            several = " and ".join(str(i) for i in found)
            self.refuse(
                (*path, found[-1]),
                "rule_book_overlap",
                f"rows {several} overlap: both cover {said}.",
                "Leave one row for each combination.",
            )

    def _check_uplifted(self, path: Path, model: ModelRates) -> None:
        with exact_arithmetic():
            for factors in product(*(found.items() for found in model.uplifts.values())):
                factor = Decimal(1)
                for _, each in factors:
                    factor *= each
                for row in model.rows:
                    for meter in row.prices.keys() & UPLIFTED_METERS:
                        price = (row.prices[meter] * factor).scaleb(self._per[meter])
                        if _DECIMAL.fullmatch(text_from_amount(price)) is None:
                            self.refuse(
                                path,
                                "rule_book_uplift",
                                f"{meter.value} of {model.names[0]} times {factor} has more than "
                                "6 decimals.",
                                "Publish the resulting prices as rows instead.",
                            )
                            return

    def _patterns(self, path: Path, match: Mapping[str, Any]) -> tuple[re.Pattern[str], ...]:
        patterns = []
        for i, text in enumerate(match.get("patterns", ())):
            if not (text.startswith("^") and text.endswith("$")):
                self.refuse((*path, i), "rule_book_pattern", f"{text} is not of the form ^…$.")
                continue
            try:
                patterns.append(re.compile(text))
            except re.error as error:
                self.refuse((*path, i), "rule_book_pattern", f"{text} is not a pattern: {error}.")
        return tuple(patterns)

    def _check_names(self, models: Sequence[ModelRates]) -> None:
        for (i, one), (j, other) in combinations(enumerate(models), 2):
            shared = [name for name in other.names if one.matches(name)]
            shared += [name for name in one.names if other.matches(name) and name not in shared]
            for name in shared:
                self.refuse(
                    ("models", j, "match"),
                    "rule_book_model_twice",
                    f"{name} is matched by models.{i} and by models.{j}.",
                    "One entry must mean it.",
                )

    def check_examples(self, book: RuleBook) -> None:
        """Rate each golden example as a call would be."""
        for i, example in enumerate(self.data["examples"]):
            path: Path = ("examples", i)
            quantities = {Meter(name): count for name, count in example["usage"].items()}
            usage = NormalisedUsage(
                "example",
                TokenCounts(
                    input_tokens=sum(quantities.get(meter, 0) for meter in _INPUT_SIDE),
                    output_tokens=sum(quantities.get(meter, 0) for meter in _OUTPUT_SIDE),
                ),
                quantities,
            )
            said = {axis: example[axis] for axis in AXES if axis in example}
            at_ns = self._instant((*path, "at"), example["at"])
            expected = self._decimal((*path, "cost"), example["cost"], places=12)
            try:
                cost = total_of(rate(usage, book, example["model"], Conditions(**said), at_ns))
            except PricingError as error:
                self.refuse(path, "rule_book_example", f"has no price: {error}.")
                continue
            if expected is not None and cost != expected:
                self.refuse(
                    path,
                    "rule_book_example",
                    f"costs {text_from_amount(cost)} by the prices above, the example says "
                    f"{text_from_amount(expected)}.",
                    "Work it out by hand; either the prices or the example are wrong.",
                )

    def _instant(self, path: Path, text: str) -> int:
        try:
            return ns_from_text(text)
        except ValueError:
            self.refuse(
                path,
                "rule_book_instant",
                f"{text} is not an instant.",
                'Write it as "2026-11-01T00:00:00Z", quoted.',
            )
            return 0

    def _decimal(self, path: Path, value: object, places: int = 6) -> Decimal | None:
        form = re.compile(rf"(0|[1-9][0-9]*)(\.[0-9]{{1,{places}}})?")
        if isinstance(value, str) and form.fullmatch(value) and len(value) <= 30:
            return Decimal(value)
        self.refuse(
            path,
            "rule_book_number",
            f"{value!r} is not a quoted decimal with at most {places} decimals.",
            'Write it as text, such as "2.50"; a number would be read as a float.',
        )
        return None

    def _unknown_axis(self, path: Path, axis: str, known: Mapping[str, object]) -> None:
        self.refuse(
            path,
            "rule_book_axis",
            f"{axis} is not an axis on which rows of this model differ.",
            f"Expected one of: {', '.join(known) or 'none'}.",
        )

    def _unknown_value(self, path: Path, value: str, known: Sequence[str]) -> None:
        self.refuse(
            path,
            "rule_book_axis",
            f"{value} is not a value of this axis.",
            f"Expected one of: {', '.join(known)}.",
        )
