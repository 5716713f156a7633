from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fakes.entries import NOON_NS, SECOND_NS, a_decision
from tallygate.adapters.telemetry.metrics import PrometheusMetrics
from tallygate.domain.policy.terms import OverrideTerm

DAY_NS = 86_400 * SECOND_NS
TERM = OverrideTerm("ovr-1", "support-assistant", NOON_NS, NOON_NS + 7 * DAY_NS)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> PrometheusMetrics:
    return PrometheusMetrics(registry)


def waived(*overrides: str, field: str = "feature") -> tuple[dict[str, str], ...]:
    return tuple({"code": "ownership_missing", "field": field, "override": o} for o in overrides)


def calls(registry: CollectorRegistry, override: str, service: str = "chat") -> float | None:
    labels = {"service": service, "override": override}
    return registry.get_sample_value("tallygate_override_calls_total", labels)


def days(registry: CollectorRegistry, override: str = "ovr-1") -> float | None:
    labels = {"service": "support-assistant", "override": override}
    return registry.get_sample_value("tallygate_override_days_left", labels)


def test_a_call_counts_once_for_each_override_that_it_passed_on(
    metrics: PrometheusMetrics, registry: CollectorRegistry
) -> None:
    twice = waived("ovr-1", "bg-1") + waived("ovr-1", field="workflow_id")

    metrics.decided(a_decision(waived=twice), "chat")
    metrics.decided(a_decision(waived=waived("ovr-1")), "chat")
    metrics.decided(a_decision(), "chat")

    assert calls(registry, "ovr-1") == 2
    assert calls(registry, "bg-1") == 1


def test_a_call_that_was_refused_all_the_same_passed_on_nothing(
    metrics: PrometheusMetrics, registry: CollectorRegistry
) -> None:
    metrics.decided(a_decision(action="reject", waived=waived("ovr-1")), "chat")

    assert calls(registry, "ovr-1") is None


def test_a_service_that_nobody_registered_is_no_label(
    metrics: PrometheusMetrics, registry: CollectorRegistry
) -> None:
    metrics.decided(a_decision(waived=waived("ovr-1")), None)

    assert calls(registry, "ovr-1", "other") == 1


@pytest.mark.parametrize(
    ("at_ns", "expected"),
    [
        pytest.param(NOON_NS - 1, None, id="before it begins"),
        pytest.param(NOON_NS, 7.0, id="as it begins"),
        pytest.param(NOON_NS + 6 * DAY_NS + DAY_NS // 2, 0.5, id="on the last day"),
        pytest.param(NOON_NS + 7 * DAY_NS, 0.0, id="as it ends"),
        pytest.param(NOON_NS + 30 * DAY_NS, 0.0, id="expired and still in the file"),
    ],
)
def test_days_left_run_down_to_nothing(
    metrics: PrometheusMetrics, registry: CollectorRegistry, at_ns: int, expected: float | None
) -> None:
    metrics.terms([TERM], at_ns)

    assert days(registry) == expected


def test_what_is_gone_from_the_policy_is_gone_from_the_metric(
    metrics: PrometheusMetrics, registry: CollectorRegistry
) -> None:
    metrics.terms([TERM], NOON_NS)
    metrics.terms([], NOON_NS + SECOND_NS)

    assert days(registry) is None


SHARED = """
import os
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from tallygate.adapters.telemetry.metrics import metrics_of_process
from tallygate.domain.policy.terms import OverrideTerm
metrics = metrics_of_process()
assert metrics is metrics_of_process()
metrics.terms([OverrideTerm("ovr-1", "chat", 0, 2 * 86_400_000_000_000)], 0)
metrics.terms([], 1)
whole = CollectorRegistry()
MultiProcessCollector(whole)
labels = {"service": "chat", "override": "ovr-1"}
print(whole.get_sample_value("tallygate_override_days_left", labels))
"""


def test_workers_that_share_a_folder_show_nothing_left_of_what_is_gone(tmp_path: Path) -> None:
    environment = {
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "made" / "when-needed"),
        "PYTHONPATH": str(Path(__file__).parents[4] / "src"),
    }

    done = subprocess.run(
        [sys.executable, "-c", SHARED],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "0.0"
