"""
What a replay of recorded calls needs from the world.

The port has one contract suite in tests/contract, which every adapter and its fake must pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCalls:
    """Calls that were asked about in the same words and decided alike, as one line."""

    input_digest: str | None
    """Of the recorded input; None where the line is older than that, or was decided blind."""
    call_bucket: int | None
    """None unless it was asked for."""
    span: int
    """Between which of the cuts the calls came in: 0 is before the first."""
    service: str | None
    owner_team: str | None
    environment: str | None
    action: str
    would_action: str
    mode: str
    calls: int
    """Calls with an attempt, each once, and refused calls; usage that came apart adds none."""
    cost: Decimal
    """Corrections included; what is unpriced is counted beside it."""
    unpriced: int
    """Events without a cost that nothing has corrected since."""
    first_at_ns: int
    """When the earliest of the calls came in."""
    last_at_ns: int
    samples: tuple[str, ...]
    """Ids of at most three of the decisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLine:
    """One decision as it was recorded, with what it was about."""

    decision_id: str
    decided_at_ns: int
    """When the call came in."""
    input_digest: str | None
    call_bucket: int | None
    recorded: Mapping[str, Any] | None
    """The recorded input; None where there is none, or it has not reached the ledger yet."""
    event: Mapping[str, Any]
    """The earliest event of the decision, as a row; of a file, what it says of its group."""


class DecisionLines(Protocol):
    """Recorded decisions, grouped, and the inputs that they were about."""

    def recorded_calls(
        self,
        since_ns: int | None,
        until_ns: int | None,
        *,
        by_call_bucket: bool,
        cuts_ns: Sequence[int] = (),
    ) -> Iterator[RecordedCalls]:
        """
        Group the events that occurred in the half-open time.

        `cuts_ns` ascend; calls on either side of one are never of one group. Groups that differ
        in `call_bucket` alone come one after the other.
        """
        ...

    def decision_inputs(
        self, digests: Collection[str] | None = None
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Read recorded inputs by digest, those that are there; None asks for all."""
        ...

    def decision_line(self, decision_id: str) -> DecisionLine | None:
        """Find a decision; a file knows those only that are samples in it."""
        ...
