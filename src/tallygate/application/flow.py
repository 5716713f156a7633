"""
The request line, from the headers of a call to the facts in the spool.

    claims -> ownership -> decision -> admit ─► attempt opened ─► provider ─► attempt settled
              attribution  policy        │                                    usage, then (in the
                                         └► refused                           drain) price, ledger

Read this file first. It is the gate's half: `admit` asks once per call, `open` and `settle` stand
around each try at a provider, and every one of them ends in the spool. What an event costs is
worked out in the other half (application/drain.py), off the request path.

Exact   `admit` waits only where an OPA server decides; the embedded engine answers in line, with no
        switch of task in between.
Errors  `admit` never raises for what a caller sent or for a policy that fails: both are answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tallygate.application.deciding import UNAVAILABLE, Answered, blind_decision, question_of
from tallygate.application.facts import (
    AskedAbout,
    CallRequest,
    call_facts,
    decision_facts,
    kind_of_refusal,
    ownership_facts,
)
from tallygate.application.inputs_kept import InputsKept, asked_about
from tallygate.application.ports import Clock, PolicyEngine, PolicyServer, Spool
from tallygate.domain.attribution.contract import Contract, Registry
from tallygate.domain.attribution.ownership import (
    Hasher,
    Ownership,
    ownership_of_proxy,
    resolve_ownership,
)
from tallygate.domain.ledger.events import (
    AttemptFacts,
    CallFacts,
    DecisionFacts,
    Event,
    EventKind,
    Outcome,
    OwnershipFacts,
    SpoolRecord,
    Stage,
    Status,
)
from tallygate.domain.policy.break_glass import NO_BREAK_GLASS, Activation, BreakGlass
from tallygate.domain.policy.decision import Action, Decision, Mode, decision_from_answer
from tallygate.domain.policy.memory import RememberedDecisions
from tallygate.domain.policy.question import call_bucket_of
from tallygate.domain.policy.refusal import Refusal, no_room, refusal_of, route_unknown, unavailable
from tallygate.domain.policy.repetition import Repetition
from tallygate.domain.policy.terms import OverrideTerm
from tallygate.errors import SpoolError, SpoolFull

OBSERVED: Final = "observed"
"""Mode source of a call that is not governed: it was asked about, and could not be refused."""


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """One loaded revision: what answers, and what the gate reads of it itself."""

    engine: PolicyEngine
    contract: Contract
    registry: Registry
    is_remembered: bool
    """Whether this engine's answers may be remembered."""
    break_glass: BreakGlass = NO_BREAK_GLASS
    terms: tuple[OverrideTerm, ...] = ()
    """From when until when its overrides hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What was decided about a call; every event of the call carries it."""

    call: CallFacts
    ownership: OwnershipFacts
    decision: DecisionFacts
    contract: Contract
    """Of the policy that decided: what follows keeps to it, whatever is in force by then."""
    recorded: Mapping[str, Any] | None = None
    """What was asked about, of which the decision names the digest."""
    refusal: Refusal | None = None

    @property
    def admitted(self) -> bool:
        return self.refusal is None


@dataclass(slots=True)
class RequestLine:
    """The gate's half of the line, around the provider calls that LiteLLM makes."""

    policy: PolicyInForce
    spool: Spool
    clock: Clock
    new_id: Callable[[], str]
    """Mints a UUIDv7."""
    hasher: Hasher | None = None
    server: PolicyServer | None = None
    """An OPA server, which then decides on every call and is never answered for from memory. The
    policy in force stays beside it: it reads the claims, says what to do when the server is gone,
    and answers for calls that nobody may refuse."""
    activations: Callable[[], Sequence[Activation]] = tuple
    """What is activated of break-glass on this machine, just now."""
    memory: RememberedDecisions[Decision] = field(
        default_factory=lambda: RememberedDecisions(capacity=4096)
    )
    refusals: Repetition[Event] = field(default_factory=Repetition)
    inputs: InputsKept = field(default_factory=InputsKept)
    uncounted: int = 0
    """Attempts that passed without a record, because the contract says so when there is no room."""
    unopened: set[str] = field(default_factory=set)
    """Those of them that may still settle: they are written then, if there is room again."""

    async def admit(self, request: CallRequest) -> Admission:
        """Decide whether the call goes to a provider, and say why."""
        policy = self.policy
        began_ns = self.clock.now_ns()
        ownership = resolve_ownership(
            request.claims, policy.contract, policy.registry, request.principal, self.hasher
        )
        if self.server is None:
            answered = self._decide(policy, request, ownership, began_ns)
        else:
            answered = await self._ask(self.server, policy, request, ownership, began_ns)
        decision = answered.decision
        asked = self._asked_about(policy, request, ownership, answered)
        facts = self._facts(answered, asked, began_ns)
        binding = policy.registry.binding_of(request.principal)
        refusal = self._refusal(policy, request, decision, facts, ownership)
        if refusal is not None:
            facts = replace(facts, action=Action.REJECT.value)
        admission = Admission(
            call=call_facts(request, ownership, binding),
            ownership=ownership_facts(ownership, decision, asked.unaccepted),
            decision=facts,
            contract=policy.contract,
            recorded=asked.recorded,
            refusal=refusal,
        )
        if refusal is not None:
            self._record_refusal(admission)
        return admission

    def admit_blind(self, request: CallRequest) -> Admission:
        """Answer for a line that has itself failed: as when the policy does not, claims unread."""
        policy, unclaimed = self.policy, Ownership({}, {}, (), ())
        binding = policy.registry.binding_of(request.principal)
        decision = blind_decision(
            request, unclaimed, policy.contract, policy.registry, self.clock.now_ns()
        )
        revision = policy.engine.revision
        asked = AskedAbout(call_bucket_of(request.call_id))  # the claims were not read
        facts = decision_facts(self.new_id(), UNAVAILABLE, decision, revision, 0, asked)
        admission = Admission(
            call=call_facts(request, unclaimed, binding),
            ownership=ownership_facts(unclaimed, decision, ()),
            decision=facts,
            contract=policy.contract,
            refusal=None if decision.admitted else unavailable(facts.decision_id),
        )
        if admission.refusal is not None:
            self._record_refusal(admission)
        return admission

    def observe(self, request: CallRequest) -> Admission:
        """Ask who pays for what nobody may be refused, such as reading back an own answer."""
        policy = self.policy
        began_ns = self.clock.now_ns()
        if request.is_own:
            ownership = ownership_of_proxy(policy.registry)
        else:
            ownership = resolve_ownership(
                request.claims, policy.contract, policy.registry, request.principal, self.hasher
            )
        answered = self._decide(policy, request, ownership, began_ns)
        asked = self._asked_about(policy, request, ownership, answered, is_observed=True)
        facts = self._facts(answered, asked, began_ns)
        binding = policy.registry.binding_of(request.principal)
        return Admission(
            call=call_facts(request, ownership, binding),
            ownership=ownership_facts(ownership, answered.decision, asked.unaccepted),
            decision=replace(facts, action=Action.ADMIT.value, mode_source=OBSERVED),
            contract=policy.contract,
            recorded=asked.recorded,
        )

    def open(self, admission: Admission, attempt: AttemptFacts) -> Event:
        """Write that a provider is about to be called; returns the event to settle."""
        event = self._event(EventKind.ATTEMPT, admission, attempt)
        # Under `refuse` a call is admitted while there is room, and nothing holds it back later.
        owed = admission.contract.spool_full == "refuse"
        try:
            self._append(SpoolRecord(Stage.OPENED, event), owed=owed)
        except SpoolError:
            self.uncounted += 1
            self.unopened.add(event.event_id)
        return event

    def settle(self, event: Event, outcome: Outcome) -> None:
        """Write how an opened attempt ended. Nothing more may be written under its id."""
        record = SpoolRecord(Stage.SETTLED, replace(event, outcome=outcome))
        if event.event_id not in self.unopened:
            self._append(record)
            return
        # What is reserved belongs to those that were opened.
        self.unopened.discard(event.event_id)
        with suppress(SpoolFull):
            self._append(record, owed=False)
            self.uncounted -= 1

    def settle_late(self, event: Event, outcome: Outcome) -> None:
        """Write the outcome of an attempt that was already settled as unknown."""
        correction = replace(
            event,
            event_id=self.new_id(),
            kind=EventKind.CORRECTION,
            corrects_event_id=event.event_id,
            outcome=outcome,
        )
        self._append(SpoolRecord(Stage.SETTLED, correction))

    def record_usage(self, event: Event) -> None:
        """Write what an attempt used, where that is known apart from it."""
        assert event.kind is EventKind.USAGE, event.kind
        assert event.outcome is not None, event.event_id
        self._append(SpoolRecord(Stage.SETTLED, event))

    def record(self, admission: Admission, attempt: AttemptFacts, outcome: Outcome) -> None:
        """Write an attempt that is complete as soon as it is known, such as a cache hit."""
        event = self._event(EventKind.ATTEMPT, admission, attempt)
        self.settle(event, outcome)

    def terms_now(self) -> tuple[OverrideTerm, ...]:
        """Return the terms of all overrides, and of what is activated just now."""
        policy, at_ns = self.policy, self.clock.now_ns()
        return policy.terms + policy.break_glass.terms_of(self.activations(), at_ns)

    def write_held_refusals(self, *, at_end: bool = False) -> None:
        """Write the aggregates of repeated refusals whose minute is over, or all of them."""
        now_ns = self.clock.now_ns()
        due = self.refusals.flush() if at_end else self.refusals.due(now_ns)
        for sample, count in due:
            aggregate = replace(sample, event_id=self.new_id(), call_count=count)
            self._write_refusal(aggregate)

    def _decide(
        self, policy: PolicyInForce, request: CallRequest, ownership: Ownership, at_ns: int
    ) -> Answered:
        question = self._question(policy, request, ownership, at_ns)
        revision = policy.engine.revision
        if policy.is_remembered:
            remembered = self.memory.recall(revision, question)
            if remembered is not None:
                return Answered(remembered, "remembered", revision)
        try:
            decision = decision_from_answer(policy.engine.decide(question))
        except Exception:  # noqa: BLE001 - whatever fails here, the answer is the blind one
            return self._decide_blind(policy, request, ownership, at_ns)
        if policy.is_remembered:
            self.memory.remember(revision, question, decision, decision.valid_until)
        return Answered(decision, "decided", revision)

    async def _ask(
        self,
        server: PolicyServer,
        policy: PolicyInForce,
        request: CallRequest,
        ownership: Ownership,
        at_ns: int,
    ) -> Answered:
        question = self._question(policy, request, ownership, at_ns)
        # The server's registry may have a canary that the folder's does not know of yet.
        question["call_bucket"] = call_bucket_of(request.call_id)
        try:
            answer = await server.ask(question, request.call_id)
            decision = decision_from_answer(answer.decision)
        except Exception:  # noqa: BLE001 - whatever fails here, the answer is the blind one
            return self._decide_blind(policy, request, ownership, at_ns)
        return Answered(decision, "decided", answer.revision, answer.decision_id)

    def _question(
        self, policy: PolicyInForce, request: CallRequest, ownership: Ownership, at_ns: int
    ) -> dict[str, Any]:
        question = question_of(request, ownership, policy.contract, policy.registry, at_ns)
        told = policy.break_glass.told_of(
            self.activations(), ownership.values.get("service", ""), at_ns
        )
        return {**question, "activations": told} if told else question

    def _decide_blind(
        self, policy: PolicyInForce, request: CallRequest, ownership: Ownership, at_ns: int
    ) -> Answered:
        decision = blind_decision(request, ownership, policy.contract, policy.registry, at_ns)
        return Answered(decision, UNAVAILABLE, policy.engine.revision)

    def _asked_about(
        self,
        policy: PolicyInForce,
        request: CallRequest,
        ownership: Ownership,
        answered: Answered,
        *,
        is_observed: bool = False,
    ) -> AskedAbout:
        return asked_about(
            request,
            ownership,
            answered.decision,
            policy.contract,
            policy.registry,
            is_blind=answered.status == UNAVAILABLE,
            is_observed=is_observed,
        )

    def _facts(self, answered: Answered, asked: AskedAbout, began_ns: int) -> DecisionFacts:
        return decision_facts(
            answered.decision_id or self.new_id(),
            answered.status,
            answered.decision,
            answered.revision,
            (self.clock.now_ns() - began_ns) // 1000,
            asked,
        )

    def _refusal(
        self,
        policy: PolicyInForce,
        request: CallRequest,
        decision: Decision,
        facts: DecisionFacts,
        ownership: Ownership,
    ) -> Refusal | None:
        if not decision.admitted:
            if facts.status == UNAVAILABLE:
                return unavailable(facts.decision_id)
            return refusal_of(
                decision,
                facts.decision_id,
                ownership,
                policy.contract,
                policy.registry,
                policy.registry.binding_of(request.principal),
            )
        if not request.shape.is_known and decision.mode is Mode.ENFORCE:
            return route_unknown(facts.decision_id)
        if policy.contract.spool_full == "refuse" and not self.spool.has_room():
            return no_room(facts.decision_id)
        return None

    def _record_refusal(self, admission: Admission) -> None:
        assert admission.refusal is not None
        now_ns = self.clock.now_ns()
        self.write_held_refusals()
        event = replace(
            self._event(EventKind.REFUSAL, admission, None),
            outcome=Outcome(
                status=Status.REFUSED,
                settled_at_ns=now_ns,
                http_status=admission.refusal.http_status,
                error_type=admission.refusal.code,
            ),
        )
        kind = (*kind_of_refusal(event), admission.refusal.code)
        if self.refusals.admit(kind, event, now_ns):
            self._write_refusal(event)

    def _write_refusal(self, event: Event) -> None:
        with suppress(SpoolError):  # a refusal that cannot be counted is still a refusal
            self._append(SpoolRecord(Stage.SETTLED, event))

    def _append(self, record: SpoolRecord, *, owed: bool | None = None) -> None:
        self.spool.append(record, owed=owed)
        self.inputs.note(record)

    def _event(self, kind: EventKind, admission: Admission, attempt: AttemptFacts | None) -> Event:
        return Event(
            event_id=self.new_id(),
            kind=kind,
            call=admission.call,
            ownership=admission.ownership,
            decision=self.inputs.shown(admission.decision, admission.recorded),
            writer_id=self.spool.writer_id,
            attempt=attempt,
        )
