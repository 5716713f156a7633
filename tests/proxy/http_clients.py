"""The HTTP clients that LiteLLM sends through, told apart by nothing but their names."""

from __future__ import annotations

import io
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import aiohttp
import httpx
import httpx2

Upload = bytes | Callable[[], AsyncIterator[bytes]]
"""A body as a whole, or what yields its parts."""


class Client(Protocol):
    """What the tests ask of every HTTP client."""

    async def send(self, method: str, url: str, body: Upload = b"") -> tuple[int, Any]: ...


class Opened(Protocol):
    """Makes a client for one test: follows redirects, may go through a proxy."""

    async def __aenter__(self) -> Client: ...
    async def __aexit__(self, *_: object) -> None: ...


class Aiohttp:
    """LiteLLM's own choice."""

    def __init__(self, tls: ssl.SSLContext | None = None, proxy: str | None = None) -> None:
        self._tls, self._proxy = tls, proxy

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls or True), proxy=self._proxy
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, method: str, url: str, body: Upload = b"") -> tuple[int, Any]:
        data = body() if callable(body) else io.BytesIO(body) if body else None
        async with self._session.request(method, url, data=data) as response:
            return response.status, await response.json()


class Httpx:
    """What LiteLLM takes when aiohttp is switched off."""

    library: Any = httpx

    def __init__(self, tls: ssl.SSLContext | None = None, proxy: str | None = None) -> None:
        self._client = self.library.AsyncClient(
            verify=tls or True, proxy=proxy, follow_redirects=True, trust_env=False
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def send(self, method: str, url: str, body: Upload = b"") -> tuple[int, Any]:
        content = body() if callable(body) else body or None
        response = await self._client.request(method, url, content=content)
        return response.status_code, response.json()


class HttpxSync:
    """What LiteLLM's synchronous twins take."""

    library: Any = httpx

    def __init__(self, tls: ssl.SSLContext | None = None, proxy: str | None = None) -> None:
        self._client = self.library.Client(
            verify=tls or True, proxy=proxy, follow_redirects=True, trust_env=False
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.close()

    async def send(self, method: str, url: str, body: Upload = b"") -> tuple[int, Any]:
        content = iter([part async for part in body()]) if callable(body) else body or None
        response = self._client.request(method, url, content=content)
        return response.status_code, response.json()


class Httpx2(Httpx):
    """What MCP's client and newer client libraries of providers take."""

    library = httpx2


class Httpx2Sync(HttpxSync):
    """The same, in threads."""

    library = httpx2
