"""The metrics as Prometheus reads them, in one process and added up over workers."""

from __future__ import annotations

import os
import subprocess
import sys
import timeit
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from tallygate.adapters.telemetry.metrics import PrometheusMetrics, exposition, metrics_of_process
from tallygate.application.reloading import InForce, Outcome
from tallygate.domain.ledger.events import DecisionFacts

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def decision(**changes: Any) -> DecisionFacts:
    said: dict[str, Any] = {
        "decision_id": "dec-1",
        "status": "decided",
        "action": "admit",
        "would_action": "reject",
        "mode": "report_only",
        "mode_source": "service",
        "latency_us": 300,
    }
    return DecisionFacts(**said | changes)


def samples(text: bytes) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_decisions_are_counted_by_service_and_what_was_done(registry: CollectorRegistry) -> None:
    metrics = PrometheusMetrics(registry)

    metrics.decided(decision(), "support-assistant")
    metrics.decided(decision(), "support-assistant")
    metrics.decided(decision(status="unavailable", latency_us=0), None)

    found = samples(exposition(registry))
    labels = {"mode": "report_only", "action": "admit", "would_action": "reject"}
    of_support = {**labels, "service": "support-assistant", "status": "decided"}
    of_nobody = {**labels, "service": "other", "status": "unavailable"}
    assert found["tallygate_decisions_total", tuple(sorted(of_support.items()))] == 2
    assert found["tallygate_decisions_total", tuple(sorted(of_nobody.items()))] == 1
    assert found["tallygate_decision_unavailable_total", ()] == 1
    assert found["tallygate_decision_seconds_count", ()] == 3
    assert found["tallygate_decision_seconds_sum", ()] == pytest.approx(0.0006)


def test_only_the_revision_in_force_has_a_series(registry: CollectorRegistry) -> None:
    metrics = PrometheusMetrics(registry)
    for number in (1, 2):
        in_force = InForce(revision=f"r{number}", content="c", loaded_at_ns=number * 10**9)
        metrics.policy_in_force(in_force)

    found = samples(exposition(registry))
    assert [labels for name, labels in found if name == "tallygate_policy_info"] == [
        (("revision", "r2"),)
    ]
    assert found["tallygate_policy_loaded_timestamp_seconds", ()] == 2


def test_reloads_are_there_from_the_start_and_counted_by_result(
    registry: CollectorRegistry,
) -> None:
    metrics = PrometheusMetrics(registry)
    metrics.looked_at_policies(Outcome.REFUSED)
    metrics.policies_refused(is_refused=True)
    metrics.uncounted(3)

    found = samples(exposition(registry))
    assert {
        labels[0][1]: value
        for (name, labels), value in found.items()
        if name == "tallygate_policy_reloads_total"
    } == {"loaded": 0, "refused": 1, "unchanged": 0, "failed": 0}
    assert found["tallygate_policy_reload_refused", ()] == 1
    assert found["tallygate_spool_uncounted", ()] == 3


def test_a_process_registers_them_once_and_litellm_serves_them_too() -> None:
    assert metrics_of_process() is metrics_of_process()
    assert b"tallygate_policy_reloads_total" in exposition()
    assert b"python_gc_objects" not in exposition()


def test_counting_costs_a_call_next_to_nothing(registry: CollectorRegistry) -> None:
    """Some 3 µs on the machine of the bench; the bound is for any other."""
    metrics, said = PrometheusMetrics(registry), decision()

    taken = min(timeit.repeat(lambda: metrics.decided(said, "a-service"), number=2000, repeat=5))

    assert taken / 2000 < 50e-6


WORKER = """
import sys
from tallygate.adapters.telemetry.metrics import metrics_of_process, exposition
from tallygate.application.reloading import InForce
from tallygate.domain.ledger.events import DecisionFacts
metrics = metrics_of_process()
metrics.policy_in_force(InForce(revision=sys.argv[1], content="c", loaded_at_ns=10**9))
decision = DecisionFacts(decision_id="d", status="decided", action="admit", would_action="admit",
                         mode="enforce", mode_source="service")
metrics.decided(decision, "a-service")
metrics.uncounted(2)
print("ready", flush=True)
sys.stdin.readline()
if sys.argv[2] == "closes":
    metrics.close()
sys.stdout.write(exposition().decode())
"""


def test_workers_add_up_in_a_shared_folder_and_the_dead_ones_gauges_go(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "by us"
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, f"r{number}", end],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        for number, end in ((1, "closes"), (2, "stays"), (3, "is killed"))
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
    closing, staying, killed = workers
    killed.kill()
    killed.communicate()
    closing.communicate(b"\n")

    out, _ = staying.communicate(b"\n")

    found = samples(out)
    assert sum(v for (name, _), v in found.items() if name == "tallygate_decisions_total") == 3
    gauges = [dict(labels) for name, labels in found if name == "tallygate_policy_info"]
    assert gauges == [{"pid": str(staying.pid), "revision": "r2"}]
    assert found["tallygate_spool_uncounted", ()] == 2
