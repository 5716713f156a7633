"""
Which call an official client repeats: the clients of OpenAI and Anthropic retry by themselves.

They send the same body again with `x-stainless-retry-count` raised. A call that ended in a way that
they retry is remembered for a few minutes by a digest of who asked what, and linked when it comes
again to this process. The digest never leaves the process.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

import orjson

from tallygate.domain.kernel.instants import NS_PER_SECOND
from tallygate.proxy.state import CallState

_KEPT: Final = 1_000
_LONGEST_NS: Final = 300 * NS_PER_SECOND
_RETRIED: Final = frozenset({0, 408, 409, 429})
"""Statuses below 500 that the clients retry; 0 stands for no answer at all."""


class ClientRetries:
    """Remembers calls that their clients will probably repeat."""

    def __init__(self) -> None:
        self._ended: OrderedDict[bytes, tuple[str, int]] = OrderedDict()

    def call_before(self, state: CallState, body: object) -> str | None:
        """Find the call that this one repeats."""
        if state.client_retry_count == 0:
            return None
        found = self._ended.get(_digest(state, body))
        if found is None or state.started_at_ns - found[1] > _LONGEST_NS:
            return None
        return found[0]

    def ended(self, state: CallState, body: object) -> None:
        """Remember how a call ended, if its client is likely to come again."""
        status = state.answered_status
        if body is None or not (status in _RETRIED or status >= 500):
            return
        self._ended[_digest(state, body)] = state.call_id, state.started_at_ns
        while len(self._ended) > _KEPT:
            self._ended.popitem(last=False)


def _digest(state: CallState, body: object) -> bytes:
    asked = orjson.dumps(body, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
    who = f"{state.principal.key_hash}\n{state.rule.pattern}\n".encode()
    return hashlib.sha256(who + asked).digest()
