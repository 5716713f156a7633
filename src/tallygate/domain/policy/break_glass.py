"""
Break-glass: what was approved in advance for an incident, who may take it, and whether it is taken.

An activation is a fact of this machine, not of the policy, so it is never taken at its word: each
time that it is used, the policy in force says whether its entry is still there, for how many hours
at most, and until when. What it excuses is decided in Rego.

Shapes  Entries from `data.break_glass`, holders from `data.roles`, as policy check has validated
        them. The policy sees an activation as `{"id", "from", "until"}`.
Units   Instants in UTC nanoseconds, whole seconds; an entry's expiry is policy text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from tallygate.domain.attribution.contract import Principal
from tallygate.domain.kernel.instants import NS_PER_SECOND, ns_from_text, text_from_ns
from tallygate.domain.policy.terms import OverrideTerm

DEFAULT_MAX_HOURS: Final = 24
"""Where the contract's `overrides.max_break_glass_hours` says nothing."""
NS_PER_HOUR: Final = 3600 * NS_PER_SECOND
_CLOSE: Final = 3
_PREFIX: Final = "bg-"
"""How the schema has every id of an entry begin, and no other override's."""
_EVER: Final = {"from": "0001-01-01T00:00:00Z", "until": "9999-12-31T23:59:59Z"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGlassEntry:
    """One permission that somebody may take in an incident."""

    override_id: str
    role: str
    services: tuple[str, ...]
    max_hours: int
    """How long one activation is at most, the contract's own bound included."""
    expires_at_ns: int
    is_self_approved: bool
    """Whether its requester approved it, which makes it none."""

    def longest_until_ns(self, from_ns: int) -> int:
        """Until when an activation may last: its hours, and never past the entry's own expiry."""
        return min(from_ns + self.max_hours * NS_PER_HOUR, self.expires_at_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """Somebody took what an entry allows; it ends by itself at `until_ns`."""

    override_id: str
    role: str
    activated_by: str
    reason: str
    ticket: str
    from_ns: int
    until_ns: int

    def is_on(self, at_ns: int) -> bool:
        return self.from_ns <= at_ns < self.until_ns


@dataclass(frozen=True, slots=True)
class Holders:
    """The principals that hold a role, as LiteLLM authenticates them."""

    teams: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BreakGlass:
    """The entries of the policy in force, and who may activate them."""

    entries: Mapping[str, BreakGlassEntry] = field(default_factory=dict)
    holders: Mapping[str, Holders] = field(default_factory=dict)

    def holds(self, role: str, principal: Principal) -> bool:
        """Whether LiteLLM's team or key of a caller holds a role."""
        held = self.holders.get(role, Holders())
        return principal.team in held.teams or principal.key_hash in held.keys

    def ids_like(self, override_id: str, principal: Principal | None) -> tuple[str, ...]:
        """Return close ids of entries that a caller may activate; all of them for None."""
        known = [
            name
            for name, entry in self.entries.items()
            if principal is None or self.holds(entry.role, principal)
        ]
        return tuple(get_close_matches(override_id, known, n=_CLOSE))

    def honours(self, activation: Activation) -> bool:
        """Whether an activation is one that the policy in force would let somebody make."""
        entry = self.entries.get(activation.override_id)
        return (
            entry is not None
            and not entry.is_self_approved
            and entry.role == activation.role
            and activation.until_ns <= entry.longest_until_ns(activation.from_ns)
        )

    def told_of(
        self, activations: Iterable[Activation], service: str, at_ns: int
    ) -> list[dict[str, str]]:
        """Return what the policy is told about a call of a service; nothing where none is on."""
        return sorted(
            (
                {
                    "id": activation.override_id,
                    "from": text_from_ns(activation.from_ns),
                    "until": text_from_ns(activation.until_ns),
                }
                for activation in activations
                if activation.is_on(at_ns)
                and self.honours(activation)
                and service in self.entries[activation.override_id].services
            ),
            key=lambda told: told["id"],
        )

    def terms_of(self, activations: Iterable[Activation], at_ns: int) -> tuple[OverrideTerm, ...]:
        """Return the terms of what is on, one for each service that it excuses."""
        return tuple(
            OverrideTerm(each.override_id, service, each.from_ns, each.until_ns)
            for each in activations
            if each.is_on(at_ns) and self.honours(each)
            for service in self.entries[each.override_id].services
        )


NO_BREAK_GLASS: Final = BreakGlass()


def entries_among(overrides: Iterable[str]) -> list[str]:
    """Return the ids of break-glass entries among those of whatever excused a call."""
    return sorted({each for each in overrides if each.startswith(_PREFIX)})


def told_again(entries: Iterable[str]) -> list[dict[str, str]]:
    """
    Tell the policy of activations that excused a call, to ask about that call again.

    That they were on is what is known of them; what they excuse is the policy's to say.
    """
    return [{"id": each, **_EVER} for each in entries]


def break_glass_from_data(data: Mapping[str, Any]) -> BreakGlass:
    """Read the entries and the holders from the whole policy data."""
    bound = data.get("contract", {}).get("overrides", {}).get("max_break_glass_hours")
    most = DEFAULT_MAX_HOURS if bound is None else bound
    holders = data.get("roles", {}).get("holders", {})
    return BreakGlass(
        entries={
            name: BreakGlassEntry(
                override_id=name,
                role=entry["role"],
                services=tuple(entry["services"]),
                max_hours=min(entry["max_hours"], most),
                expires_at_ns=_expiry_ns(entry["expires_at"]),
                is_self_approved=entry["approved_by"] == entry["requested_by"],
            )
            for name, entry in data.get("break_glass", {}).items()
        },
        holders={
            role: Holders(frozenset(held.get("teams", ())), frozenset(held.get("keys", ())))
            for role, held in holders.items()
        },
    )


def _expiry_ns(text: str) -> int:
    """Read an expiry; one that cannot be read has passed, as the policy takes it too."""
    try:
        return ns_from_text(text)
    except ValueError:
        return 0
