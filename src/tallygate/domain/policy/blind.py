"""
What the gate does when it cannot ask the policy.

An enforcing service is refused (503), a report-only one passes, and either way an event says so.
The table of modes comes from the last policy data that was good; fail_open is a reviewed choice.

Exact  On the strict side: shares are the policy's to work out, so a call gets the strictest mode of
       any share, and one that names what is not its principal's gets the strictest mode that the
       principal could be under. So the mode is never laxer than the policy's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tallygate.domain.attribution.contract import Binding, Contract, Registry
from tallygate.domain.attribution.ownership import Ownership
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.policy.decision import Action, Decision, Mode

_ALL: Final = 100
"""Percent."""


def decide_blind(
    ownership: Ownership,
    binding: Binding | None,
    contract: Contract,
    registry: Registry,
    at_ns: int,
) -> Decision:
    """Answer from the table alone."""
    service = ownership.values.get("service", "")
    mode = _mode(ownership, binding, contract, registry, text_from_ns(at_ns))
    fails_open = service in contract.fail_open and service in _services_of(
        binding, contract, registry
    )
    passes = mode is Mode.REPORT_ONLY or fails_open
    derived = {}
    if (team := ownership.values.get("owner_team")) and _may_charge(team, binding, registry):
        derived["owner_team"] = team
    return Decision(
        action=Action.ADMIT if passes else Action.REJECT,
        would_action=Action.REJECT if mode is Mode.ENFORCE else Action.ADMIT,
        mode=mode,
        mode_source="blind",
        ownership=derived,
    )


def _may_charge(team: str, binding: Binding | None, registry: Registry) -> bool:
    if team not in registry.values["owner_team"]:
        return False
    return binding is None or team == binding.team or team in binding.may_charge


def _mode(
    ownership: Ownership, binding: Binding | None, contract: Contract, registry: Registry, now: str
) -> Mode:
    if binding is None and contract.unbound_mode != "by_service":
        return _strict(contract.unbound_mode)
    claimed = ownership.values.get("service", "")
    reachable = _services_of(binding, contract, registry)
    inside = claimed in reachable and not _names_what_is_not_its_own(ownership, binding, registry)
    services = (claimed,) if inside else reachable
    modes = {
        _mode_of(registry.services[service], environment, contract, now)
        for service in services
        for environment in _environments_of(ownership, binding, registry)
    }
    if not modes:
        return _strict(contract.default_mode)
    return Mode.ENFORCE if Mode.ENFORCE in modes else Mode.REPORT_ONLY


def _names_what_is_not_its_own(
    ownership: Ownership, binding: Binding | None, registry: Registry
) -> bool:
    """Whether a registered team or environment is claimed that is not the principal's."""
    if binding is None:
        return False
    team, environment = ownership.values.get("owner_team"), ownership.values.get("environment")
    return (team in registry.values["owner_team"] and not _may_charge(team, binding, registry)) or (
        environment in registry.values["environment"]
        and environment not in (binding.environments or registry.values["environment"])
    )


def _environments_of(
    ownership: Ownership, binding: Binding | None, registry: Registry
) -> tuple[str, ...]:
    """List the claimed one, or where that is not the principal's, all it could be."""
    known = registry.values["environment"]
    own = (binding.environments if binding else ()) or known
    claimed = ownership.values.get("environment", "")
    return (claimed,) if claimed in known and claimed in own else own


def _services_of(
    binding: Binding | None, contract: Contract, registry: Registry
) -> tuple[str, ...]:
    if binding is None:
        named = contract.unbound_services
        return tuple(name for name in registry.services if name in named or "*" in named)
    if binding.services:
        return tuple(service for service in binding.services if service in registry.services)
    teams = {binding.team, *binding.may_charge}
    return tuple(
        name for name, entry in registry.services.items() if entry.get("owner_team") in teams
    )


def _mode_of(entry: Mapping[str, Any], environment: str, contract: Contract, now: str) -> Mode:
    started = [
        step
        for step in entry.get("schedule", ())
        if step["from"] <= now and step.get("environment", environment) == environment
    ]
    decided = 0  # of 100 buckets, by newer steps
    for date in sorted({step["from"] for step in started}, reverse=True):
        steps = [step for step in started if step["from"] == date and _share(step) > decided]
        if any(_strict(step["mode"]) is Mode.ENFORCE for step in steps):
            return Mode.ENFORCE
        decided = max([decided, *(_share(step) for step in steps)])
    if decided >= _ALL:
        return Mode.REPORT_ONLY
    modes_by_environment = entry.get("modes", {})
    chosen = modes_by_environment.get(environment, modes_by_environment.get("default"))
    return _strict(chosen or contract.default_mode)


def _share(step: Mapping[str, Any]) -> int:
    return int(step.get("percent", _ALL))


def _strict(mode: str) -> Mode:
    """Read a mode; one that cannot be read is enforce."""
    return Mode.REPORT_ONLY if mode == Mode.REPORT_ONLY else Mode.ENFORCE
