"""
A breaker: after several questions in a row that nobody answered, the next ones are not asked.

    closed ── 5 unanswered in a row ──► open ── 1 s ──► one question is let through
       ▲                                 ▲                    │ unanswered
       └───────────── answered ──────────┼────────────────────┘
                                         └── the others meanwhile fail at once

Exact  What counts is silence. An answer that says no, or that cannot be used, came from a server
       that is there; if it counted, one caller's odd question could shut out everybody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tallygate.errors import EngineFailed

UNANSWERED_TO_OPEN: Final = 5
OPEN_S: Final = 1.0


class Unanswered(EngineFailed):
    """Nothing came back: no connection, no answer in time, or a gateway in between said so."""


class Breaker:
    """Guards one server. For one event loop, as everything that is asked with `await`."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._unanswered = 0
        self._closed_again_at = 0.0
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether questions are held back, but for one now and then."""
        return self._unanswered >= UNANSWERED_TO_OPEN

    @contextmanager
    def around(self) -> Iterator[None]:
        """Let a question through or raise Unanswered; what is raised inside is what came of it."""
        is_probe = self.is_open
        if is_probe and (self._is_probing or self._now() < self._closed_again_at):
            raise Unanswered("the OPA server has not answered lately, so it was not asked.")
        self._is_probing = self._is_probing or is_probe
        try:
            yield
        except Unanswered:
            self._unanswered += 1
            self._closed_again_at = self._now() + OPEN_S
            raise
        except EngineFailed:
            self._unanswered = 0
            raise
        else:
            self._unanswered = 0
        finally:
            if is_probe:  # also when the client went away and its question with it
                self._is_probing = False
