"""
One revision of the policies, asked again about recorded calls.

Exact   Each distinct question is asked once for as long as its answer holds, which the answer
        itself says (`valid_until`): the gate remembers by the same rule.
        A bucket counts only by the shares that the registry names, so of the buckets between two
        shares one is asked for all.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tallygate.application.policy_review import Source
from tallygate.application.ports import PolicyEngine
from tallygate.domain.attribution.contract import Contract, Registry
from tallygate.domain.kernel.digests import canonical_json
from tallygate.domain.kernel.instants import ns_from_text, text_from_ns
from tallygate.domain.policy.decision import Decision, decision_from_answer
from tallygate.domain.policy.recorded_input import question_from_recorded
from tallygate.errors import EngineFailed

FOREVER: Final = "9999-12-31T23:59:59Z"
_INSTANT_CHARS: Final = len(FOREVER)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAt:
    """The policies of one revision, ready to be asked."""

    name: str
    """As it was asked for: a branch, a commit, or worktree."""
    commit: str | None
    engine: PolicyEngine
    contract: Contract
    registry: Registry
    data: Mapping[str, Any]
    documents: Mapping[str, Source]

    @property
    def revision(self) -> str:
        return self.engine.revision


@dataclass(frozen=True, slots=True)
class _Held:
    """An answer, and the instants from which and until which it holds, as policies write them."""

    since: str
    until: str
    decision: Decision | None


@dataclass(frozen=True, slots=True)
class _About:
    """A recorded call as a question without its instant, and the answers that it has."""

    recorded: Mapping[str, Any]
    call_bucket: int | None
    question: dict[str, Any]
    answers: list[_Held]

    def is_not(self, recorded: Mapping[str, Any], call_bucket: int | None) -> bool:
        return self.recorded is not recorded or self.call_bucket != call_bucket


@dataclass(slots=True)
class Replay:
    """Asks one revision, and each question no more often than its dates make necessary."""

    policy: PolicyAt
    asked: int = 0
    """How often the engine was asked."""
    _held: dict[bytes, list[_Held]] = field(default_factory=dict)
    _about: _About | None = None
    """Of the call that was decided last: it is asked about at several instants in a row."""

    def decide(
        self, recorded: Mapping[str, Any], call_bucket: int | None, at_ns: int
    ) -> Decision | None:
        """Decide a recorded call as of an instant; None when the policy gives no answer."""
        if self._about is None or self._about.is_not(recorded, call_bucket):
            self._about = self._ask_about(recorded, call_bucket)
        about, now = self._about, text_from_ns(at_ns)
        for held in about.answers:
            if held.since <= now < held.until or held.since == now:
                return held.decision
        decision = self._ask(about.question | {"now": now})
        about.answers.append(_Held(now, decision.valid_until if decision else now, decision))
        return decision

    def later(
        self, recorded: Mapping[str, Any], call_bucket: int | None, at_ns: int
    ) -> Iterator[tuple[str, Decision, Decision]]:
        """Go through what is decided from `at_ns` on: the instant, before it, and from it on."""
        now, decision = text_from_ns(at_ns), self.decide(recorded, call_bucket, at_ns)
        while decision is not None and now < (until := decision.valid_until) < FOREVER:
            following = self.decide(recorded, call_bucket, ns_from_text(until))
            if following is None:
                return
            yield until, decision, following
            now, decision = until, following

    def _ask_about(self, recorded: Mapping[str, Any], call_bucket: int | None) -> _About:
        policy = self.policy
        question = question_from_recorded(
            recorded, policy.contract, policy.registry, call_bucket=call_bucket, at_ns=0
        )
        del question["now"]
        answers = self._held.setdefault(canonical_json(question), [])
        return _About(recorded, call_bucket, question, answers)

    def _ask(self, question: Mapping[str, Any]) -> Decision | None:
        # Once more, because the deadline that stops runaways is short for a machine that builds.
        for _ in range(2):
            self.asked += 1
            try:
                return decision_from_answer(self.policy.engine.decide(question))
            except EngineFailed:
                continue
        return None


def instants_in(value: object) -> Iterator[str]:
    """Find every instant that policy data names, wherever it stands."""
    if isinstance(value, str):
        if len(value) == _INSTANT_CHARS and _is_instant(value):
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from instants_in(part)
    elif isinstance(value, Sequence):
        for part in value:
            yield from instants_in(part)


def cuts_between(policies: Sequence[PolicyAt], since_ns: int, until_ns: int) -> tuple[int, ...]:
    """Collect the instants within the time at which one of the policies may change its mind."""
    named = {ns_from_text(text) for policy in policies for text in instants_in(policy.data)}
    return tuple(sorted(at_ns for at_ns in named if since_ns < at_ns < until_ns))


@dataclass(frozen=True, slots=True)
class CallShares:
    """The shares of calls by which canaries of the policies tell calls apart, ascending."""

    shares: tuple[int, ...] = ()

    @classmethod
    def of(cls, policies: Sequence[PolicyAt]) -> CallShares:
        found = {share for policy in policies for share in _canaries_in(policy.data["registry"])}
        return cls(tuple(sorted(share for share in found if 0 < share < 100)))

    def like(self, call_bucket: int | None) -> int | None:
        """Name the lowest bucket that every share treats like this one."""
        if call_bucket is None:
            return None
        place = bisect_right(self.shares, call_bucket)
        return self.shares[place - 1] if place else 0

    def __bool__(self) -> bool:
        return bool(self.shares)


def _canaries_in(registry: Mapping[str, Any]) -> Iterator[int]:
    for service in registry.get("services", {}).values():
        for holder in (service, *service.get("schedule", ())):
            canary = holder.get("canary")
            shares = canary.values() if isinstance(canary, Mapping) else (canary,)
            yield from (share for share in shares if isinstance(share, int))


def _is_instant(text: str) -> bool:
    try:
        ns_from_text(text)
    except ValueError:
        return False
    return True
