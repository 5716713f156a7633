"""
A fresh decision and a remembered one, over a large registry.

    python bench/decision.py [--teams 5000] [--services 500] [--overrides 500] [--rounds 3000]

Fresh: the embedded engine's `decide`, questions that differ each time. Remembered: key, lookup
and the check of the boundary. Both on one thread, as the gate asks them on the event loop.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import verify_compiled
from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.domain.kernel.digests import canonical_json
from tallygate.domain.policy.memory import RememberedDecisions


def large_data(small: dict[str, Any], teams: int, services: int, overrides: int) -> dict[str, Any]:
    since = "2026-01-01T00:00:00Z"
    entry = {"cost_center": "CC-1", "business_unit": "unit-1", "from": since}
    ids = [f"team-{n:05}" for n in range(teams)]
    names = [f"service-{n:04}" for n in range(services)]
    registry = {
        **small["registry"],
        "teams": {team: {"name": team, "cost_centers": [entry]} for team in ids},
        "services": {
            name: {
                "owner_team": ids[n % teams],
                "modes": {"default": "report_only", "prod": "enforce"},
                "schedule": [{"from": "2027-01-01T00:00:00Z", "mode": "enforce", "percent": 50}],
            }
            for n, name in enumerate(names)
        },
        "principals": {"teams": {f"llm-{team}": {"team": team} for team in ids}, "keys": {}},
    }
    excused = {
        "codes": ["ownership_missing"],
        "fields": ["feature"],
        "starts_at": "2026-11-01T00:00:00Z",
        "expires_at": "2026-12-31T00:00:00Z",
        "requested_by": "service-lead",
        "approved_by": "finops-lead",
        "reason": "a load to measure",
        "ticket": "B-1",
    }
    return {
        **small,
        "registry": registry,
        "overrides": {
            names[n % services]: {f"ovr-{n:05}": excused} for n in range(min(overrides, services))
        },
    }


def question(number: int, services: int, teams: int) -> dict[str, Any]:
    service = number % services
    team = service % teams
    return {
        "call": {
            "route": "/v1/chat/completions",
            "call_type": "acompletion",
            "model_group": "standard",
            "stream": False,
        },
        "ownership": {
            "owner_team": f"team-{team:05}",
            "service": f"service-{service:04}",
            "environment": "prod",
            "workflow_id": f"workflow-{number}",
        },
        "sources": {"owner_team": "header", "service": "header", "environment": "header"},
        "shapes": {"tenant_id_hash": "ok", "user_id_hash": "absent", "trace_id": "received"},
        "conflicts": [],
        "malformed": [],
        "principal": {"team": f"llm-team-{team:05}", "key": ""},
        "bucket": number % 100,
        "now": "2026-11-21T10:00:00Z",
    }


def measure(ask: Callable[[dict[str, Any]], object], questions: list[dict[str, Any]]) -> list[int]:
    for one in questions[:50]:
        ask(one)
    gc.collect()
    taken: list[int] = []
    for one in questions:
        before = time.perf_counter_ns()
        ask(one)
        taken.append(time.perf_counter_ns() - before)
    return sorted(taken)


def row(name: str, taken: list[int], wanted: str) -> str:
    p50, p99 = statistics.median(taken), taken[len(taken) * 99 // 100]
    return f"{name:<22}{p50 / 1e6:>10.4f}{p99 / 1e6:>10.4f}{taken[-1] / 1e6:>10.3f}   {wanted}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("teams", 5000), ("services", 500), ("overrides", 500), ("rounds", 3000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    policies = read_policies(starter_policies())
    wasm = verify_compiled(policies.rego, policies.wasm, policies.lock)
    data = large_data(dict(policies.data), asked.teams, asked.services, asked.overrides)
    before = time.perf_counter()
    engine = EmbeddedEngine(wasm, data, "bench")
    loaded = time.perf_counter() - before
    questions = [question(n, asked.services, asked.teams) for n in range(asked.rounds)]
    sample = engine.decide(questions[0])
    assert sample["action"] == "admit", sample
    assert sample["waived"], sample

    memory: RememberedDecisions[Any] = RememberedDecisions(asked.rounds)
    fresh = measure(engine.decide, questions)
    for one in questions:
        memory.remember("bench", one, sample, "9999-12-31T23:59:59Z")
    hits = measure(lambda one: memory.recall("bench", one), questions)
    assert all(memory.recall("bench", one) is not None for one in questions)

    size = len(canonical_json(data)) / 1e6
    print(
        f"{asked.teams} teams, {asked.services} services, {asked.overrides} overrides"
        f" ({size:.2f} MB of data, loaded in {loaded:.2f} s), {asked.rounds} questions"
    )
    print(f"{'milliseconds':<22}{'p50':>10}{'p99':>10}{'worst':>10}   wanted")
    print(row("fresh decision", fresh, "p50 <= 0.7"))
    print(row("remembered decision", hits, "p50 <= 0.02"))


if __name__ == "__main__":
    main()
