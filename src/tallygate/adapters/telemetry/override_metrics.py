"""
Metrics of overrides for Prometheus: calls that passed on one, and how many days each has left.

Exact   Labels are bounded: services that the registry knows, and ids of the policy. With several
        workers PROMETHEUS_MULTIPROC_DIR adds them up; without it a scrape shows one.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from tallygate.domain.kernel.instants import NS_PER_DAY
from tallygate.domain.ledger.events import DecisionFacts
from tallygate.domain.policy.decision import Action
from tallygate.domain.policy.terms import OverrideTerm


class OverrideMetrics:
    """The part of the process's metrics that is about overrides."""

    def __init__(self, registry: CollectorRegistry, *, is_shared: bool) -> None:
        self._is_shared = is_shared
        self._calls = Counter(
            "tallygate_override_calls",
            "Governed calls that passed with something waived, by what waived it.",
            ("service", "override"),
            registry=registry,
        )
        self._days = Gauge(
            "tallygate_override_days_left",
            "Days until an override, or an activation of break-glass, ends; 0 once it has.",
            ("service", "override"),
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._shown: set[tuple[str, str]] = set()

    def decided(self, decision: DecisionFacts, service: str) -> None:
        """Count a call; `service` is one that the registry knows, or stands for all others."""
        if decision.waived and decision.action != Action.REJECT.value:
            for override in sorted({each["override"] for each in decision.waived}):
                self._calls.labels(service, override).inc()

    def terms(self, terms: Iterable[OverrideTerm], at_ns: int) -> None:
        """Say how long each holds that has begun; what is not among them any more is left out."""
        shown = {
            (each.service, each.override_id): left_ns
            for each in terms
            if (left_ns := each.left_ns(at_ns)) is not None
        }
        for labels, left_ns in shown.items():
            self._days.labels(*labels).set(left_ns / NS_PER_DAY)
        for labels in self._shown - shown.keys():
            if self._is_shared:
                self._days.labels(*labels).set(0)  # it cannot be removed there
            else:
                self._days.remove(*labels)
        self._shown = set(shown)
