"""
W3C baggage as text: what leaves in the header, and what arrives in it.

Everything but letters, digits and `-._~` is percent-encoded, `+` too, because some readers take it
for a blank.

Source  W3C Baggage, sections 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from urllib.parse import quote, unquote

from tallygate.client.fields import BAGGAGE_ALIASES, BAGGAGE_BYTES, NAMES, problem


def encoded(fields: Mapping[str, str]) -> str:
    """Write fields as a baggage header."""
    return ",".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())


def decoded(text: str) -> dict[str, str]:
    """Read every member whose value can be read; of two under one name the last."""
    if len(text) > BAGGAGE_BYTES:
        return {}
    members = {}
    for key, rest in _members(text):
        try:
            members[key] = unquote(rest.partition(";")[0].strip(), errors="strict")
        except UnicodeDecodeError:
            continue
    return members


def ownership_in(members: Mapping[str, object], extra: Collection[str]) -> dict[str, str]:
    """Pick what is ownership, and readable, out of baggage that is everybody's."""
    wanted = {alias: name for alias, name in BAGGAGE_ALIASES.items() if name not in members}
    wanted |= {name: name for name in (*NAMES, *extra)}
    return {
        name: value
        for key, name in wanted.items()
        if isinstance(value := members.get(key), str) and problem(value) is None
    }


def merged(header: str, fields: Mapping[str, str]) -> str:
    """
    Put fields into a header that is there already; other people's members stay as they are.

    Past the limit the header is left alone: the gate would read nothing of it, and each field
    has a header of its own.
    """
    ours = set(fields) | {alias for alias, name in BAGGAGE_ALIASES.items() if name in fields}
    theirs = [f"{key}={rest}" for key, rest in _members(header) if key not in ours]
    text = ",".join([*theirs, encoded(fields)])
    return text if len(text) <= BAGGAGE_BYTES else header


def without(header: str, names: Collection[str]) -> str:
    """Take members out by their names, whoever put them in; what else is there stays as it is."""
    return ",".join(
        member for member in header.split(",") if member.partition("=")[0].strip() not in names
    )


def _members(header: str) -> Iterator[tuple[str, str]]:
    for member in header.split(","):
        key, separator, rest = member.partition("=")
        if separator:
            yield key.strip(), rest.strip()
