"""What the gate counts while it runs, for whoever watches it; never for the books."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tallygate.application.reloading import InForce, Outcome
from tallygate.domain.ledger.events import DecisionFacts
from tallygate.domain.policy.terms import OverrideTerm


class Metrics(Protocol):
    """Takes numbers; whatever becomes of them, a call is never held up or failed by it."""

    def decided(self, decision: DecisionFacts, service: str | None) -> None:
        """Count a governed call's decision; `service` is one that the registry knows, or None."""
        ...

    def terms(self, terms: Iterable[OverrideTerm], at_ns: int) -> None:
        """Tell from when until when overrides and activations hold."""
        ...

    def policy_in_force(self, in_force: InForce) -> None: ...

    def policies_refused(self, *, is_refused: bool) -> None:
        """Tell whether what lies in the policies folder is refused just now."""
        ...

    def looked_at_policies(self, outcome: Outcome) -> None:
        """Count a look at the folder after something in it had changed."""
        ...

    def uncounted(self, attempts: int) -> None:
        """Tell how many attempts passed without a record since the worker began."""
        ...

    def close(self) -> None:
        """Tell that this worker ends."""
        ...
