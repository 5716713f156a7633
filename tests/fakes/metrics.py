"""Metrics that a test can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tallygate.application.reloading import InForce, Outcome
from tallygate.domain.ledger.events import DecisionFacts
from tallygate.domain.policy.terms import OverrideTerm


class FakeMetrics:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.decisions: list[tuple[str, str | None]] = []
        self.revisions: list[str] = []
        self.looks: Counter[str] = Counter()
        self.is_refused = False
        self.uncounted_attempts = 0
        self.is_closed = False
        self.days_left: dict[str, int | None] = {}

    def decided(self, decision: DecisionFacts, service: str | None) -> None:
        self.decisions.append((decision.action, service))

    def terms(self, terms: Iterable[OverrideTerm], at_ns: int) -> None:
        self.days_left = {each.override_id: each.left_ns(at_ns) for each in terms}

    def policy_in_force(self, in_force: InForce) -> None:
        self.revisions.append(in_force.revision)

    def policies_refused(self, *, is_refused: bool) -> None:
        self.is_refused = is_refused

    def looked_at_policies(self, outcome: Outcome) -> None:
        self.looks[outcome.value] += 1

    def uncounted(self, attempts: int) -> None:
        self.uncounted_attempts = attempts

    def close(self) -> None:
        self.is_closed = True
