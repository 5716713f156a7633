"""
The ownership contract and the registry, as far as the gate itself needs them.

What is required, known or allowed is decided in Rego; here is only where a claim may stand, what
it may look like, and which principal speaks for whom, so that claims can be gathered.

Shapes  Built from `data.contract` and `data.registry`, which policy check has validated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

HEADER_PREFIX: Final = "x-tallygate-"


class FieldKind(StrEnum):
    """How a field's value is checked, and so what the policy gets to see of it."""

    VOCABULARY = "vocabulary"
    """The registry lists the values; the policy sees the text."""
    PATTERN = "pattern"
    """The policy sees the text and matches it."""
    IDENTIFIER = "identifier"
    """The gate matches it; the policy sees absent, ok or malformed."""


@dataclass(frozen=True, slots=True)
class Names:
    """Under which names a value may arrive, lower case."""

    headers: tuple[str, ...] = ()
    baggage: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One ownership field of the contract."""

    name: str
    kind: FieldKind
    names: Names
    pattern: re.Pattern[str] | None
    hash_from: Names
    """Where a raw value may arrive that the gate hashes into this field."""

    @property
    def header(self) -> str:
        """The header that a message tells people to send."""
        return HEADER_PREFIX + self.name.replace("_", "-")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a claim is looked at."""

    value_chars: int = 128
    baggage_bytes: int = 8192


@dataclass(frozen=True, slots=True)
class Contract:
    """Where claims stand and what an organisation chose for the corner cases."""

    fields: Mapping[str, FieldSpec]
    limits: Limits
    disclose: str
    """How far a refusal may name registry values: own_team, registry or none."""
    spool_full: str
    """What to do when there is no room to account: refuse or pass."""
    fail_open: frozenset[str]
    default_mode: str
    unbound_mode: str
    unbound_services: frozenset[str] = frozenset({"*"})
    """What a principal that nothing binds may name; `*` is any."""
    by_header: Mapping[str, tuple[FieldSpec, bool]] = field(default_factory=dict)
    by_baggage: Mapping[str, tuple[FieldSpec, bool]] = field(default_factory=dict)
    by_metadata: Mapping[str, tuple[FieldSpec, bool]] = field(default_factory=dict)
    """Arrival name to its field, and whether the value is raw and must be hashed."""
    raw_headers: frozenset[bytes] = frozenset()
    raw_baggage: frozenset[str] = frozenset()
    raw_metadata: frozenset[str] = frozenset()
    """The raw ones among them."""


@dataclass(frozen=True, slots=True)
class Binding:
    """For whom a LiteLLM team or key may speak."""

    team: str | None
    may_charge: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()

    @property
    def is_shared(self) -> bool:
        """Whether calls of this principal may be other teams' spend."""
        return bool(self.may_charge)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who LiteLLM says is calling; None where it does not know."""

    team: str | None = None
    key_hash: str | None = None
    org: str | None = None
    key_metadata: Mapping[str, Any] = field(default_factory=dict)
    team_metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Registry:
    """The registered values, by field, and the bindings."""

    values: Mapping[str, tuple[str, ...]]
    service_defaults: Mapping[str, Mapping[str, str]]
    services: Mapping[str, Mapping[str, Any]]
    bindings_by_team: Mapping[str, Binding]
    bindings_by_key: Mapping[str, Binding]
    model_groups: Mapping[str, str]
    """Model name to its group."""
    own_calls: Mapping[str, str] = field(default_factory=dict)
    """Ownership of what LiteLLM does on its own account, such as health checks."""
    canaries: frozenset[str] = frozenset()
    """The services that have a canary, of their own or in a step of the schedule."""

    def binding_of(self, principal: Principal) -> Binding | None:
        """Find the key's own binding, else its team's."""
        if principal.key_hash is not None and principal.key_hash in self.bindings_by_key:
            return self.bindings_by_key[principal.key_hash]
        return self.bindings_by_team.get(principal.team or "")


def contract_from_data(data: Mapping[str, Any]) -> Contract:
    """Read `data.contract`."""
    fields = {name: _field(name, spec) for name, spec in data["fields"].items()}
    by_header, by_baggage = _index(fields, "headers"), _index(fields, "baggage")
    by_metadata = _index(fields, "metadata")
    limits = data.get("limits", {})
    return Contract(
        fields=fields,
        limits=Limits(
            value_chars=limits.get("value_chars", Limits().value_chars),
            baggage_bytes=limits.get("baggage_bytes", Limits().baggage_bytes),
        ),
        disclose=data.get("disclose", "own_team"),
        spool_full=data.get("spool_full", "refuse"),
        fail_open=frozenset(data.get("fail_open", ())),
        default_mode=data.get("modes", {}).get("default", "report_only"),
        unbound_mode=data.get("unbound", {}).get("mode", "report_only"),
        unbound_services=frozenset(data.get("unbound", {}).get("services", ("*",))),
        by_header=by_header,
        by_baggage=by_baggage,
        by_metadata=by_metadata,
        raw_headers=frozenset(name.encode() for name in _raw(by_header)),
        raw_baggage=_raw(by_baggage),
        raw_metadata=_raw(by_metadata),
    )


def registry_from_data(data: Mapping[str, Any]) -> Registry:
    """Read `data.registry`."""
    services = data.get("services", {})
    principals = data.get("principals", {})
    values = {
        "owner_team": tuple(data.get("teams", {})),
        "service": tuple(services),
        "environment": tuple(data.get("environments", {})),
        "feature": tuple(data.get("features", {})),
    }
    values |= {name: tuple(known) for name, known in data.get("values", {}).items()}
    return Registry(
        values=values,
        service_defaults={name: entry.get("defaults", {}) for name, entry in services.items()},
        services=services,
        bindings_by_team={
            team: _binding(entry) for team, entry in principals.get("teams", {}).items()
        },
        bindings_by_key={key: _binding(entry) for key, entry in principals.get("keys", {}).items()},
        model_groups={
            model: group
            for group, models in data.get("model_groups", {}).items()
            for model in models
        },
        own_calls=dict(data.get("own_calls", {})),
        canaries=frozenset(name for name, entry in services.items() if _has_canary(entry)),
    )


def _field(name: str, spec: Mapping[str, Any]) -> FieldSpec:
    raw = spec.get("hash_from", {})
    return FieldSpec(
        name=name,
        kind=FieldKind(spec["kind"]),
        names=Names(
            headers=(HEADER_PREFIX + name.replace("_", "-"), *_lower(spec.get("headers", ()))),
            baggage=(name, *spec.get("baggage", ())),
            metadata=(name, *spec.get("metadata", ())),
        ),
        pattern=re.compile(spec["pattern"], re.ASCII) if "pattern" in spec else None,
        hash_from=Names(
            headers=_lower(raw.get("headers", ())),
            baggage=tuple(raw.get("baggage", ())),
            metadata=tuple(raw.get("metadata", ())),
        ),
    )


def _has_canary(service: Mapping[str, Any]) -> bool:
    return "canary" in service or any("canary" in step for step in service.get("schedule", ()))


def _lower(names: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


def _index(fields: Mapping[str, FieldSpec], kind: str) -> dict[str, tuple[FieldSpec, bool]]:
    index: dict[str, tuple[FieldSpec, bool]] = {}
    for spec in fields.values():
        index |= dict.fromkeys(getattr(spec.hash_from, kind), (spec, True))
    for spec in fields.values():
        index |= dict.fromkeys(getattr(spec.names, kind), (spec, False))
    return index


def _raw(index: Mapping[str, tuple[FieldSpec, bool]]) -> frozenset[str]:
    return frozenset(name for name, (_, is_raw) in index.items() if is_raw)


def _binding(entry: Mapping[str, Any]) -> Binding:
    return Binding(
        team=entry.get("team"),
        may_charge=tuple(entry.get("may_charge", ())),
        services=tuple(entry.get("services", ())),
        environments=tuple(entry.get("environments", ())),
    )
