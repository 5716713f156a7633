"""
Forms with files, `multipart/form-data`: fields and parts, read whole.

Shapes: a field is text, a file is a `Part`; a name given several times, or ending in `[]`, is a
    list under the name without the brackets.
Source: RFC 7578; what httpx, which the official clients use, writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tallygate.standin.answers import RequestUnacceptable

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')
_NAME = re.compile(r'(?:^|[;\s])name="([^"]*)"')
_FILENAME = re.compile(r'filename="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a form."""

    filename: str
    data: bytes


def fields_of_form(raw: bytes, content_type: str) -> tuple[dict[str, Any], str]:
    """Read the fields, and the texts among them with the names of the files."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise RequestUnacceptable("multipart/form-data: the header names no boundary")
    fields: dict[str, Any] = {}
    texts: list[str] = []
    for piece in (b"\r\n" + raw).split(b"\r\n--" + boundary[1].encode("latin-1"))[1:-1]:
        head, parted, data = piece.partition(b"\r\n\r\n")
        said = head.decode("utf-8", "replace")
        name = _NAME.search(said)
        if not parted or name is None:
            raise RequestUnacceptable("multipart/form-data: a part has no name")
        filename = _FILENAME.search(said)
        if filename is None:
            value: str | Part = data.decode("utf-8", "replace")
        else:
            value = Part(filename=filename[1].replace("%22", '"'), data=data)
        texts.append(value if isinstance(value, str) else value.filename)
        _put(fields, name[1], value)
    return fields, " ".join(texts)


def _put(fields: dict[str, Any], name: str, value: str | Part) -> None:
    bare = name.removesuffix("[]")
    if bare in fields and isinstance(fields[bare], list):
        fields[bare].append(value)
    elif bare in fields:
        fields[bare] = [fields[bare], value]
    else:
        fields[bare] = [value] if bare != name else value
