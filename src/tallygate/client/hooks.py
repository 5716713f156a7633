"""
Event hooks for httpx clients, and for those of its successor httpx2: neither is imported.

`openai` and `anthropic` take such a client as `http_client`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from tallygate.client.blocks import current_scope
from tallygate.client.outgoing import add_headers, remove_headers

Hooks = dict[str, list[Callable[..., Any]]]
_FIRST_FAILURE: Final = 400


def ownership_hooks(hosts: Collection[str] | None = None) -> Hooks:
    """
    Give `event_hooks` for a synchronous client: fields and trace go out, the call's id comes in.

    `hosts` limits them to requests to these host names, for a client that also calls strangers.
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
    return wanted is None or request.url.host.lower() in wanted


def _add_or_remove(request: Any, wanted: frozenset[str] | None) -> None:  # noqa: ANN401 - httpx's or httpx2's
    if _is_wanted(request, wanted):
        add_headers(request.headers)
    else:
        remove_headers(request.headers)


def _remember(response: Any) -> None:  # noqa: ANN401 - httpx's or httpx2's
    # A call that failed caused nothing: what follows it was caused by what caused it.
    scope = current_scope()
    if scope is not None and response.status_code < _FIRST_FAILURE:
        scope.remember(response.headers)
