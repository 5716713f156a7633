"""
AWS's binary event stream, `application/vnd.amazon.eventstream`: one message as bytes.

Shapes: total length, headers' length and their CRC-32; headers; payload; CRC-32 of all before it.
    A header is a name with its length in one byte, the type 7 (text), a value with its length in
    two. Numbers are big-endian.
Source: the AWS specification of the encoding; tests/standin has botocore read it.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Mapping

import orjson

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_TEXT = 7
_PRELUDE = struct.Struct("!II")
_CRC = struct.Struct("!I")
_OVERHEAD = _PRELUDE.size + 2 * _CRC.size


def event(kind: str, payload: object) -> bytes:
    """Write an event of a stream, such as `messageStart`."""
    headers = {
        ":event-type": kind,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return message(headers, orjson.dumps(payload))


def exception(kind: str, payload: object) -> bytes:
    """Write an exception, such as `throttlingException`; it is the last message of a stream."""
    headers = {
        ":exception-type": kind,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return message(headers, orjson.dumps(payload))


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Write one message."""
    packed = b"".join(_header(name, value) for name, value in headers.items())
    prelude = _PRELUDE.pack(len(packed) + len(payload) + _OVERHEAD, len(packed))
    body = prelude + _CRC.pack(crc32(prelude)) + packed + payload
    return body + _CRC.pack(crc32(body))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack("!B", len(key)) + key + struct.pack("!BH", _TEXT, len(text)) + text
