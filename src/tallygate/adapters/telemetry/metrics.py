"""
Metrics for Prometheus, by its own client.

They stand in the client's default registry, which LiteLLM's `prometheus` callback serves under
/metrics, so whoever scrapes that has them; /tallygate/metrics serves them alone.

Exact   With several workers, PROMETHEUS_MULTIPROC_DIR (LiteLLM's own convention) adds them up, and
        gauges carry the worker's `pid`. Without it a scrape shows the worker that it reached.
        Labels are bounded: services that the registry knows, and words of the gate's own.
Source  prometheus_client decides at its import whether it runs in multiprocess mode.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from typing_extensions import override

from tallygate.adapters.telemetry.override_metrics import OverrideMetrics
from tallygate.application.reloading import InForce, Outcome
from tallygate.domain.ledger.events import DecisionFacts
from tallygate.domain.policy.terms import OverrideTerm

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
OTHER: Final = "other"
"""Stands for a service that the registry does not know: anybody may write anything there."""
_PREFIX: Final = "tallygate_"
_UNAVAILABLE: Final = "unavailable"
_SECONDS: Final = (0.00001, 0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0)
_GAUGE_FILE: Final = re.compile(r"gauge_live\w*_(\d+)\.db")


class PrometheusMetrics:
    """The gate's metrics of this process."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        folder = _shared_folder()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._is_shared = folder is not None
        self._policy = Gauge(
            "tallygate_policy_info",
            "1 for the policy revision that decides.",
            ("revision",),
            registry=registry,
            multiprocess_mode="liveall",
        )
        self._loaded_at = Gauge(
            "tallygate_policy_loaded_timestamp_seconds",
            "When the policy that decides was put in force.",
            registry=registry,
            multiprocess_mode="liveall",
        )
        self._reloads = Counter(
            "tallygate_policy_reloads",
            "Looks at a policies folder that had changed, by what came of them.",
            ("result",),
            registry=registry,
        )
        self._refused = Gauge(
            "tallygate_policy_reload_refused",
            "1 while the content of the policies folder is refused.",
            registry=registry,
            multiprocess_mode="liveall",
        )
        self._decisions = Counter(
            "tallygate_decisions",
            "Decisions about governed calls.",
            ("service", "mode", "action", "would_action", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "tallygate_decision_seconds",
            "Time from the claims to the decision.",
            registry=registry,
            buckets=_SECONDS,
        )
        self._unavailable = Counter(
            "tallygate_decision_unavailable",
            "Calls about which no decision could be had.",
            registry=registry,
        )
        self._uncounted = Gauge(
            "tallygate_spool_uncounted",
            "Attempts that passed without a record, because the spool had no room.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._overrides = OverrideMetrics(registry, is_shared=self._is_shared)
        for outcome in Outcome:
            self._reloads.labels(outcome.value)
        # Looking a label up costs more than counting, and there are few combinations.
        self._counter_of = cache(self._decisions.labels)
        self._revision = ""

    def decided(self, decision: DecisionFacts, service: str | None) -> None:
        shown = service or OTHER
        self._overrides.decided(decision, shown)
        self._counter_of(
            shown,
            decision.mode,
            decision.action,
            decision.would_action,
            decision.status,
        ).inc()
        self._seconds.observe(decision.latency_us / 1e6)
        if decision.status == _UNAVAILABLE:
            self._unavailable.inc()

    def terms(self, terms: Iterable[OverrideTerm], at_ns: int) -> None:
        self._overrides.terms(terms, at_ns)

    def policy_in_force(self, in_force: InForce) -> None:
        if self._revision not in ("", in_force.revision):
            if self._is_shared:
                self._policy.labels(self._revision).set(0)  # it cannot be removed there
            else:
                self._policy.remove(self._revision)
        self._revision = in_force.revision
        self._policy.labels(in_force.revision).set(1)
        self._loaded_at.set(in_force.loaded_at_ns / 1e9)

    def policies_refused(self, *, is_refused: bool) -> None:
        self._refused.set(int(is_refused))

    def looked_at_policies(self, outcome: Outcome) -> None:
        self._reloads.labels(outcome.value).inc()

    def uncounted(self, attempts: int) -> None:
        self._uncounted.set(attempts)

    def close(self) -> None:
        """Take this worker's gauges out of what the other workers serve."""
        if self._is_shared:
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]  # the library has no types here


@cache
def metrics_of_process() -> PrometheusMetrics:
    """Return the one set that a process may register."""
    return PrometheusMetrics()


def exposition(registry: CollectorRegistry = REGISTRY) -> bytes:
    """Write tallygate's metrics, of all workers where they share a folder, in Prometheus' text."""
    folder = _shared_folder()
    if folder is None:
        return generate_latest(_only_ours(registry))
    _forget_dead_workers(folder)
    whole = CollectorRegistry()
    MultiProcessCollector(whole)  # type: ignore[no-untyped-call]  # as above
    return generate_latest(_only_ours(whole))


def is_shared() -> bool:
    """Whether workers add their numbers up."""
    return _shared_folder() is not None


def _shared_folder() -> Path | None:
    named = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(named) if named else None


class _Ours(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    @override
    def collect(self) -> Iterator[Metric]:
        return (metric for metric in self._registry.collect() if metric.name.startswith(_PREFIX))


def _only_ours(registry: CollectorRegistry) -> CollectorRegistry:
    ours = CollectorRegistry(auto_describe=False)
    ours.register(_Ours(registry))
    return ours


def _forget_dead_workers(folder: Path) -> None:
    """Take out the gauges of workers that were killed; under uvicorn nobody else does."""
    for pid in {
        int(found[1]) for file in folder.iterdir() if (found := _GAUGE_FILE.fullmatch(file.name))
    }:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # as above
        except PermissionError:
            continue  # it lives
