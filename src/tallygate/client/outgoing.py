"""
What a request takes along: a header for each field, the same as W3C baggage, and the trace.

The gate reads the headers first. The baggage is for services in between, which may know nothing of
tallygate.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from tallygate.client import current
from tallygate.client.baggage import encoded, merged, without
from tallygate.client.fields import (
    BAGGAGE,
    BAGGAGE_NAMES,
    HEADER_ALIASES,
    HEADER_PREFIX,
    NAMES,
    TRACE_ID,
    TRACEPARENT,
    checked,
    field_of,
    header_of,
)


def outgoing_headers() -> dict[str, str]:
    """Give the headers for a request made here and now; empty outside of any block and span."""
    fields = current.fields_here()
    headers = {header_of(name): value for name, value in fields.items()}
    if fields:
        headers[BAGGAGE] = encoded(fields)
    return headers | trace_headers()


def trace_headers() -> dict[str, str]:
    """Give the active span's trace, else the one that was received or minted."""
    held = current.KEEPING.held()
    carried = held.trace if held else None
    headers = {}
    if parent := current.KEEPING.traceparent() or (carried and carried.traceparent):
        headers[TRACEPARENT] = parent
    if carried and carried.opaque:
        headers[TRACE_ID] = carried.opaque
    return headers


def default_headers(**fields: str | None) -> dict[str, str]:
    """Give headers for what never changes in a service, for a client's `default_headers`."""
    return {header_of(name): value for name, value in checked(fields).items()}


def add_headers(headers: MutableMapping[str, str]) -> str | None:
    """
    Add to a request's own headers, which must not care for case; returns a traceparent of ours.

    A field of a block replaces what stands there, because that may be a client's default; a trace
    that stands there was put by somebody who knows the span better.
    """
    fields = current.fields_here()
    for alias, name in HEADER_ALIASES.items():
        if name in fields:
            headers.pop(alias, None)  # two names with two values would be a conflict
    for name, value in fields.items():
        headers[header_of(name)] = value
    if fields:
        headers[BAGGAGE] = merged(headers.get(BAGGAGE, ""), fields)
    if TRACEPARENT in headers or TRACE_ID in headers:
        return None
    found = trace_headers()
    headers.update(found)
    return found.get(TRACEPARENT)


def remove_headers(headers: MutableMapping[str, str], traceparent: str | None) -> None:
    """
    Take everything that says who pays off a request to a stranger, a client's defaults too.

    Of traces only ours goes, which `add_headers` has returned: one of the caller's is the caller's
    to send.
    """
    dropped = [
        name
        for name in map(str.lower, headers)
        if name.startswith(HEADER_PREFIX) or name in HEADER_ALIASES
    ]
    for name in dropped:
        headers.pop(name, None)
    if traceparent is not None and headers.get(TRACEPARENT) == traceparent:
        headers.pop(TRACEPARENT)
    if BAGGAGE in headers:
        # A field that the organisation has added is known by the header that went with it.
        carried = {field for name in dropped if (field := field_of(name)) is not None}
        names = BAGGAGE_NAMES | carried | current.fields_here().keys()
        if left := without(headers[BAGGAGE], names):
            headers[BAGGAGE] = left
        else:
            headers.pop(BAGGAGE)


def message_attributes() -> dict[str, str]:
    """Give the fewest entries that carry everything in a message; SQS allows ten."""
    fields = current.fields_here()
    extra = {header_of(name): fields[name] for name in sorted(fields.keys() - set(NAMES))}
    found = {BAGGAGE: encoded(fields)} if fields else {}
    return found | extra | trace_headers()
