"""
From claims in many places to one ownership, each field with the source that it came from.

Claims rank: request headers, W3C baggage, the body's metadata, the key's and the team's metadata;
then what the registry binds to the principal, then the service's defaults. The highest rank that
speaks wins. Two values within one rank are a conflict and neither is taken; a value that cannot
be accepted is malformed and hides what lower ranks say. Neither ends the call: the policy decides.

Shapes  (Claims, Contract, Registry, Principal) -> Ownership. Values are NFC text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import unquote_to_bytes

from tallygate.domain.attribution.contract import (
    Binding,
    Contract,
    FieldKind,
    FieldSpec,
    Limits,
    Principal,
    Registry,
)

BAGGAGE = "baggage"
"""Also the name under which an oversized or unreadable baggage header is reported."""


class Source(StrEnum):
    """Where a value came from, in falling rank."""

    HEADER = "header"
    BAGGAGE = "baggage"
    METADATA = "metadata"
    KEY_METADATA = "key_metadata"
    TEAM_METADATA = "team_metadata"
    BINDING = "binding"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Claims:
    """What the caller sent, as it came over the wire."""

    headers: Sequence[tuple[bytes, bytes]] = ()
    """Lower-case names, as ASGI has them; one name may come more than once."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The body's `metadata` object."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who says they pay. Nothing here is proven yet."""

    values: Mapping[str, str]
    sources: Mapping[str, Source]
    conflicts: tuple[str, ...]
    """Fields that were given two values within one rank."""
    malformed: tuple[str, ...]
    """Fields whose value was not accepted; the value itself is gone."""

    def shape_of(self, name: str) -> str:
        """`absent`, `ok` or `malformed`: all that a policy learns about an identifier."""
        if name in self.malformed or name in self.conflicts:
            return "malformed"
        return "ok" if name in self.values else "absent"


Hasher = Callable[[str], str]
"""Raw identifier to its keyed hash."""


class _Malformed:
    """Stands for a value that is not accepted, so that the value itself is let go at once."""


_MALFORMED = _Malformed()
_Candidate = tuple[FieldSpec, "str | _Malformed"]


def ownership_of_proxy(registry: Registry) -> Ownership:
    """Return who pays for what LiteLLM does on its own account, as the registry says."""
    values = dict(registry.own_calls)
    return Ownership(values, dict.fromkeys(values, Source.BINDING), (), ())


def resolve_ownership(
    claims: Claims,
    contract: Contract,
    registry: Registry,
    principal: Principal,
    hasher: Hasher | None,
) -> Ownership:
    """Gather every claim, rank by rank, then fill in what is bound and what is default."""
    found = _Findings()
    reader = _ClaimReader(contract, hasher)
    ranks = (
        (Source.HEADER, reader.from_headers(claims.headers)),
        (Source.BAGGAGE, reader.from_baggage(claims.headers)),
        (Source.METADATA, reader.from_mapping(claims.metadata)),
        (Source.KEY_METADATA, reader.from_mapping(principal.key_metadata)),
        (Source.TEAM_METADATA, reader.from_mapping(principal.team_metadata)),
    )
    for source, candidates in ranks:
        found.add_rank(source, candidates)
    if reader.baggage_unreadable:
        found.malformed.add(BAGGAGE)
    claimed = Ownership(
        values=found.values,
        sources=found.sources,
        conflicts=tuple(sorted(found.conflicts)),
        malformed=tuple(sorted(found.malformed)),
    )
    return with_registered(claimed, contract, registry, principal)


def with_registered(
    claimed: Ownership, contract: Contract, registry: Registry, principal: Principal
) -> Ownership:
    """Fill in what nobody claimed: what the registry binds, then its service's defaults."""
    values, sources = dict(claimed.values), dict(claimed.sources)
    hidden = {*claimed.conflicts, *claimed.malformed}

    def fill(source: Source, known: Mapping[str, str]) -> None:
        for name, value in known.items():
            if name not in values and name not in hidden:
                values[name] = value
                sources[name] = source

    fill(Source.BINDING, _bound(registry.binding_of(principal)))
    defaults = registry.service_defaults.get(values.get("service", ""), {})
    fill(Source.DEFAULT, {k: v for k, v in defaults.items() if k in contract.fields})
    return Ownership(values, sources, claimed.conflicts, claimed.malformed)


class _Findings:
    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.sources: dict[str, Source] = {}
        self.conflicts: set[str] = set()
        self.malformed: set[str] = set()

    def add_rank(self, source: Source, candidates: Iterator[_Candidate]) -> None:
        claimed: dict[str, set[str]] = {}
        unusable: set[str] = set()
        for spec, value in candidates:
            if isinstance(value, _Malformed):
                unusable.add(spec.name)
            else:
                claimed.setdefault(spec.name, set()).add(value)
        for name in claimed.keys() | unusable:
            if name in self.values or name in self.conflicts or name in self.malformed:
                continue  # a higher rank has spoken
            values = claimed.get(name, set())
            if name in unusable:
                self.malformed.add(name)
            elif len(values) > 1:
                self.conflicts.add(name)
            else:
                self.values[name] = values.pop()
                self.sources[name] = source


def _bound(binding: Binding | None) -> dict[str, str]:
    """Collect what the principal's binding leaves no choice about."""
    if binding is None:
        return {}
    bound: dict[str, str] = {}
    if binding.team is not None and not binding.is_shared:
        bound["owner_team"] = binding.team
    if len(binding.services) == 1:
        bound["service"] = binding.services[0]
    if len(binding.environments) == 1:
        bound["environment"] = binding.environments[0]
    return bound


class _ClaimReader:
    def __init__(self, contract: Contract, hasher: Hasher | None) -> None:
        self._contract = contract
        self._hasher = hasher
        self.baggage_unreadable = False

    def from_headers(self, headers: Sequence[tuple[bytes, bytes]]) -> Iterator[_Candidate]:
        by_header = self._contract.by_header
        for name, value in headers:
            entry = by_header.get(name.decode("latin-1"))
            if entry is not None:
                yield from self._candidate(entry, value)

    def from_baggage(self, headers: Sequence[tuple[bytes, bytes]]) -> Iterator[_Candidate]:
        lines = [value for name, value in headers if name == b"baggage"]
        if sum(len(line) for line in lines) > self._contract.limits.baggage_bytes:
            self.baggage_unreadable = True
            return
        for member in b",".join(lines).split(b","):
            key, separator, rest = member.partition(b"=")
            entry = self._contract.by_baggage.get(key.strip().decode("latin-1"))
            if entry is None:
                continue  # somebody else's member
            if not separator:
                self.baggage_unreadable = True
                continue
            value = rest.partition(b";")[0].strip()  # what follows are properties
            yield from self._candidate(entry, unquote_to_bytes(value))

    def from_mapping(self, metadata: Mapping[str, Any]) -> Iterator[_Candidate]:
        for name, entry in self._contract.by_metadata.items():
            if name in metadata and metadata[name] is not None:
                yield from self._candidate(entry, metadata[name])

    def _candidate(self, entry: tuple[FieldSpec, bool], value: object) -> Iterator[_Candidate]:
        spec, is_raw = entry
        text = _clean(value, self._contract.limits)
        if text == "":
            return
        if is_raw and not isinstance(text, _Malformed):
            if self._hasher is None:
                return  # without a key the gate cannot hash; the field counts as absent
            text = self._hasher(text)
        yield spec, _accepted(spec, text)


def _clean(value: object, limits: Limits) -> str | _Malformed:
    """
    Take an id as it may enter a decision: UTF-8, NFC, one printable word, not too long.

    What has a blank or an @ in it is a label, a name or an address, and those go no further.
    """
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            return _MALFORMED
    if not isinstance(value, str) or len(value) > 4 * limits.value_chars:
        return _MALFORMED
    text = unicodedata.normalize("NFC", value).strip()
    if len(text) > limits.value_chars:
        return _MALFORMED
    if _holds_at(text) or any(unicodedata.category(c).startswith(("C", "Z")) for c in text):
        return _MALFORMED
    return text


def _holds_at(text: str) -> bool:
    """Whether there is an @, also a wide or small one, or one in percent-encoding."""
    return "@" in unicodedata.normalize("NFKC", text) or "%40" in text


def _accepted(spec: FieldSpec, text: str | _Malformed) -> str | _Malformed:
    if isinstance(text, _Malformed) or spec.kind is not FieldKind.IDENTIFIER:
        return text
    if spec.pattern is not None and not spec.pattern.fullmatch(text):
        return _MALFORMED
    return text
