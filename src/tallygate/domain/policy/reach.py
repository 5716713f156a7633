"""
What a principal may speak for, as far as the gate can tell without asking the policy.

Source  policies/tallygate/admission/binding.rego, which decides; what is told here serves the gate
        when it is blind, and tells it which parts of a question can matter.
"""

from __future__ import annotations

from collections.abc import Mapping

from tallygate.domain.attribution.contract import Binding, Contract, Registry


def may_speak_for(
    service: str, binding: Binding | None, contract: Contract, registry: Registry
) -> bool:
    """Whether a registered service is one of the principal's."""
    entry = registry.services.get(service)
    if entry is None:
        return False
    if binding is None:
        return service in contract.unbound_services or "*" in contract.unbound_services
    if binding.services:
        return service in binding.services
    return entry.get("owner_team") in {binding.team, *binding.may_charge}


def may_charge(team: str, binding: Binding | None, registry: Registry) -> bool:
    """Whether a registered team is one that the principal may bill."""
    return _is_payer(team, binding) and team in registry.values["owner_team"]


def is_inside(
    claims: Mapping[str, str], binding: Binding | None, contract: Contract, registry: Registry
) -> bool:
    """Whether the service is the principal's, and no registered team or environment is not."""
    if not may_speak_for(claims.get("service", ""), binding, contract, registry):
        return False
    if binding is None:
        return True
    team, environment = claims.get("owner_team", ""), claims.get("environment", "")
    # The registry's teams last: there may be thousands, and most claims are the principal's own.
    if not _is_payer(team, binding) and team in registry.values["owner_team"]:
        return False
    known = registry.values["environment"]
    return environment in (binding.environments or known) or environment not in known


def _is_payer(team: str, binding: Binding | None) -> bool:
    return binding is None or team == binding.team or team in binding.may_charge


def canary_matters(
    claims: Mapping[str, str], binding: Binding | None, contract: Contract, registry: Registry
) -> bool:
    """
    Whether the policy may look at the call's own bucket.

    Only then does the question hold it: a hundred buckets are a hundred questions to remember.
    """
    if not registry.canaries or (binding is None and contract.unbound_mode != "by_service"):
        return False
    if is_inside(claims, binding, contract, registry):
        return claims["service"] in registry.canaries
    return any(may_speak_for(name, binding, contract, registry) for name in registry.canaries)
