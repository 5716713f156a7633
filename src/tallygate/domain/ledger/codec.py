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
from functools import partial
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, get_args, get_origin, get_type_hints

import orjson

from tallygate.domain.ledger.encoding import object_from_event, object_from_record
from tallygate.domain.ledger.events import Event, SpoolRecord
from tallygate.errors import RecordInvalid

_Read: TypeAlias = Callable[[object, str], object]
"""Turns a JSON value, found at the path given, into a field's value."""
_Quick: TypeAlias = Callable[[Any], object]
"""The same for what is as it nearly always is; None where it is not."""

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
    quick: tuple[tuple[int, _Quick], ...]
    """The same, by place."""
    required: frozenset[str]
    names: tuple[str, ...]
    """All keys, in the order in which the writer writes them."""
    twin: Callable[..., Any]
    """A class with the same slots that is not frozen, made from all fields in that order."""
    known: dict[tuple[type, ...], tuple[str, ...]]
    """Types of all values, in that order, that were checked one by one and found right, and the
    keys as orjson gave them: it gives the same objects again, which compare at once."""
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
    record = _as_before(_RECORD, value)
    if record is None:  # a new combination, or a fault to be named; parts of it are read already
        record = _instance(_RECORD, orjson.loads(content), "record")
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


def _as_before(table: _Table, value: object) -> object | None:
    """Make an instance of what our own writer wrote: keys in order, types that were right."""
    if type(value) is not dict:
        return None
    fields = list(value.values())
    if table.known.get(tuple(map(type, fields))) != tuple(value):
        return None
    for place, quick in table.quick:
        raw = fields[place]
        if raw is not None:
            fields[place] = read = quick(raw)
            if read is None:
                return None
    # A frozen class sets a field by a call each. Its twin has the same slots and sets them plainly.
    made: object = table.twin(*fields)
    made.__class__ = table.made
    return made


def _instance(table: _Table, value: object, path: str) -> object:
    if type(value) is not dict:
        raise _mistyped(path, "an object", value)
    types = tuple(map(type, value.values()))
    _check(table, value, path)
    for name, read in table.read.items():
        if name in value:
            value[name] = read(value[name], f"{path}.{name}")
    if tuple(value) == table.names and len(table.known) < _MOST_KNOWN:
        table.known[types] = tuple(
            value
        )  # after all were read: whoever finds them here reads unchecked
    made: object = table.made(**value)
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


def _enum_reader(made: type[StrEnum]) -> tuple[_Read, _Quick]:
    members: Mapping[object, StrEnum] = {member.value: member for member in made}

    def read(value: object, path: str) -> object:
        if type(value) is not str or value not in members:
            raise RecordInvalid(f"{path} must be one of {', '.join(made)}")
        return members[value]

    return read, members.get


def _quick_text_map(value: dict[str, object]) -> object | None:
    return value if _TEXT.issuperset(map(type, value.values())) else None


def _quick_text_maps(value: list[object]) -> object | None:
    if all(type(each) is dict and _quick_text_map(each) is not None for each in value):
        return tuple(value)
    return None


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


def _instance_reader(table: _Table) -> tuple[_Read, _Quick]:
    def read(value: object, path: str) -> object:
        return _instance(table, value, path)

    return read, partial(_as_before, table)


# The tables


def _table_of(made: type, tables: dict[type, _Table]) -> _Table:
    """Build the table of a dataclass after those of the dataclasses that it holds."""
    assert not hasattr(made, "__post_init__"), made
    plain: dict[str, tuple[type, ...]] = {}
    read: dict[str, _Read] = {}
    quick: list[tuple[int, _Quick]] = []
    required: list[str] = []
    properties: dict[str, object] = {}
    hints = get_type_hints(made)
    for place, field in enumerate(dataclasses.fields(made)):
        hint, nullable = _without_null(hints[field.name])
        plainly, how, schema = _form_of(hint, tables)
        if how is None:
            plain[field.name] = (*plainly, NoneType) if nullable else plainly
        else:
            checked, quickly = how
            read[field.name] = _nullable_reader(checked) if nullable else checked
            quick.append((place, quickly))
        properties[field.name] = {"anyOf": [schema, {"type": "null"}]} if nullable else schema
        if not _may_be_absent(field):
            required.append(field.name)
    tables[made] = _Table(
        made,
        plain,
        read,
        tuple(quick),
        frozenset(required),
        tuple(properties),
        dataclasses.make_dataclass(made.__name__, properties, slots=True),
        {},
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


def _form_of(
    hint: object, tables: dict[type, _Table]
) -> tuple[tuple[type, ...], tuple[_Read, _Quick] | None, object]:
    """Types of a value that is a field, or what reads it; an unforeseen one stops the import."""
    if hint in (str, int, bool):
        assert isinstance(hint, type), hint
        return (hint,), None, {"type": _JSON_NAMES[hint]}
    text_map = {"type": "object", "additionalProperties": {"type": "string"}}
    if hint == Mapping[str, str]:
        return (), (_text_map, _quick_text_map), text_map
    if hint == tuple[Mapping[str, str], ...]:
        return (), (_text_maps, _quick_text_maps), {"type": "array", "items": text_map}
    if hint == Mapping[str, Any]:
        return (dict,), None, {"type": "object"}
    assert isinstance(hint, type), hint
    if issubclass(hint, StrEnum):
        schema = {"type": "string", "enum": [str(member) for member in hint]}
        return (), _enum_reader(hint), schema
    assert dataclasses.is_dataclass(hint), hint
    held = tables.get(hint) or _table_of(hint, tables)
    return (), _instance_reader(held), {"$ref": f"#/$defs/{hint.__name__}"}


_TABLES: Final[dict[type, _Table]] = {}
_RECORD: Final = _table_of(SpoolRecord, _TABLES)
