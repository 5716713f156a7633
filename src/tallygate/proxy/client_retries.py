"""
Which call an official client repeats: the clients of OpenAI and Anthropic retry by themselves.

They send the same body again with `x-stainless-retry-count` raised. A call that ended in a way that
they retry is remembered for a few minutes by a digest of who asked what, and linked when it comes
again to this process. The digest never leaves the process.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import orjson

from tallygate.domain.kernel.instants import NS_PER_SECOND
from tallygate.proxy.state import CallState

_KEPT: Final = 1_000
_LONGEST_NS: Final = 300 * NS_PER_SECOND
_RETRIED: Final = frozenset({0, 408, 409, 429})
"""Statuses below 500 that the clients retry; 0 stands for no answer at all."""


_ASKED: Final = (
    *("model", "messages", "input", "prompt", "contents", "query", "documents", "instructions"),
    *("system", "tools", "max_tokens", "max_completion_tokens", "temperature", "stream"),
)
"""What is the client's own in a body; LiteLLM writes ids and instants of its own beside it."""
_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


class ClientRetries:
    """Remembers calls that their clients will probably repeat."""

    def __init__(self) -> None:
        self._ended: OrderedDict[bytes, tuple[str, int]] = OrderedDict()

    def call_before(self, state: CallState, body: object) -> str | None:
        """Note what an official client asks, and find the call that it repeats with this one."""
        if state.client_retry_count is None or not isinstance(body, Mapping):
            return None
        try:
            state.asked = _digest(state, body)
        except (TypeError, ValueError, RecursionError):  # nested too deeply to be told from others
            return None
        found = self._ended.get(state.asked) if state.client_retry_count else None
        if found is None or state.started_at_ns - found[1] > _LONGEST_NS:
            return None
        return found[0]

    def ended(self, state: CallState) -> None:
        """Remember how a call ended, if its client is likely to come again."""
        status = state.answered_status
        if state.asked is None or not (status in _RETRIED or status >= 500):
            return
        self._ended[state.asked] = state.call_id, state.started_at_ns
        while len(self._ended) > _KEPT:
            self._ended.popitem(last=False)


def _digest(state: CallState, body: Mapping[str, Any]) -> bytes:
    asked = orjson.dumps([body.get(name) for name in _ASKED], option=_OPTIONS, default=str)
    who = f"{state.principal.key_hash}\n{state.rule.pattern}\n".encode()
    return hashlib.sha256(who + asked).digest()
