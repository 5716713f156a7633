from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

import jsonschema
import orjson
import pytest
from hypothesis import given

from fakes.entries import a_refusal, an_event, an_outcome, an_ownership, opened, settled
from fakes.records import records
from tallygate.domain.ledger.codec import (
    bytes_from_record,
    event_as_json,
    event_json_schema,
    record_from_bytes,
)
from tallygate.domain.ledger.events import Event, SpoolRecord, Stage, Status
from tallygate.errors import RecordInvalid

SCHEMA_PAGE = Path(__file__).resolve().parents[3] / "docs" / "event.schema.json"


def changed(path: str, value: object) -> bytes:
    """Return a good record's bytes with one place set to another value."""
    record = json.loads(bytes_from_record(settled(an_event())))
    *parents, last = path.split(".")
    place = record
    for name in parents:
        place = place[name]
    place[last] = value
    return orjson.dumps(record)


def without(path: str) -> bytes:
    record = json.loads(bytes_from_record(settled(an_event())))
    *parents, last = path.split(".")
    place = record
    for name in parents:
        place = place[name]
    del place[last]
    return orjson.dumps(record)


def types_in(value: Any) -> Any:
    """Return the types of a value and of all that it holds."""
    if dataclasses.is_dataclass(value):
        return type(value), [types_in(getattr(value, f.name)) for f in dataclasses.fields(value)]
    return type(value)


@given(records)
def test_what_is_read_equals_what_was_written(record: SpoolRecord) -> None:
    read = record_from_bytes(bytes_from_record(record))

    assert read == record
    assert types_in(read) == types_in(record)


@given(records)
def test_every_exported_event_fits_the_published_schema(record: SpoolRecord) -> None:
    validator = jsonschema.Draft202012Validator(event_json_schema())

    validator.validate(event_as_json(record.event))


def test_an_export_has_every_key_and_plain_values() -> None:
    exported = event_as_json(a_refusal())

    assert set(exported) == {field.name for field in dataclasses.fields(Event)}
    assert exported["kind"] == "refusal"
    assert exported["attempt"] is None
    assert exported["decision"]["violations"] == [{"code": "ownership_missing", "field": "feature"}]


def test_the_published_schema_is_the_one_of_the_code() -> None:
    published = json.loads(SCHEMA_PAGE.read_text(encoding="utf-8"))

    assert published == event_json_schema(), "run scripts/write-event-schema"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("event.outcome", id="the outcome of an opened event"),
        pytest.param("event.outcome.detail", id="a detail"),
        pytest.param("event.ownership.extra", id="an empty map"),
        pytest.param("event.decision.waived", id="an empty list"),
    ],
)
def test_nulls_and_empty_collections_may_be_left_out(path: str) -> None:
    read = record_from_bytes(without(path))

    assert read.event.event_id == an_event().event_id


@pytest.mark.parametrize(
    "path",
    [
        "stage",
        "event",
        "event.call",
        "event.schema_version",
        "event.call.principal_bound",
        "event.call.client_retry_count",
        "event.outcome.status",
        "event.outcome.usage_source",
        "event.attempt.stream",
    ],
)
def test_a_key_that_says_something_may_not_be_missing(path: str) -> None:
    last = path.rpartition(".")[2]

    with pytest.raises(RecordInvalid, match=f"missing {last}"):
        record_from_bytes(without(path))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("stage", "closed", r"record\.stage must be one of opened, settled"),
        ("event", None, r"record\.event must be an object, not null"),
        ("event", [], r"record\.event must be an object, not array"),
        ("event.event_id", 7, r"event\.event_id must be string, not integer"),
        ("event.kind", {}, r"event\.kind must be one of"),
        ("event.call_count", True, r"call_count must be integer, not boolean"),
        ("event.call_count", 1.0, r"call_count must be integer, not number"),
        ("event.call.span_id", 1, r"span_id must be string or null, not integer"),
        ("event.call.principal_bound", 1, r"principal_bound must be boolean"),
        ("event.ownership.extra", {"a": 1}, r"a value of .*extra must be string"),
        ("event.ownership.sources", [], r"sources must be an object, not array"),
        ("event.decision.violations", {}, r"violations must be an array, not object"),
        ("event.decision.violations", ["x"], r"an item of .*violations must be an object"),
        ("event.outcome.usage", [1], r"usage must be object or null, not array"),
        ("event.outcome.status", "fine", r"status must be one of ok, error"),
        ("event.surprise", 1, r"record\.event has an unknown key 'surprise'"),
    ],
)
def test_a_wrong_value_is_named_by_its_field(path: str, value: object, said: str) -> None:
    with pytest.raises(RecordInvalid, match=said):
        record_from_bytes(changed(path, value))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[1]", b"null", b'"opened"'])
def test_bytes_that_are_no_record_are_refused(content: bytes) -> None:
    with pytest.raises(RecordInvalid):
        record_from_bytes(content)


@pytest.mark.parametrize("key", ["call", "kind", "decision"])
def test_a_null_where_none_may_be_is_refused_every_time(key: str) -> None:
    value = orjson.loads(bytes_from_record(settled(an_event())))
    value["event"][key] = None
    for _ in range(3):  # what was seen before is read faster, and must not be read otherwise
        with pytest.raises(RecordInvalid, match=f"record.event.{key} must be"):
            record_from_bytes(orjson.dumps(value))


def test_the_error_does_not_repeat_a_value() -> None:
    with pytest.raises(RecordInvalid) as caught:
        record_from_bytes(changed("event.outcome.status", "jane@example.com"))

    assert "jane" not in str(caught.value)


def test_any_mapping_can_be_written() -> None:
    event = an_event(ownership=an_ownership(sources=MappingProxyType({"service": "header"})))

    read = record_from_bytes(bytes_from_record(settled(event)))

    assert read.event.ownership.sources == {"service": "header"}


def test_text_that_is_not_utf8_does_not_lose_the_settlement() -> None:
    event = an_event(outcome=an_outcome(provider_request_id="req-\ud800"))

    read = record_from_bytes(bytes_from_record(settled(event)))

    assert read.event.outcome is not None
    assert read.event.outcome.provider_request_id == "req-?"
    assert read.event.outcome.status is Status.OK


def test_a_number_past_64_bits_does_not_lose_the_settlement() -> None:
    event = an_event(
        outcome=an_outcome(usage={"prompt_tokens": 2**70}),
        ownership=an_ownership(sources=MappingProxyType({"service": "header"})),
    )

    read = record_from_bytes(bytes_from_record(settled(event)))

    assert read.stage is Stage.SETTLED
    assert read.event.outcome is not None
    assert read.event.outcome.usage == {"prompt_tokens": pytest.approx(2**70)}


def test_what_json_cannot_hold_is_refused_when_it_is_written() -> None:
    event = an_event(outcome=an_outcome(usage={"callback": object()}))

    with pytest.raises(RecordInvalid, match="JSON values only"):
        bytes_from_record(settled(event))


def test_an_opened_event_has_no_outcome_after_reading_either() -> None:
    read = record_from_bytes(bytes_from_record(opened(an_event())))

    assert read.stage is Stage.OPENED
    assert read.event.outcome is None


def test_the_schema_names_every_class_that_an_event_holds() -> None:
    held = {
        hint.__name__
        for hint in get_type_hints(Event).values()
        if dataclasses.is_dataclass(hint) and isinstance(hint, type)
    }

    assert held | {"ActivationFacts", "AttemptFacts", "Outcome"} == set(
        event_json_schema()["$defs"]
    )
