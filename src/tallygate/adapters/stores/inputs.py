"""
What decisions were about, in a ledger: each recorded input once, by its digest.

Shapes  The content is the canonical JSON that the digest is of. Events bring it along, the first
        ones of a process each time; what is there already stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import orjson
from sqlalchemy import Connection, select
from sqlalchemy.sql import Select

from tallygate.adapters.stores.reading import Connect
from tallygate.adapters.stores.tables import DECISION_INPUTS
from tallygate.domain.kernel.digests import canonical_json, digest_of_bytes
from tallygate.domain.ledger.events import Entry

Stored = tuple[str, str]
"""Digest and canonical JSON."""

_PAGE_SIZE: Final = 1000
_INSERTS: Final = {
    # A guard refuses a second line under a digest before SQLite's own ON CONFLICT is asked.
    "sqlite": """
INSERT INTO decision_inputs (input_digest, content)
SELECT json_extract(value, '$.input_digest'), json_extract(value, '$.content')
FROM json_each(?) WHERE json_extract(value, '$.input_digest')
    NOT IN (SELECT input_digest FROM decision_inputs)
""",
    "postgresql": """
INSERT INTO decision_inputs (input_digest, content) SELECT input_digest, content
FROM json_to_recordset(CAST(%s AS json)) AS line(input_digest text, content text)
ON CONFLICT (input_digest) DO NOTHING
""",
}


def keep_inputs(connection: Connection, entries: Iterable[Entry]) -> None:
    """Keep the inputs that entries bring along; one that is not its digest's is let go."""
    contents = dict(_contents(entries))
    if not contents:
        return
    rows = [
        {"input_digest": digest, "content": contents[digest]}
        for digest in sorted(contents)  # sorted: two drains cannot wait in a ring
    ]
    document = orjson.dumps(rows).decode()
    connection.exec_driver_sql(_INSERTS[connection.dialect.name], (document,))


def read_inputs(reading: Connect, digests: Collection[str] | None = None) -> Iterator[Stored]:
    """Yield inputs as they are stored, page by page; None asks for all."""
    digest, content = DECISION_INPUTS.c.input_digest, DECISION_INPUTS.c.content
    query = select(digest, content).order_by(digest)
    if digests is not None:
        wanted = sorted(digests)
        for start in range(0, len(wanted), _PAGE_SIZE):
            yield from _found(reading, query.where(digest.in_(wanted[start : start + _PAGE_SIZE])))
        return
    page, after = query.limit(_PAGE_SIZE), ""
    while found := _found(reading, page.where(digest > after)):
        yield from found
        after = found[-1][0]


def _found(reading: Connect, query: Select[Any]) -> list[Stored]:
    with reading() as connection:
        return [(digest, content) for digest, content in connection.execute(query)]


def _contents(entries: Iterable[Entry]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        decision = entry.event.decision
        if decision.input is None or decision.input_digest is None:
            continue
        content = canonical_json(dict(decision.input))
        if digest_of_bytes(content) == decision.input_digest:
            yield decision.input_digest, content.decode()
