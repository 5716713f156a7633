"""
What each decision was about, kept once: the recorded input of a call, and which were written.

Shapes  An event carries the digest of its input always, and the input itself until this process
        has written a settled event with it: what comes to the ledger after that has it there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from tallygate.application.facts import AskedAbout, CallRequest, unaccepted_fields
from tallygate.domain.attribution.contract import Contract, FieldKind, Registry
from tallygate.domain.attribution.ownership import Ownership
from tallygate.domain.ledger.events import DecisionFacts, SpoolRecord, Stage
from tallygate.domain.policy.break_glass import entries_among
from tallygate.domain.policy.decision import Decision
from tallygate.domain.policy.question import call_bucket_of
from tallygate.domain.policy.recorded_input import (
    ACTIVATIONS,
    IS_OBSERVED,
    IS_OWN,
    digest_of_input,
    record_input,
)

CAPACITY: Final = 20_000
"""Digests that a process remembers; one that it forgot is written again and counts once."""


def asked_about(
    request: CallRequest,
    ownership: Ownership,
    decision: Decision,
    contract: Contract,
    registry: Registry,
    *,
    is_blind: bool,
    is_observed: bool = False,
) -> AskedAbout:
    """Record what a decision was about."""
    if is_blind:  # nobody has judged the values
        unaccepted = _unproven(ownership, contract, registry)
    else:
        unaccepted = unaccepted_fields(decision)
    recorded = record_input(
        request.shape,
        ownership,
        request.trace,
        request.principal,
        contract,
        registry,
        unaccepted,
    )
    if request.is_own:
        recorded[IS_OWN] = True
    if is_observed:
        recorded[IS_OBSERVED] = True
    if taken := entries_among(each.override for each in decision.waived):
        recorded[ACTIVATIONS] = taken
    bucket = call_bucket_of(request.call_id)
    try:
        digest = digest_of_input(recorded)
    except TypeError:  # no JSON; a question of that kind has no answer either
        return AskedAbout(bucket, frozenset(unaccepted))
    return AskedAbout(bucket, frozenset(unaccepted), digest, recorded)


def _unproven(ownership: Ownership, contract: Contract, registry: Registry) -> set[str]:
    """Name the fields whose value the gate cannot accept by itself, as the policy would."""
    unproven = set()
    for name, value in ownership.values.items():
        spec = contract.fields.get(name)
        if spec is not None and spec.kind is FieldKind.IDENTIFIER:
            continue  # the gate has matched it already
        if spec is not None and spec.kind is FieldKind.PATTERN and spec.pattern is not None:
            is_proven = spec.pattern.search(value) is not None
        else:
            is_proven = value in registry.values.get(name, ())
        if not is_proven:
            unproven.add(name)
    return unproven


class InputsKept:
    """Which inputs this process has written; bounded, least recently seen out first."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        assert capacity > 0, capacity
        self._capacity = capacity
        self._written: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._written)

    def shown(self, decision: DecisionFacts, recorded: Mapping[str, Any] | None) -> DecisionFacts:
        """Put the input on the decision of an event, unless it was written before."""
        digest = decision.input_digest
        if digest is None or recorded is None:
            return decision
        if digest in self._written:
            with suppress(KeyError):  # another thread pushed it out meanwhile
                self._written.move_to_end(digest)
            return decision
        return replace(decision, input=recorded)

    def note(self, record: SpoolRecord) -> None:
        """Remember that the spool took a record."""
        # An opened one is not enough: it reaches the ledger when it is settled, and events
        # that settle sooner would stand there without their input.
        decision = record.event.decision
        if decision.input is None or record.stage is not Stage.SETTLED:
            return
        assert decision.input_digest is not None, record.event_id
        self._written[decision.input_digest] = None
        while len(self._written) > self._capacity:
            self._written.popitem(last=False)
