"""`watch_sends` for the length of a test: what it patches belongs to everybody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import aiohttp
import httpx
import httpx2

from tallygate.proxy.sending import Watcher, watch_sends

PATCHED: Final[tuple[type[Any], ...]] = (
    aiohttp.ClientRequest,
    aiohttp.ClientResponse,
    httpx.AsyncHTTPTransport,
    httpx.HTTPTransport,
    httpx2.AsyncHTTPTransport,
    httpx2.HTTPTransport,
)


@contextmanager
def sends_watched_by(watcher: Watcher) -> Iterator[tuple[str, ...]]:
    """Watch, and put every attribute of the patched classes back in the end."""
    before = {owner: dict(vars(owner)) for owner in PATCHED}
    try:
        yield watch_sends(watcher)
    finally:
        for owner, attributes in before.items():
            for name, attribute in attributes.items():
                if vars(owner).get(name) is not attribute:
                    setattr(owner, name, attribute)
