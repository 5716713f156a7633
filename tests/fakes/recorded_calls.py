"""Recorded calls in memory: the port that a replay reads from, and inputs to put into it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from fakes.entries import NOON_NS
from tallygate.application.replay_ports import DecisionLine, RecordedCalls
from tallygate.domain.policy.recorded_input import digest_of_input


def an_input(service: str = "support-assistant", **changes: Any) -> dict[str, Any]:
    """Write a recorded input; `claims` are added to the service's."""
    claims = {"owner_team": "team-support", "service": service, "environment": "prod"}
    claims |= changes.pop("claims", {})
    recorded: dict[str, Any] = {
        "call": {
            "route": "/v1/chat/completions",
            "call_type": "acompletion",
            "stream": False,
            "models": ["gpt-5.4"],
        },
        "claims": claims,
        "sources": dict.fromkeys(claims, "header"),
        "shapes": {"trace_id": "received"},
        "conflicts": [],
        "malformed": [],
        "principal": {"team": "llm-support", "key": ""},
    }
    return recorded | changes


def some_calls(recorded: Mapping[str, Any] | None, calls: int = 1, **changes: Any) -> RecordedCalls:
    """Say that so many calls of an input were admitted at noon; without an input they are old."""
    claims: Mapping[str, str] = recorded["claims"] if recorded else {}
    facts: dict[str, Any] = {
        "input_digest": digest_of_input(recorded) if recorded else None,
        "call_bucket": None,
        "span": 0,
        "service": claims.get("service"),
        "owner_team": claims.get("owner_team"),
        "environment": claims.get("environment"),
        "action": "admit",
        "would_action": "admit",
        "mode": "enforce",
        "calls": calls,
        "cost": Decimal(calls) / 4,
        "unpriced": 0,
        "first_at_ns": NOON_NS,
        "last_at_ns": NOON_NS,
        "samples": (f"dec-{claims.get('service', 'old')}",),
    }
    return RecordedCalls(**facts | changes)


@dataclass
class FakeDecisionLines:
    """Groups that lie at one instant each; the cuts that are asked for decide their span."""

    groups: Sequence[RecordedCalls]
    inputs: Sequence[Mapping[str, Any]] = ()
    by_call_bucket: bool | None = field(default=None, init=False)
    """As it was asked for."""
    cuts_ns: Sequence[int] = field(default=(), init=False)

    def recorded_calls(
        self,
        since_ns: int | None,
        until_ns: int | None,
        *,
        by_call_bucket: bool,
        cuts_ns: Sequence[int] = (),
    ) -> Iterator[RecordedCalls]:
        self.by_call_bucket, self.cuts_ns = by_call_bucket, cuts_ns
        for group in self.groups:
            if (since_ns or 0) <= group.first_at_ns < (until_ns or group.first_at_ns + 1):
                bucket = group.call_bucket if by_call_bucket else None
                span = bisect_right(cuts_ns, group.first_at_ns)
                yield replace(group, span=span, call_bucket=bucket)

    def decision_inputs(
        self, digests: Collection[str] | None = None
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for recorded in self.inputs:
            digest = digest_of_input(recorded)
            if digests is None or digest in digests:
                yield digest, recorded

    def decision_line(self, decision_id: str) -> DecisionLine | None:
        raise NotImplementedError(decision_id)
