"""
What a question asks, read as the policy reads it, and where its principal stands in the registry.

Source  policies/tallygate/admission/question.rego and binding.rego.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tallygate.application.policy_places import Places
from tallygate.application.policy_review import Path
from tallygate.domain.attribution.contract import (
    Binding,
    Contract,
    Registry,
    contract_from_data,
    registry_from_data,
)
from tallygate.domain.kernel.instants import ns_from_text
from tallygate.domain.policy.reach import is_inside, may_charge, may_speak_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question and the world that it was asked in."""

    claims: Mapping[str, str]
    sources: Mapping[str, str]
    shapes: Mapping[str, str]
    conflicting: frozenset[str]
    malformed: frozenset[str]
    bucket: int
    call_bucket: int
    now: str
    activations: Mapping[str, tuple[str, str]]
    """Of break-glass: the entry's id to the instants at which it begins and ends."""
    principal: Path | None
    """The principal's entry in the registry; None where nothing binds it."""
    binding: Binding | None
    contract: Contract
    registry: Registry

    @property
    def service(self) -> str:
        return self.claims.get("service", "")

    @property
    def environment(self) -> str:
        return self.claims.get("environment", "")

    @property
    def owner_team(self) -> str:
        return self.claims.get("owner_team", "")

    @property
    def present(self) -> frozenset[str]:
        """The fields that the call filled in, rightly or wrongly."""
        shaped = {name for name, shape in self.shapes.items() if shape == "ok"}
        return frozenset({*self.claims, *shaped, *self.conflicting, *self.malformed})

    @property
    def is_inside(self) -> bool:
        return is_inside(self.claims, self.binding, self.contract, self.registry)

    @property
    def has_fixed_mode(self) -> bool:
        """Whether nothing binds the principal, and the contract has one mode for all such."""
        return self.principal is None and self.contract.unbound_mode != "by_service"

    def may_speak_for(self, service: str) -> bool:
        return may_speak_for(service, self.binding, self.contract, self.registry)

    def may_charge(self, team: str) -> bool:
        return may_charge(team, self.binding, self.registry)

    def own_environments(self) -> tuple[str, ...]:
        own = self.binding.environments if self.binding else ()
        return own or self.registry.values["environment"]

    def possible_environments(self) -> tuple[str, ...]:
        """Return the one that is named, or all that the principal could mean."""
        own = self.own_environments()
        is_known = self.environment in self.registry.values["environment"]
        return (self.environment,) if is_known and self.environment in own else own

    def services_in_question(self) -> tuple[str, ...]:
        """Return the one that is named, or where it is not the principal's, all that could be."""
        if self.is_inside:
            return (self.service,)
        if self.has_fixed_mode:
            return ()
        return tuple(name for name in self.registry.services if self.may_speak_for(name))


def asked_from(question: Mapping[str, Any], places: Places) -> Asked:
    """Read a question; what cannot be read is as if it were not there."""
    registry = registry_from_data(places.mapping("registry"))
    principal = _part(question, "principal")
    key, team = principal.get("key"), principal.get("team")
    path: Path | None = None
    binding: Binding | None = None
    if isinstance(key, str) and key in registry.bindings_by_key:
        path, binding = ("principals", "keys", key), registry.bindings_by_key[key]
    elif isinstance(team, str) and team in registry.bindings_by_team:
        path, binding = ("principals", "teams", team), registry.bindings_by_team[team]
    conflicting = _names(question.get("conflicts"))
    shapes = _texts(_part(question, "shapes"))
    misshapen = {name for name, shape in shapes.items() if shape == "malformed"}
    return Asked(
        claims={name: text for name, text in _texts(_part(question, "ownership")).items() if text},
        sources=_texts(_part(question, "sources")),
        shapes=shapes,
        conflicting=conflicting,
        malformed=frozenset({*_names(question.get("malformed")), *misshapen}) - conflicting,
        bucket=_place_in_share(question.get("bucket")),
        call_bucket=_place_in_share(question.get("call_bucket")),
        now=_instant(question.get("now")),
        activations=dict(_activations(question.get("activations"))),
        principal=path,
        binding=binding,
        contract=contract_from_data(places.mapping("contract")),
        registry=registry,
    )


def is_whole(question: Mapping[str, Any]) -> bool:
    """Whether every part that the gate gives is there and of its type."""
    return all(isinstance(question.get(name), kind) for name, kind in _PARTS.items()) and all(
        isinstance(text, str)
        for name in _TEXTS
        for part in (question[name],)
        for text in (part.values() if isinstance(part, dict) else part)
    )


_PARTS: Final = {
    "call": dict,
    "ownership": dict,
    "sources": dict,
    "shapes": dict,
    "conflicts": list,
    "malformed": list,
    "principal": dict,
    "bucket": int,
    "now": str,
}
_TEXTS: Final = ("ownership", "sources", "shapes", "conflicts", "malformed")
_BUCKETS: Final = 100
_FOREVER: Final = "9999-12-31T23:59:59Z"


def _part(question: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = question.get(name)
    return part if isinstance(part, dict) else {}


def _texts(part: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in part.items() if isinstance(value, str)}


def _names(value: object) -> frozenset[str]:
    names = value if isinstance(value, list) else ()
    return frozenset(name for name in names if isinstance(name, str))


def _activations(value: object) -> Iterator[tuple[str, tuple[str, str]]]:
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, dict):
            yield str(entry.get("id")), (str(entry.get("from")), str(entry.get("until")))


def _place_in_share(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _BUCKETS:
        return value
    return 0


def _instant(value: object) -> str:
    """Return the instant, or the end of time where it cannot be read, as the policy does."""
    try:
        ns_from_text(str(value))
    except ValueError:
        return _FOREVER
    return str(value)
