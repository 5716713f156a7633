from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.files.policies import PolicySet, read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.application.rollout_ports import ModeInForce
from tallygate.bootstrap.rollout_modes import AskedModes
from tallygate.domain.attribution.contract import registry_from_data
from tallygate.domain.kernel.instants import ns_from_text

ModeOf = Callable[..., ModeInForce]


@pytest.fixture(scope="module")
def shipped() -> PolicySet:
    return read_policies(starter_policies())


def mode_of(
    shipped: PolicySet, service: str, environment: str, at: str, **entry: Any
) -> ModeInForce:
    registry = shipped.data["registry"]
    services = {**registry["services"]}
    services[service] = {**services[service], **entry}
    data = {**shipped.data, "registry": {**registry, "services": services}}
    assert shipped.wasm is not None
    engine = EmbeddedEngine(shipped.wasm, data, shipped.revision)
    try:
        modes = AskedModes(engine, registry_from_data(data["registry"]))
        return modes.mode_of(service, environment, ns_from_text(at))
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("service", "environment", "at", "expected"),
    [
        ("support-assistant", "prod", "2026-11-21", ("enforce", "service_environment", 100, 100)),
        ("support-assistant", "dev", "2026-11-21", ("report_only", "service", 0, 0)),
        ("knowledge-search", "prod", "2026-11-30", ("report_only", "service", 0, 0)),
        ("knowledge-search", "prod", "2026-12-01", ("enforce", "schedule", 25, 100)),
        ("knowledge-search", "prod", "2027-01-15", ("enforce", "schedule", 100, 100)),
        ("knowledge-search", "dev", "2027-01-15", ("report_only", "service", 0, 0)),
        # Nobody whom the registry binds may speak for it in dev.
        ("billing-bot", "dev", "2026-11-21", ("report_only", "unbound", 0, 0)),
    ],
)
def test_the_shipped_policy_is_asked_for_each_share(
    shipped: PolicySet, service: str, environment: str, at: str, expected: tuple[Any, ...]
) -> None:
    found = mode_of(shipped, service, environment, f"{at}T00:00:00Z")

    assert (
        found.mode,
        found.source,
        found.workflows_percent,
        found.calls_percent,
    ) == expected
    assert found.is_whole == (expected[2] in (0, 100))


def test_two_shares_that_overlap_are_counted_by_bucket(shipped: PolicySet) -> None:
    schedule = [
        {"from": "2026-11-01T00:00:00Z", "mode": "enforce", "percent": 60},
        {"from": "2026-11-02T00:00:00Z", "mode": "report_only", "percent": 20},
    ]

    found = mode_of(shipped, "batch-summaries", "prod", "2026-11-21T00:00:00Z", schedule=schedule)

    assert (found.mode, found.workflows_percent) == ("enforce", 40)


def test_a_key_may_be_the_principal(shipped: PolicySet, tmp_path: Path) -> None:
    del tmp_path
    registry = shipped.data["registry"]
    keys = {"f" * 64: {"team": "team-finance", "environments": ["dev"]}}
    data = {
        **shipped.data,
        "registry": {**registry, "principals": {"teams": {}, "keys": keys}},
    }
    assert shipped.wasm is not None
    engine = EmbeddedEngine(shipped.wasm, data, shipped.revision)
    modes = AskedModes(engine, registry_from_data(data["registry"]))

    found = modes.mode_of("billing-bot", "dev", ns_from_text("2026-11-21T00:00:00Z"))

    engine.close()
    assert (found.mode, found.source) == ("enforce", "service")
