"""
The mode of a service on the day, asked of the policy itself.

Shapes  The question is of a principal that may speak for the service there; where the registry
        binds none, of one that nothing binds, because such are the calls that it can get.
Exact   Shares are found by asking on both sides of every percent that the registry's entry names;
        a policy of one's own that makes other steps is seen as far as it steps at those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from tallygate.application.ports import PolicyEngine
from tallygate.application.rollout_ports import ModeInForce
from tallygate.domain.attribution.contract import Binding, Registry
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.policy.decision import Decision, Mode, decision_from_answer

_ALL: Final = 100


class AskedModes:
    """The `ModesInForce` port on a policy engine."""

    def __init__(self, engine: PolicyEngine, registry: Registry) -> None:
        self._engine = engine
        self._registry = registry

    def mode_of(self, service: str, environment: str, at_ns: int) -> ModeInForce:
        entry = self._registry.services[service]
        schedule = entry.get("schedule", ())
        buckets = _steps(step.get("percent") for step in schedule)
        canaries = (step.get("canary") for step in schedule)
        call_buckets = _steps([*canaries, *entry.get("canary", {}).values()])
        principal = self._principal_for(service, environment)
        workflows = calls = 0
        enforcing: Decision | None = None
        lenient: Decision | None = None
        for start, end in buckets:
            for from_call, to_call in call_buckets:
                decision = self._ask(
                    service, environment, principal, (start, from_call), text_from_ns(at_ns)
                )
                if decision.mode is Mode.ENFORCE:
                    enforcing = enforcing or decision
                    workflows += end - start if from_call == 0 else 0
                    calls += (end - start) * (to_call - from_call)
                else:
                    lenient = lenient or decision
        shown = enforcing or lenient
        assert shown is not None, (buckets, call_buckets)
        return ModeInForce(
            mode=shown.mode.value,
            source=shown.mode_source,
            workflows_percent=workflows,
            calls_percent=calls // workflows if workflows else 0,
        )

    def _ask(
        self,
        service: str,
        environment: str,
        principal: Mapping[str, str],
        buckets: tuple[int, int],
        now: str,
    ) -> Decision:
        question: dict[str, Any] = {
            "call": {"route": "", "call_type": "", "model_group": "other", "stream": False},
            "ownership": {"service": service, "environment": environment},
            "sources": {},
            "shapes": {},
            "conflicts": [],
            "malformed": [],
            "principal": principal,
            "bucket": buckets[0],
            "call_bucket": buckets[1],
            "now": now,
        }
        return decision_from_answer(self._engine.decide(question))

    def _principal_for(self, service: str, environment: str) -> dict[str, str]:
        registry = self._registry
        owner = registry.services[service].get("owner_team")
        for kind, bindings in (
            ("team", registry.bindings_by_team),
            ("key", registry.bindings_by_key),
        ):
            for name, binding in bindings.items():
                if _covers(binding, service, owner, environment):
                    return {"team": "", "key": ""} | {kind: name}
        return {"team": "", "key": ""}


def _covers(binding: Binding, service: str, owner: str | None, environment: str) -> bool:
    if binding.environments and environment not in binding.environments:
        return False
    if binding.services:
        return service in binding.services
    return owner in (binding.team, *binding.may_charge)


def _steps(percents: Iterable[int | None]) -> Sequence[tuple[int, int]]:
    """Cut 0 to 100 wherever a share ends."""
    cuts = sorted({0, _ALL, *(percent for percent in percents if percent is not None)})
    inside = [cut for cut in cuts if 0 <= cut <= _ALL]
    return list(pairwise(inside))
