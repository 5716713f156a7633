"""
The JSON Schemas of the policy data, and what they find, said with file and line.

Errors  A schema that is itself not usable is a problem of its file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import validator_for

from tallygate.adapters.files.strict_yaml import Document
from tallygate.errors import PoliciesInvalid, Problem

_SHOWN_VALUES: Final = 12
_TYPE_NAMES: Final = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "nothing",
}
_INSTANT: Final = "^[0-9]{4}-"
_BROKEN: Final[Mapping[str, str]] = {
    "minimum": "is less than {rule}",
    "maximum": "is more than {rule}",
    "minItems": "has fewer than {rule} entries",
    "minProperties": "has fewer than {rule} entries",
    "minLength": "is shorter than {rule} characters",
    "uniqueItems": "has an entry twice",
}


def read_schema(path: Path) -> dict[str, Any]:
    """Read one JSON Schema; anything that is not one is PoliciesInvalid."""
    try:
        schema = orjson.loads(path.read_bytes())
        validator_for(schema, Draft202012Validator).check_schema(schema)
    except (OSError, ValueError, SchemaError) as error:
        reason = "cannot be read" if isinstance(error, OSError) else "is not a JSON Schema"
        raise PoliciesInvalid(
            [Problem(code="schema_invalid", message=f"{reason}.", file=str(path))]
        ) from error
    return dict(schema) if isinstance(schema, dict) else {}


def schema_problems(document: Document, schema: Mapping[str, Any]) -> list[Problem]:
    """Compare a document with its schema; every fault, in the order of the file."""
    validator = validator_for(schema, Draft202012Validator)(dict(schema))
    faults = _leaves(validator.iter_errors(document.value))
    found = [
        problem for fault in _without_echoes(faults) for problem in _problems_of(document, fault)
    ]
    return sorted(found, key=lambda problem: (problem.line or 0, problem.column or 0))


def _leaves(faults: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """Of alternatives (anyOf, oneOf) only the faults of the nearest one tell anything."""
    waiting = list(faults)
    while waiting:
        fault = waiting.pop()
        branches: dict[str | int, list[ValidationError]] = {}
        for inner in fault.context or ():
            branches.setdefault(inner.schema_path[0], []).append(inner)
        if branches:
            _, nearest = min((len(inner), str(name)) for name, inner in branches.items())
            waiting.extend(next(inner for name, inner in branches.items() if str(name) == nearest))
        else:
            yield fault


def _without_echoes(faults: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """Where a key does not belong, what stands below it does not either, and once is enough."""
    told = list(faults)
    misplaced = {
        (*fault.absolute_path, str(fault.instance)) for fault in told if _is_of_a_key(fault)
    }
    for fault in told:
        path = tuple(fault.absolute_path)
        inside = any(path[: len(place)] == place for place in misplaced)
        if _is_of_a_key(fault) or not inside:
            yield fault


def _is_of_a_key(fault: ValidationError) -> bool:
    return "propertyNames" in fault.absolute_schema_path


def _problems_of(document: Document, fault: ValidationError) -> Iterator[Problem]:
    path = tuple(fault.absolute_path)
    rule: Any = fault.validator_value
    instance: Any = fault.instance
    if _is_of_a_key(fault):  # then the instance is the key itself
        path = (*path, str(instance))
    match fault.validator:
        case "additionalProperties" | "unevaluatedProperties" if isinstance(instance, dict):
            yield from _unexpected(document, path, fault)
        case "required":
            for name in rule:
                if name not in instance:
                    yield _problem(document, path, f"{name} is missing.", f"Add `{name}:`.")
        case "enum" | "const":
            allowed = rule if fault.validator == "enum" else [rule]
            yield _problem(
                document,
                path,
                f"{_shown(instance)} is not allowed here.",
                _offer(instance, allowed),
            )
        case "type":
            names = [rule] if isinstance(rule, str) else rule
            wanted = " or ".join(_TYPE_NAMES.get(name, f"a {name}") for name in names)
            message = f"{_shown(instance)} stands here; expected {wanted}."
            yield _problem(document, path, message, _mend_type(instance, names, fault))
        case "pattern" if str(rule).startswith(_INSTANT):
            wanted = 'Expected quoted UTC text to the second, as in "2026-12-31T00:00:00Z".'
            yield _problem(document, path, f"{_shown(instance)} is not an instant.", wanted)
        case "pattern":
            message = f"{_shown(instance)} does not match {rule}."
            yield _problem(document, path, message, _mend_name(instance, rule) or _hint(fault))
        case _:
            name = str(fault.validator)
            broken = _BROKEN.get(name, "breaks the rule {name}: {rule}").format(
                name=name, rule=rule
            )
            yield _problem(document, path, f"{_shown(instance)} {broken}.", _hint(fault))


def _unexpected(
    document: Document, path: tuple[str | int, ...], fault: ValidationError
) -> Iterator[Problem]:
    assert isinstance(fault.schema, Mapping), "only an object schema has this rule"
    known = list(fault.schema.get("properties", {}))
    patterns = list(fault.schema.get("patternProperties", {}))
    instance: Any = fault.instance
    for name in instance:
        if name not in known and not any(re.search(pattern, name) for pattern in patterns):
            yield _problem(
                document, (*path, name), f"the key {name} is not known here.", _offer(name, known)
            )


def _problem(
    document: Document, path: tuple[str | int, ...], message: str, remedy: str = ""
) -> Problem:
    return document.problem(path, "schema", message, remedy)


def _offer(value: object, allowed: list[Any]) -> str:
    names = [str(one) for one in allowed]
    shown = ", ".join(names[:_SHOWN_VALUES])
    close = get_close_matches(str(value).casefold().replace("-", "_"), names, n=1)
    if close:
        return f"Did you mean {close[0]}? Expected one of: {shown}."
    return f"Expected one of: {shown}." if names else "Remove it."


def _mend_type(instance: object, names: list[str], fault: ValidationError) -> str:
    match instance:
        case None if "object" in names:
            return "Write {} for an empty one; what belongs to it is indented below it."
        case None:
            return "Write a value; one that begins with # is a comment unless it is quoted."
        case str() if "array" in names:
            return f"Write it as a list: [{_shown(instance)}]."
        case str() if "integer" in names and re.fullmatch(r"-?[0-9]+%?", instance):
            return f"Write it without quotes and signs: {instance.removesuffix('%')}."
    return _hint(fault)


def _mend_name(instance: object, rule: object) -> str:
    """Offer the same name in the form that ids have, where that is all that is wrong."""
    text = str(instance).strip().casefold()
    for mended in (re.sub(r"[\s_]+", "-", text), re.sub(r"[\s-]+", "_", text)):
        if mended and re.search(str(rule), mended):
            return f"Did you mean {mended}? It has to match {rule}."
    return ""


def _hint(fault: ValidationError) -> str:
    described = fault.schema.get("description") if isinstance(fault.schema, Mapping) else None
    return f"Expected: {described}" if isinstance(described, str) else ""


def _shown(value: object) -> str:
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
