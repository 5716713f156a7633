"""
What a refused caller is told: which field, which header to send, which values exist.

The message holds names from the contract and the registry only, never a value that the caller
sent, and lists registry values only as far as the contract discloses them.

Shapes  Refusal.as_openai() and .as_anthropic() are the bodies of the two dialects.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tallygate.domain.attribution.contract import Binding, Contract, FieldKind, Registry
from tallygate.domain.attribution.ownership import BAGGAGE, Ownership
from tallygate.domain.attribution.propagation import TRACE_HEADER_OUT
from tallygate.domain.policy.decision import CONFLICT, Decision, Violation

_SHOWN_VALUES: Final = 8
_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    403: "permission_error",
    503: "api_error",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal, ready to be put into either dialect."""

    http_status: int
    code: str
    param: str | None
    message: str
    decision_id: str
    violations: tuple[Violation, ...]
    retriable: bool = False

    @property
    def type(self) -> str:
        """OpenAI's class of error for this status."""
        return {400: "invalid_request_error", 403: "permission_error"}.get(
            self.http_status, "server_error"
        )

    @property
    def extension(self) -> dict[str, Any]:
        """All violations, for programs; stands under the key `tallygate`."""
        return {
            "decision_id": self.decision_id,
            "violations": [{"code": v.code, "field": v.field} for v in self.violations],
        }

    def as_openai(self) -> dict[str, Any]:
        """Return the object that stands under `error`."""
        return {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
            "tallygate": self.extension,
        }

    def as_anthropic(self) -> dict[str, Any]:
        """Return the whole body."""
        return {
            "type": "error",
            "error": {
                "type": _ANTHROPIC_TYPES.get(self.http_status, "api_error"),
                "message": self.message,
                "code": self.code,
                "param": self.param,
                "tallygate": self.extension,
            },
        }


def refusal_of(
    decision: Decision,
    decision_id: str,
    ownership: Ownership,
    contract: Contract,
    registry: Registry,
    binding: Binding | None,
) -> Refusal:
    """Render a rejection: conflicts first, then in the order of the contract's fields."""
    order = {name: place for place, name in enumerate(contract.fields)}
    violations = tuple(
        sorted(
            decision.violations,
            key=lambda v: (v.code != CONFLICT, order.get(v.field, len(order)), v.field, v.code),
        )
    )
    if not violations:
        return unavailable(decision_id)
    first = violations[0]
    writer = _Writer(ownership, contract, registry, binding)
    sentences = [writer.sentence(violation) for violation in violations]
    message = (
        f"tallygate refused this call before it reached a provider: {' '.join(sentences)} "
        f"Decision {decision_id}."
    )
    return Refusal(
        http_status=403 if first.code == CONFLICT else 400,
        code=first.code,
        param=first.field,
        message=message,
        decision_id=decision_id,
        violations=violations,
    )


def unavailable(decision_id: str) -> Refusal:
    """Refuse for a gate that could not ask its policy."""
    return Refusal(
        http_status=503,
        code="decision_unavailable",
        param=None,
        message=(
            "tallygate could not ask its policy, and this service is in enforce mode, so the call "
            "was not sent to a provider. Retrying will not help until the platform team has mended "
            f"the gate. Decision {decision_id}."
        ),
        decision_id=decision_id,
        violations=(),
    )


def no_room(decision_id: str) -> Refusal:
    """Refuse for a gate that has no room left to account for a call."""
    return Refusal(
        http_status=503,
        code="spool_full",
        param=None,
        message=(
            "tallygate has no room left to account for calls, and its contract says to refuse "
            "then. The platform team must start the drain or free the spool's disk. "
            f"Decision {decision_id}."
        ),
        decision_id=decision_id,
        violations=(),
    )


def route_unknown(decision_id: str) -> Refusal:
    """Refuse a route that this release cannot account for, under enforce."""
    return Refusal(
        http_status=403,
        code="route_unknown",
        param=None,
        message=(
            "tallygate does not know this route of the proxy, so it cannot account for what it "
            "costs, and this service is in enforce mode. Use a route that docs/routes.md lists, or "
            f"ask the platform team for a newer tallygate. Decision {decision_id}."
        ),
        decision_id=decision_id,
        violations=(),
    )


class _Writer:
    def __init__(
        self,
        ownership: Ownership,
        contract: Contract,
        registry: Registry,
        binding: Binding | None,
    ) -> None:
        self._ownership = ownership
        self._contract = contract
        self._registry = registry
        self._binding = binding

    def sentence(self, violation: Violation) -> str:
        name = violation.field
        header = self._header(name)
        match violation.code:
            case "ownership_missing":
                return f"{name} is missing; {self._send(header)}{self._values(name)}."
            case "ownership_unknown":
                return (
                    f"{name} is not a registered value; {self._send(header)}{self._values(name)}."
                )
            case "ownership_retired":
                return f"{name} names a retired entry; send one in use{self._values(name)}."
            case "ownership_malformed":
                return f"{name} was not accepted; {self._expected(name)}."
            case "ownership_conflict":
                return self._conflict(name, header)
            case code:
                return f"{name}: {code}."

    def _conflict(self, name: str, header: str | None) -> str:
        if name in self._ownership.conflicts:
            place = f", in the header {header}" if header else ""
            return f"{name} was given two different values; send one{place}."
        return (
            f"{name} is outside what this API key may claim{self._allowed(name)}; use the right "
            "key, or have the platform team extend the key's binding in the registry."
        )

    def _header(self, name: str) -> str | None:
        if name == "trace_id":
            return TRACE_HEADER_OUT
        spec = self._contract.fields.get(name)
        return spec.header if spec else None

    def _send(self, header: str | None) -> str:
        return f"send it in the header {header}" if header else "send it"

    def _expected(self, name: str) -> str:
        if name == BAGGAGE:
            return f"at most {self._contract.limits.baggage_bytes} bytes of W3C baggage are read"
        if name == "trace_id":
            return "expected one opaque id of at most 128 characters, without spaces"
        spec = self._contract.fields.get(name)
        if spec is not None and spec.kind is FieldKind.IDENTIFIER and spec.pattern is not None:
            return (
                f"expected a value that matches {spec.pattern.pattern}, "
                "never a name, an e-mail address or another raw identifier"
            )
        most = self._contract.limits.value_chars
        expected = f"an id of at most {most} printable characters, without blanks or @"
        if spec is not None and spec.pattern is not None:
            expected += f" that match {spec.pattern.pattern}"
        return f"expected {expected}"

    def _values(self, name: str) -> str:
        known = self._disclosed(name)
        if not known:
            return ""
        claimed = self._ownership.values.get(name, "")
        close = difflib.get_close_matches(claimed, known, n=3) if claimed else []
        ordered = [*close, *(value for value in known if value not in close)]
        more = len(ordered) - _SHOWN_VALUES
        listed = ", ".join(ordered[:_SHOWN_VALUES]) + (f" and {more} more" if more > 0 else "")
        return f", one of {listed}" if len(ordered) > 1 else f", for example {listed}"

    def _disclosed(self, name: str) -> Sequence[str]:
        known = self._registry.values.get(name, ())
        match self._contract.disclose:
            case "registry":
                return known
            case "own_team":
                return self._own(name, known)
            case _:
                return ()

    def _own(self, name: str, known: Sequence[str]) -> Sequence[str]:
        """Values that the caller's own binding reaches; shared vocabularies are not secret."""
        if name not in {"owner_team", "service"}:
            return known
        if self._binding is None:
            return ()
        teams = [t for t in (self._binding.team, *self._binding.may_charge) if t in known or t]
        if name == "owner_team":
            return [team for team in teams if team is not None]
        if self._binding.services:
            return self._binding.services
        return [
            service
            for service in known
            if self._registry.services[service].get("owner_team") in teams
        ]

    def _allowed(self, name: str) -> str:
        if self._binding is None or self._contract.disclose == "none":
            return ""
        allowed = self._binding.environments if name == "environment" else self._disclosed(name)
        return f" ({', '.join(list(allowed)[:_SHOWN_VALUES])})" if allowed else ""
