"""
What the gate writes of an attempt, in order: opened, settled once, corrected at most once.

Errors  A spool that takes nothing is counted (`line.uncounted`) and logged; the call goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tallygate.application.flow import RequestLine
from tallygate.domain.ledger.events import Outcome, Status
from tallygate.errors import SpoolError
from tallygate.proxy.state import Attempt, CallState

log = logging.getLogger("tallygate.proxy")

SETTLED_LATE: Final = "settled_late"
NO_OUTCOME: Final = "no_outcome_seen"


class Recorder:
    """The way of every attempt into the spool."""

    def __init__(self, line: RequestLine) -> None:
        self.line = line
        self.lingering: set[CallState] = set()
        """Calls whose response has ended before all of their attempts."""

    def now_ns(self) -> int:
        return self.line.clock.now_ns()

    def open(self, attempt: Attempt) -> None:
        """Write that it goes out now."""
        assert attempt.facts is not None, "only what is sent is opened"
        assert attempt.admission is not None, "nothing is sent before it was decided"
        attempt.event = self.line.open(attempt.admission, attempt.facts)
        call = attempt.call
        if call is not None and call.ended_at_ns is not None:
            self.lingering.add(call)  # made after the response, by a logging callback, say

    def settle(self, attempt: Attempt, outcome: Outcome) -> None:
        """Write how it ended; after it was given up, as the correction of that."""
        event = attempt.event
        assert event is not None, "only what went on the wire is settled"
        outcome = _with_what_was_seen(outcome, attempt)
        if not attempt.settled:
            attempt.settled = True
            self.write(lambda: self.line.settle(event, outcome))
        elif attempt.given_up:
            attempt.given_up = False
            late = replace(outcome, detail=SETTLED_LATE)
            self.write(lambda: self.line.settle_late(event, late))

    def give_up(self, state: CallState, attempt: Attempt, now_ns: int) -> None:
        """Write that nobody has said how it ended; what comes after all is a correction."""
        status, seen = Status.UNKNOWN, attempt.provider_status
        if seen is not None and seen >= 400:  # LiteLLM before 1.100 tells of one failed try only
            status = Status.ERROR
        elif state.client_gone:
            status = Status.CANCELLED
        outcome = Outcome(status=status, settled_at_ns=now_ns, http_status=seen, detail=NO_OUTCOME)
        self.settle(attempt, outcome)
        attempt.given_up = True

    def write(self, append: Callable[[], None]) -> bool:
        """Append; returns whether the spool took it."""
        try:
            append()
        except (SpoolError, OSError) as error:
            self.line.uncounted += 1
            log.error(  # noqa: TRY400 - the error's text may hold a path, never the traceback
                "settlement_not_written", extra={"error": type(error).__name__}
            )
            return False
        return True


def _with_what_was_seen(outcome: Outcome, attempt: Attempt) -> Outcome:
    """Add the provider's own request id and status, where LiteLLM's objects do not say them."""
    return replace(
        outcome,
        provider_request_id=attempt.provider_request_id or outcome.provider_request_id,
        http_status=outcome.http_status
        if outcome.http_status is not None
        else attempt.provider_status,
    )
