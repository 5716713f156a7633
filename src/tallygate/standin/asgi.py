"""
The little of ASGI that the stand-in needs: read a body, send JSON.

Source: the ASGI specification, HTTP messages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

JSON = (b"content-type", b"application/json")

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

LARGEST_BODY = 64 * 1024 * 1024


class ClientGone(Exception):
    """The client left before its request was read."""


async def read_body(receive: Receive) -> bytes:
    """Read the whole request body; past the limit it is cut, and no longer reads as JSON."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size <= LARGEST_BODY:
            parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def start(send: Send, status: int, headers: Headers) -> None:
    """Send the status line and headers."""
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def send_part(send: Send, data: bytes, *, more: bool) -> None:
    """Send a part of the body."""
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def send_json(send: Send, status: int, body: object, headers: Headers | None = None) -> None:
    """Send a whole JSON answer."""
    data = orjson.dumps(body)
    length = (b"content-length", str(len(data)).encode())
    await start(send, status, [JSON, length, *(headers or [])])
    await send_part(send, data, more=False)
