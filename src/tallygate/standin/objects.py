"""Objects that OpenAI only keeps: create, list, get, change, delete; none of it is billed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from tallygate.standin.book import Ending
from tallygate.standin.routing import Call, Provider, Route
from tallygate.standin.shelf import Shelf, page_of

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Objects of one kind under one path."""

    pattern: str
    kind: str
    """The name in `object`; deleting says it with `.deleted` behind."""
    prefix: str
    operation: str
    made: Callable[[Call], Object]
    """The fields of a new object, but for `id`, `object`, `created_at`."""
    changeable: frozenset[str] = frozenset({"metadata", "name", "description"})
    shelf: Shelf[Object] = field(default_factory=lambda: Shelf("object"))

    def put(self, fields: Mapping[str, Any], created_s: int) -> Object:
        kept: Object = {
            "id": f"{self.prefix}{token_hex(12)}",
            "object": self.kind,
            "created_at": created_s,
            **fields,
        }
        self.shelf.put(kept["id"], kept)
        return kept

    def table(self, openai: Provider) -> Iterator[Route]:
        """List the routes for the collection and for one of its objects."""
        one = f"{self.pattern}/{{object_id}}"
        for method, pattern, answer in (
            ("POST", self.pattern, self._create),
            ("GET", self.pattern, self._list),
            ("GET", one, self._get),
            ("POST", one, self._change),
            ("DELETE", one, self._delete),
        ):
            yield Route(
                method=method,
                pattern=pattern,
                provider=openai,
                operation=self.operation,
                answer=answer,
                generates=False,
            )

    def named(self, call: Call, parameter: str = "object_id") -> Object:
        """Give the object that the path names."""
        kept = self.shelf.get(call.request.params[parameter])
        call.record.response_id = kept["id"]
        return kept

    async def _create(self, call: Call) -> Ending:
        kept = self.put(self.made(call), call.created_s)
        call.record.response_id = kept["id"]
        return await call.json(kept)

    async def _list(self, call: Call) -> Ending:
        return await call.json(page_of(self.shelf.newest_first(), call.request.query, dict))

    async def _get(self, call: Call) -> Ending:
        return await call.json(self.named(call))

    async def _change(self, call: Call) -> Ending:
        kept = self.named(call)
        kept |= {k: v for k, v in call.asked.extra.items() if k in self.changeable}
        return await call.json(kept)

    async def _delete(self, call: Call) -> Ending:
        kept = self.named(call)
        self.shelf.remove(kept["id"])
        gone = {"id": kept["id"], "object": f"{self.kind}.deleted", "deleted": True}
        return await call.json(gone)
