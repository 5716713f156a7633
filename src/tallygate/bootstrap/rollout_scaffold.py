"""
The shipped plan, with the services and dates of this folder and this ledger put in.

Errors  PoliciesInvalid where the result would not pass the plan's own check.
"""

from __future__ import annotations

from tallygate.adapters.files.rollout_plans import PLAN
from tallygate.adapters.files.schemas import read_schema, schema_problems
from tallygate.adapters.files.starter import starter_policies
from tallygate.adapters.files.strict_yaml import parse_yaml
from tallygate.adapters.files.yaml_edits import Edit, Put, edited, read_text
from tallygate.adapters.stores.opening import StoredLedger
from tallygate.application.rollout_check import DOCUMENT, check_plan
from tallygate.application.rollout_ports import ModeInForce, TrafficFilter
from tallygate.application.rollout_scaffold import Scaffold, scaffold_plan
from tallygate.bootstrap.rollout import RolloutFolder, status_of
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.policy.rollout import StageName
from tallygate.errors import PoliciesInvalid


def scaffolded_plan(rollout: RolloutFolder, ledger: StoredLedger, wanted: TrafficFilter) -> str:
    """Write the text of a first plan."""
    registry = rollout.policies.data["registry"]

    def modes_of(service: str) -> dict[str, ModeInForce]:
        return {
            environment: rollout.modes.mode_of(service, environment, wanted.until_ns)
            for environment in registry["environments"]
        }

    scaffold = scaffold_plan(
        status_of(rollout, ledger, wanted),
        registry["teams"],
        rollout.facts.quarantine_owner,
        modes_of,
    )
    approvers = rollout.policies.data["roles"].get("approvers", {}).get("overrides", ())
    text = edited(read_text(starter_policies() / PLAN), _edits(scaffold, approvers[:1]), str(PLAN))
    text += "".join(f"# {line}\n" for line in _waiting(scaffold))
    _require_sound(text, rollout, text_from_ns(wanted.until_ns))
    return text


def _edits(scaffold: Scaffold, approver: list[str]) -> list[Edit]:
    edits: list[Edit] = [Put(("reviews",), [])]
    edits += [Put(("exceptions_approver",), role) for role in approver]
    for name in StageName:
        path = ("stages", name.value)
        edits.append(Put((*path, "starts_at"), scaffold.starts_at[name]))
        edits.append(Put((*path, "ends_at"), scaffold.ends_at[name]))
        edits.append(Put((*path, "services"), list(scaffold.services[name])))
    return edits


def _waiting(scaffold: Scaffold) -> list[str]:
    if not scaffold.waiting:
        return []
    listed = [f"  {line.name}: {line.figures.total.calls:,} calls" for line in scaffold.waiting]
    return ["", "On no stage yet; put them under observe as the first ones leave it:", *listed]


def _require_sound(text: str, rollout: RolloutFolder, now: str) -> None:
    document = parse_yaml(text, str(PLAN))
    schema = read_schema(starter_policies() / "schemas" / "rollout.json")
    found = schema_problems(document, schema)
    found += check_plan({**rollout.policies.documents, DOCUMENT: document}, now)
    errors = [problem for problem in found if problem.severity == "error"]
    if errors:
        raise PoliciesInvalid(errors)
