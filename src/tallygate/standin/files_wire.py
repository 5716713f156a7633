"""
OpenAI's files: upload, list, get, content, delete; the bytes are kept in memory and given back.

A directive for the upload stands in the file's name or the header: what is in the file is for the
batch that reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from tallygate.standin.answers import RequestUnacceptable
from tallygate.standin.book import Ending
from tallygate.standin.routing import Call, Provider, Route
from tallygate.standin.shelf import Shelf, page_of


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One file, as it came or as a batch wrote it."""

    file_id: str
    filename: str
    purpose: str
    data: bytes
    created_s: int

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.file_id,
            "object": "file",
            "bytes": len(self.data),
            "created_at": self.created_s,
            "expires_at": None,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


@dataclass(frozen=True, slots=True)
class Files:
    """All files; batches and fine-tuning jobs read and write here."""

    shelf: Shelf[StoredFile] = field(default_factory=lambda: Shelf("file", keep=1000))

    def put(self, filename: str, purpose: str, data: bytes, created_s: int) -> StoredFile:
        stored = StoredFile(
            file_id=f"file-{token_hex(11)}",
            filename=filename,
            purpose=purpose,
            data=data,
            created_s=created_s,
        )
        self.shelf.put(stored.file_id, stored)
        return stored

    def table(self, openai: Provider) -> Iterator[Route]:
        """List the routes for files."""
        one = "/v1/files/{file_id}"
        for method, pattern, answer in (
            ("POST", "/v1/files", self._upload),
            ("GET", "/v1/files", self._list),
            ("GET", one, self._get),
            ("DELETE", one, self._delete),
            ("GET", f"{one}/content", self._content),
        ):
            yield Route(
                method=method,
                pattern=pattern,
                provider=openai,
                operation="files",
                answer=answer,
                generates=False,
            )

    async def _upload(self, call: Call) -> Ending:
        purpose = call.asked.extra.get("purpose")
        if not isinstance(purpose, str) or not purpose:
            raise RequestUnacceptable("Missing required parameter: 'purpose'.", "purpose")
        part = call.part("file")
        stored = self.put(part.filename, purpose, part.data, call.created_s)
        call.record.response_id = stored.file_id
        return await call.json(stored.shown())

    async def _list(self, call: Call) -> Ending:
        purpose = call.request.query.get("purpose")
        found = [f for f in self.shelf.newest_first() if purpose in {None, f.purpose}]
        return await call.json(page_of(found, call.request.query, StoredFile.shown))

    async def _get(self, call: Call) -> Ending:
        return await call.json(self._named(call).shown())

    async def _content(self, call: Call) -> Ending:
        return await call.body(self._named(call).data, "application/octet-stream")

    async def _delete(self, call: Call) -> Ending:
        stored = self._named(call)
        self.shelf.remove(stored.file_id)
        return await call.json({"id": stored.file_id, "object": "file", "deleted": True})

    def _named(self, call: Call) -> StoredFile:
        stored = self.shelf.get(call.request.params["file_id"])
        call.record.response_id = stored.file_id
        return stored
