"""
OpenAI's vector stores, as far as keeping them and searching goes; each search finds one passage.

A search is billed by the call: `billed` has `searches`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tallygate.standin.answers import RequestUnacceptable
from tallygate.standin.book import Ending
from tallygate.standin.files_wire import Files
from tallygate.standin.objects import Collection
from tallygate.standin.routing import Call, Provider, Route


def table(openai: Provider, files: Files) -> Iterator[Route]:
    """List the routes for vector stores."""

    def made(call: Call) -> dict[str, Any]:
        fields = call.asked.extra
        given = fields.get("file_ids")
        held = [files.shelf.get(file_id) for file_id in given] if isinstance(given, list) else []
        counts = {"in_progress": 0, "failed": 0, "cancelled": 0}
        return {
            "name": fields.get("name") or "",
            "status": "completed",
            "usage_bytes": sum(len(stored.data) for stored in held),
            "file_counts": {**counts, "completed": len(held), "total": len(held)},
            "last_active_at": call.created_s,
            "expires_after": fields.get("expires_after"),
            "expires_at": None,
            "metadata": fields.get("metadata"),
        }

    stores = Collection(
        pattern="/v1/vector_stores",
        kind="vector_store",
        prefix="vs_",
        operation="vector_stores",
        made=made,
    )

    async def search(call: Call) -> Ending:
        stores.named(call)
        query = call.asked.extra.get("query")
        if not isinstance(query, str | list) or not query:
            raise RequestUnacceptable("Missing required parameter: 'query'.", "query")
        call.record.billed = {"searches": 1}
        passage = {
            "file_id": "file-standin",
            "filename": "standin.txt",
            "score": 0.9,
            "attributes": {},
            "content": [{"type": "text", "text": "A passage of the stand-in."}],
        }
        body = {
            "object": "vector_store.search_results.page",
            "search_query": [query] if isinstance(query, str) else query,
            "data": [passage],
            "has_more": False,
            "next_page": None,
        }
        return await call.json(body)

    yield from stores.table(openai)
    yield Route(
        method="POST",
        pattern="/v1/vector_stores/{object_id}/search",
        provider=openai,
        operation="vector_store_search",
        answer=search,
    )
