"""
Spool records as bytes and back: JSON whose keys are the field names of `events`.

Shapes  Every class of `events` that a record reaches has one table, made once from its
        dataclass fields; the reader and the JSON Schema both follow these tables.
Exact   What is read equals what was written, types included. A key whose default is null or
        an empty collection may be absent; every other key must be there, and no other key may.
Errors  RecordInvalid, which names the field and the type, never the value.
Source  docs/event.schema.json is `event_json_schema()`; scripts/write-event-schema writes it.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, get_args, get_origin, get_type_hints

import orjson

from tallygate.domain.ledger.encoding import object_from_event, object_from_record
from tallygate.domain.ledger.events import Event, SpoolRecord
from tallygate.errors import RecordInvalid

_Read: TypeAlias = Callable[[object, str], object]
"""Turns a JSON value, found at the path given, into a field's value."""

_TEXT: Final = frozenset({str})
_MOST_KNOWN: Final = 256
"""Combinations of types kept per class; a few occur."""

_JSON_NAMES: Final = {
    str: "string",
    int: "integer",
    bool: "boolean",
    dict: "object",
    list: "array",
    float: "number",
    NoneType: "null",
}


@dataclasses.dataclass(frozen=True, slots=True)
class _Table:
    """How one dataclass stands in JSON."""

    made: type
    plain: Mapping[str, tuple[type, ...]]
    """Fields whose JSON value is the field's value when its type is one of these."""
    read: Mapping[str, _Read]
    """All other fields, and what turns their JSON value into theirs."""
    required: frozenset[str]
    names: tuple[str, ...]
    """All keys, in the order in which the writer writes them."""
    keepers: tuple[Callable[[object, object], None], ...]
    """What sets each field, in the same order."""
    known: set[tuple[type, ...]]
    """Types of all values, in that order, that were checked one by one and found right."""
    schema: Mapping[str, object]


def bytes_from_record(record: SpoolRecord) -> bytes:
    """Encode in one pass. NaN becomes null, and characters that UTF-8 cannot hold become `?`."""
    try:
        return orjson.dumps(object_from_record(record), default=_plain_mapping)
    except TypeError:
        return _awkward_bytes_from_record(record)


def record_from_bytes(content: bytes) -> SpoolRecord:
    """Decode and check every key and type."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise RecordInvalid(f"the record is not JSON: {error}") from error
    record = _instance(_RECORD, value, "record")
    assert isinstance(record, SpoolRecord), type(record)
    return record


def event_as_json(event: Event) -> dict[str, Any]:
    """Return the event as a JSON object with every key, nulls included, for exports."""
    value: dict[str, Any] = orjson.loads(
        orjson.dumps(object_from_event(event), default=_plain_mapping)
    )
    return value


def event_json_schema() -> dict[str, Any]:
    """Describe the event for readers in other languages (JSON Schema, draft 2020-12)."""
    definitions = {
        table.made.__name__: dict(table.schema)
        for table in _TABLES.values()
        if table.made not in (Event, SpoolRecord)
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tallygate event",
        **_TABLES[Event].schema,
        "$defs": dict(sorted(definitions.items())),
    }


def _plain_mapping(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def _awkward_bytes_from_record(record: SpoolRecord) -> bytes:
    """Encode what orjson refuses: integers past 64 bits, text that is not UTF-8."""
    try:
        text = json.dumps(
            object_from_record(record),
            default=_plain_mapping,
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordInvalid(
            f"an event can hold JSON values only ({error}); "
            "make the provider's usage plain numbers, text, lists and objects at the edge"
        ) from error
    return text.encode(errors="replace")


# Reading


def _instance(table: _Table, value: object, path: str) -> object:
    if type(value) is not dict:
        raise _mistyped(path, "an object", value)
    ordered = tuple(value) == table.names
    types = tuple(map(type, value.values()))
    if ordered and types in table.known:
        return _made_as_before(table, value, path)
    _check(table, value, path)
    if ordered and len(table.known) < _MOST_KNOWN:
        table.known.add(types)
    for name, read in table.read.items():
        if name in value:
            value[name] = read(value[name], f"{path}.{name}")
    made: object = table.made(**value)
    return made


def _made_as_before(table: _Table, value: dict[str, object], path: str) -> object:
    """Make an instance of what our own writer wrote: keys in order, types that were right."""
    for name, read in table.read.items():
        raw = value[name]
        if raw is not None:
            value[name] = read(raw, f"{path}.{name}")
    made: object = object.__new__(table.made)
    # As the frozen class's own __init__ does it, without a keyword for each field.
    for keep, field in zip(table.keepers, value.values(), strict=True):
        keep(made, field)
    return made


def _check(table: _Table, value: dict[str, object], path: str) -> None:
    """Check keys, and the types of what is read as it is."""
    plain = table.plain
    for name, raw in value.items():
        expected = plain.get(name)
        if expected is not None:
            if type(raw) not in expected:
                named = " or ".join(_JSON_NAMES[each] for each in expected)
                raise _mistyped(f"{path}.{name}", named, raw)
        elif name not in table.read:
            raise RecordInvalid(
                f"{path} has an unknown key {name[:40]!r}; {table.made.__name__} has "
                f"{', '.join(sorted([*plain, *table.read]))}"
            )
    if not table.required <= value.keys():
        absent = ", ".join(sorted(table.required - value.keys()))
        raise RecordInvalid(f"{path}: missing {absent}")


def _mistyped(path: str, expected: str, value: object) -> RecordInvalid:
    return RecordInvalid(f"{path} must be {expected}, not {_JSON_NAMES[type(value)]}")


def _enum_reader(made: type[StrEnum]) -> _Read:
    members: Mapping[object, StrEnum] = {member.value: member for member in made}

    def read(value: object, path: str) -> object:
        if type(value) is not str or value not in members:
            raise RecordInvalid(f"{path} must be one of {', '.join(made)}")
        return members[value]

    return read


def _text_map(value: object, path: str) -> object:
    if type(value) is not dict:
        raise _mistyped(path, "an object", value)
    if not _TEXT.issuperset(map(type, value.values())):
        odd = next(each for each in value.values() if type(each) is not str)
        raise _mistyped(f"a value of {path}", "string", odd)
    return value


def _text_maps(value: object, path: str) -> object:
    if type(value) is not list:
        raise _mistyped(path, "an array", value)
    for each in value:
        _text_map(each, f"an item of {path}")
    return tuple(value)


def _nullable_reader(read: _Read) -> _Read:
    def read_or_null(value: object, path: str) -> object:
        return None if value is None else read(value, path)

    return read_or_null


def _instance_reader(table: _Table) -> _Read:
    def read(value: object, path: str) -> object:
        return _instance(table, value, path)

    return read


# The tables


def _table_of(made: type, tables: dict[type, _Table]) -> _Table:
    """Build the table of a dataclass after those of the dataclasses that it holds."""
    assert not hasattr(made, "__post_init__"), made
    plain: dict[str, tuple[type, ...]] = {}
    read: dict[str, _Read] = {}
    required: list[str] = []
    properties: dict[str, object] = {}
    hints = get_type_hints(made)
    for field in dataclasses.fields(made):
        hint, nullable = _without_null(hints[field.name])
        how, schema = _form_of(hint, tables)
        if isinstance(how, tuple):
            plain[field.name] = (*how, NoneType) if nullable else how
        else:
            read[field.name] = _nullable_reader(how) if nullable else how
        properties[field.name] = {"anyOf": [schema, {"type": "null"}]} if nullable else schema
        if not _may_be_absent(field):
            required.append(field.name)
    tables[made] = _Table(
        made,
        plain,
        read,
        frozenset(required),
        tuple(properties),
        tuple(getattr(made, name).__set__ for name in properties),
        set(),
        {
            "type": "object",
            "description": inspect.getdoc(made),
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        },
    )
    return tables[made]


def _without_null(hint: object) -> tuple[object, bool]:
    if get_origin(hint) is not UnionType:
        return hint, False
    others = [each for each in get_args(hint) if each is not NoneType]
    assert len(others) == 1, hint
    return others[0], True


def _may_be_absent(field: dataclasses.Field[Any]) -> bool:
    if field.default_factory is not dataclasses.MISSING:
        return not field.default_factory()
    return field.default is None or field.default == ()


def _form_of(hint: object, tables: dict[type, _Table]) -> tuple[tuple[type, ...] | _Read, object]:
    """How a field of this type is read, and its schema; an unforeseen type stops the import."""
    if hint in (str, int, bool):
        assert isinstance(hint, type), hint
        return (hint,), {"type": _JSON_NAMES[hint]}
    text_map = {"type": "object", "additionalProperties": {"type": "string"}}
    if hint == Mapping[str, str]:
        return _text_map, text_map
    if hint == tuple[Mapping[str, str], ...]:
        return _text_maps, {"type": "array", "items": text_map}
    if hint == Mapping[str, Any]:
        return (dict,), {"type": "object"}
    assert isinstance(hint, type), hint
    if issubclass(hint, StrEnum):
        return _enum_reader(hint), {"type": "string", "enum": [str(member) for member in hint]}
    assert dataclasses.is_dataclass(hint), hint
    held = tables.get(hint) or _table_of(hint, tables)
    return _instance_reader(held), {"$ref": f"#/$defs/{hint.__name__}"}


_TABLES: Final[dict[type, _Table]] = {}
_RECORD: Final = _table_of(SpoolRecord, _TABLES)
