"""Headers that belong to one answer, such as its counts, beside those of its provider."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tallygate.standin.asgi import Headers
from tallygate.standin.routing import Call, Provider


@dataclass(frozen=True, slots=True)
class _WithHeaders:
    """The provider of one call, known by its request id."""

    provider: Provider
    request_id: str
    more: Headers

    def new_request_id(self) -> str:
        return self.request_id

    def headers(self, request_id: str) -> Headers:
        return [*self.provider.headers(request_id), *self.more]

    def error_body(
        self, status: int, request_id: str, message: str = "", param: str | None = None
    ) -> dict[str, Any]:
        return self.provider.error_body(status, request_id, message, param)

    def error_frame(self, request_id: str) -> bytes:
        return self.provider.error_frame(request_id)


def with_headers(call: Call, provider: Provider, more: Headers) -> Call:
    """Give the same call, which will be answered with these headers as well."""
    told = _WithHeaders(provider, call.reply.request_id, more)
    return replace(call, reply=replace(call.reply, provider=told))
