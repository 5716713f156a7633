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
_TYPE_NAMES: Final = {"object": "a mapping", "array": "a list", "string": "text"}


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
    found = [problem for fault in faults for problem in _problems_of(document, fault)]
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


def _problems_of(document: Document, fault: ValidationError) -> Iterator[Problem]:
    path = tuple(fault.absolute_path)
    rule: Any = fault.validator_value
    instance: Any = fault.instance
    if "propertyNames" in fault.absolute_schema_path:  # then the instance is the key itself
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
            yield _problem(document, path, f"{_shown(instance)} stands here; expected {wanted}.")
        case "pattern":
            yield _problem(
                document, path, f"{_shown(instance)} does not match {rule}.", _hint(fault)
            )
        case _:
            name = fault.validator
            yield _problem(
                document,
                path,
                f"{_shown(instance)} breaks the rule {name}: {rule}.",
                _hint(fault),
            )


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
    close = get_close_matches(str(value), names, n=1)
    if close:
        return f"Did you mean {close[0]}? Expected one of: {', '.join(names[:_SHOWN_VALUES])}."
    return f"Expected one of: {', '.join(names[:_SHOWN_VALUES])}." if names else "Remove it."


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
