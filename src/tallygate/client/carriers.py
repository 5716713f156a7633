"""
Ownership and trace in a message, so that who takes it from the queue continues the work.

Shapes  A mapping of text (Celery, RabbitMQ), of attributes (SQS, SNS), or a list of pairs of name
        and bytes (Kafka). A message carries `baggage`, `traceparent`, and one entry for each field
        that an organisation has added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, MutableSequence
from typing import Any, Literal

from tallygate.client.baggage import decoded, encoded, ownership_in
from tallygate.client.blocks import Block
from tallygate.client.fields import (
    BAGGAGE,
    BAGGAGE_BYTES,
    HEADER_ALIASES,
    NAMES,
    TRACE_ID,
    TRACEPARENT,
    field_of,
    problem,
)
from tallygate.client.outgoing import message_attributes
from tallygate.client.tracing import received_trace

_TEXT_KEYS = ("StringValue", "stringValue", "Value")
"""SQS's own API, an SQS event in Lambda, an SNS notification."""


def inject(
    carrier: MutableMapping[str, Any] | MutableSequence[tuple[str, bytes]],
    values: Literal["text", "bytes", "sqs"] = "text",
) -> None:
    """
    Write what the block carries into a message's headers.

    `values` says what a mapping holds: text, bytes, or the attributes of SQS and SNS. A list gets
    pairs of a name and bytes, as Kafka's clients have them.
    """
    found = message_attributes()
    if isinstance(carrier, MutableMapping):
        carrier.update({name: _value(text, values) for name, text in found.items()})
        return
    others = [pair for pair in carrier if pair[0] not in found]
    carrier[:] = [*others, *((name, text.encode()) for name, text in found.items())]


def extract(carrier: Mapping[str, Any] | Iterable[tuple[Any, Any]] | None) -> Block:
    """
    Continue, in a `with`, the work that a message or a request belongs to.

    What cannot be read is left out, so that a bad message does not stop its consumer. Fields of an
    outer block stay where the message says nothing, except what caused that work. A message without
    a trace begins a new one. Only for senders that you trust to say who pays.
    """
    texts = dict(_texts(carrier))
    trace = received_trace(texts.get(TRACEPARENT), texts.get(TRACE_ID))
    return Block(_fields(texts), received=trace, continues=True)


def _fields(texts: Mapping[str, str]) -> dict[str, str]:
    said = {name: value for name, value in texts.items() if problem(value) is None}
    by_header = {
        name: value
        for header, value in sorted(said.items(), key=lambda entry: entry[0] not in HEADER_ALIASES)
        if (name := field_of(header)) is not None
    }
    extra = by_header.keys() - set(NAMES)
    found = ownership_in(decoded(texts.get(BAGGAGE, "")), extra) | by_header
    if len(encoded(found)) > BAGGAGE_BYTES:
        return {name: value for name, value in found.items() if name in NAMES}
    return found


def _texts(
    carrier: Mapping[str, Any] | Iterable[tuple[Any, Any]] | None,
) -> Iterator[tuple[str, str]]:
    """Read names in lower case and values as text; baggage in several lines becomes one."""
    pairs = carrier.items() if isinstance(carrier, Mapping) else carrier or ()
    lines: list[str] = []
    for key, value in pairs:
        name, text = _text(key), _text(value)
        if name is None or text is None:
            continue
        if name.lower() == BAGGAGE:
            lines.append(text)
        else:
            yield name.lower(), text
    yield BAGGAGE, ",".join(lines)


def _text(value: object) -> str | None:
    if isinstance(value, Mapping):
        value = next((value[key] for key in _TEXT_KEYS if key in value), None)
    if isinstance(value, bytes | bytearray):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def _value(text: str, values: Literal["text", "bytes", "sqs"]) -> Any:  # noqa: ANN401 - as the caller's queue has it
    match values:
        case "text":
            return text
        case "bytes":
            return text.encode()
        case "sqs":
            return {"StringValue": text, "DataType": "String"}
        case _:
            raise ValueError(f"values: expected 'text', 'bytes' or 'sqs', not {values!r}")
