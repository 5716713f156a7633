"""
Event hooks for httpx clients, and for those of its successor httpx2: neither is imported.

`openai` and `anthropic` take such a client as `http_client`.

A redirect is a new request with the old one's headers, a client's defaults among them, and with a
copy of its `extensions`: there stands which host was meant, and which trace is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from tallygate.client.blocks import current_scope
from tallygate.client.outgoing import add_headers, remove_headers

Hooks = dict[str, list[Callable[..., Any]]]
_FIRST_FAILURE: Final = 400
_MEANT: Final = "tallygate"
"""The key in a request's extensions; transports pass over keys that they do not know."""


@dataclass(frozen=True, slots=True)
class _Meant:
    """What a request began as, for the redirects that come of it."""

    host: str
    traceparent: str | None
    """Ours; None where the caller's own stands on the request."""


def ownership_hooks(hosts: Collection[str] | None = None) -> Hooks:
    """
    Give `event_hooks` for a synchronous client: fields and trace go out, the call's id comes in.

    `hosts` limits them to requests to these host names, for a client that also calls strangers.
    Without it every host is served that a caller names, but none that only a redirect names.
    """
    wanted = _names(hosts)

    def add_ownership(request: Any) -> None:  # noqa: ANN401 - httpx's or httpx2's
        _add_or_remove(request, wanted)

    def remember_call(response: Any) -> None:  # noqa: ANN401 - httpx's or httpx2's
        if _is_wanted(response.request, wanted):
            _remember(response)

    return {"request": [add_ownership], "response": [remember_call]}


def async_ownership_hooks(hosts: Collection[str] | None = None) -> Hooks:
    """Give the same for an asynchronous client."""
    wanted = _names(hosts)

    async def add_ownership(request: Any) -> None:  # noqa: ANN401 - httpx's or httpx2's
        _add_or_remove(request, wanted)

    async def remember_call(response: Any) -> None:  # noqa: ANN401 - httpx's or httpx2's
        if _is_wanted(response.request, wanted):
            _remember(response)

    return {"request": [add_ownership], "response": [remember_call]}


def _names(hosts: Collection[str] | None) -> frozenset[str] | None:
    if hosts is None:
        return None
    names = (hosts,) if isinstance(hosts, str) else hosts
    return frozenset(name.lower() for name in names)


def _is_wanted(request: Any, wanted: frozenset[str] | None) -> bool:  # noqa: ANN401 - httpx's or httpx2's
    host = request.url.host.lower()
    if wanted is not None:
        return host in wanted
    meant = _meant(request)
    return meant is None or meant.host == host


def _meant(request: Any) -> _Meant | None:  # noqa: ANN401 - httpx's or httpx2's
    meant = request.extensions.get(_MEANT)
    return meant if isinstance(meant, _Meant) else None


def _add_or_remove(request: Any, wanted: frozenset[str] | None) -> None:  # noqa: ANN401 - httpx's or httpx2's
    meant = _meant(request) or _Meant(request.url.host.lower(), None)
    if _is_wanted(request, wanted):
        added = add_headers(request.headers)
        meant = _Meant(meant.host, added or meant.traceparent)
    else:
        remove_headers(request.headers, meant.traceparent)
    request.extensions[_MEANT] = meant


def _remember(response: Any) -> None:  # noqa: ANN401 - httpx's or httpx2's
    # A call that failed caused nothing: what follows it was caused by what caused it.
    scope = current_scope()
    if scope is not None and response.status_code < _FIRST_FAILURE:
        scope.remember(response.headers)
