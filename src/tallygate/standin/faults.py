"""What a fault remembers or watches: tries of the same key, and clients that leave."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tallygate.standin.asgi import Receive
from tallygate.standin.directives import Directives

_MOST_KEYS = 10_000


@dataclass(slots=True)
class Tries:
    """Failed tries by key; a key that has failed enough starts over."""

    _failed: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def status_for(self, wishes: Directives, same: str) -> int | None:
        """Give the error status of this try, or None where it is to be answered."""
        if not wishes.fail:
            return wishes.status
        key = wishes.key or same
        failed = self._failed.pop(key, 0)
        if failed >= wishes.fail:
            return None
        self._failed[key] = failed + 1
        if len(self._failed) > _MOST_KEYS:
            self._failed.popitem(last=False)
        return wishes.status or 500


class Departure:
    """Watches for the client to leave, while the block runs and the request body is read."""

    def __init__(self, receive: Receive, *, is_socket: bool = False) -> None:
        self._receive = receive
        self._is_socket = is_socket
        self._watch: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        if not self._is_socket:  # whose messages are its handler's to read
            self._watch = asyncio.create_task(self._until_gone())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()

    async def within(self, seconds: float) -> bool:
        """Wait that long, or until the client is gone; true in the latter case."""
        if self._watch is None:
            assert self._is_socket, "used outside its block"
            await asyncio.sleep(seconds)
            return False
        if seconds > 0:
            await asyncio.wait({self._watch}, timeout=seconds)
        else:
            await asyncio.sleep(0)
        return self._watch.done()

    async def _until_gone(self) -> None:
        with suppress(asyncio.CancelledError):
            while (await self._receive())["type"] != "http.disconnect":
                pass
