"""
A running proxy's own routes for break-glass, asked as any client with a key asks.

Errors  None: a proxy that refuses, or that cannot be reached, is an answer that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx

_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class ProxyAnswer:
    """What one proxy said."""

    proxy: str
    status: int | None
    """HTTP status; None where nobody answered."""
    activation: Mapping[str, Any] | None = None
    message: str = ""
    """What it said instead, or why it could not be reached."""


def ask_proxy(
    proxy: str, override_id: str, action: str, wish: Mapping[str, Any], key: str
) -> ProxyAnswer:
    """Ask one proxy to `activate` or to `end`; the key goes nowhere but into the header."""
    url = f"{proxy.rstrip('/')}/tallygate/overrides/{quote(override_id, safe='')}/{action}"
    try:
        answer = httpx.post(
            url, json=wish, headers={"authorization": f"Bearer {key}"}, timeout=_TIMEOUT_S
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return ProxyAnswer(proxy, None, message=f"cannot be asked ({type(error).__name__})")
    try:
        content = answer.json()
    except ValueError:
        return ProxyAnswer(proxy, answer.status_code, message="answered something else than JSON")
    if answer.status_code == httpx.codes.OK and isinstance(content, dict):
        return ProxyAnswer(proxy, answer.status_code, activation=content)
    return ProxyAnswer(proxy, answer.status_code, message=_message_in(content))


def _message_in(content: object) -> str:
    error = content.get("error") if isinstance(content, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) else "gave no reason"
