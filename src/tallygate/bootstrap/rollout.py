"""
The rollout's wiring: the policies folder, the plan in it, the engine and the ledger together.

Errors  PoliciesInvalid, EngineError and LedgerError leave it as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallygate.adapters.engines.loading import load_engine
from tallygate.adapters.files.policies import PolicySet, read_policies
from tallygate.adapters.files.rollout_plans import read_plan
from tallygate.adapters.files.strict_yaml import Document
from tallygate.adapters.stores.opening import StoredLedger
from tallygate.adapters.stores.rollout_queries import StoredTraffic
from tallygate.application.ports import PolicyEngine
from tallygate.application.rollout_check import DOCUMENT, check_plan
from tallygate.application.rollout_ports import TrafficFilter
from tallygate.application.rollout_status import RolloutFacts, RolloutStatus, rollout_status
from tallygate.bootstrap.rollout_modes import AskedModes
from tallygate.domain.attribution.contract import registry_from_data
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.policy.rollout import plan_from_data
from tallygate.errors import PoliciesInvalid


@dataclass(frozen=True, slots=True)
class RolloutFolder:
    """A policies folder with what a rollout needs of it, and an engine that answers from it."""

    policies: PolicySet
    plan: Document | None
    facts: RolloutFacts
    engine: PolicyEngine
    modes: AskedModes


def open_rollout(folder: Path, at_ns: int) -> RolloutFolder:
    """Read folder and plan; a plan that does not hold together is PoliciesInvalid."""
    policies = read_policies(folder)
    plan = read_plan(folder)
    if plan is not None:
        found = check_plan({**policies.documents, DOCUMENT: plan}, text_from_ns(at_ns))
        errors = [problem for problem in found if problem.severity == "error"]
        if errors:
            raise PoliciesInvalid(errors)
    loaded = load_engine(lambda: policies, last_good=None)
    facts = facts_of(policies.data, plan)
    modes = AskedModes(loaded.engine, facts.registry)
    return RolloutFolder(policies, plan, facts, loaded.engine, modes)


def facts_of(data: Mapping[str, Any], plan: Document | None) -> RolloutFacts:
    """Take what is reviewed out of the policy data."""
    return RolloutFacts(
        registry=registry_from_data(data["registry"]),
        quarantine_owner=data["registry"].get("quarantine", {}).get("owner_team"),
        overrides=data["overrides"],
        plan=plan_from_data(plan.value) if plan is not None else None,
    )


def status_of(
    rollout: RolloutFolder,
    ledger: StoredLedger,
    wanted: TrafficFilter,
    service: str | None = None,
) -> RolloutStatus:
    """Hold the ledger's calls against the plan."""
    return rollout_status(rollout.facts, StoredTraffic(ledger), rollout.modes, wanted, service)
