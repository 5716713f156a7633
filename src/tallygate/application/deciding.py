"""What an engine is asked about a call, what it answered, and what is answered without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tallygate.application.facts import CallRequest
from tallygate.domain.attribution.contract import Contract, Registry
from tallygate.domain.attribution.ownership import Ownership
from tallygate.domain.policy.blind import decide_blind
from tallygate.domain.policy.decision import Decision
from tallygate.domain.policy.question import call_bucket_of, question_about, with_call_bucket

UNAVAILABLE: Final = "unavailable"


@dataclass(frozen=True, slots=True)
class Answered:
    """A decision, and what answered it."""

    decision: Decision
    status: str
    """`decided`, `remembered` or `unavailable`."""
    revision: str | None
    decision_id: str | None = None
    """Given by an OPA server that logs its decisions."""


def question_of(
    request: CallRequest, ownership: Ownership, contract: Contract, registry: Registry, at_ns: int
) -> dict[str, Any]:
    """Build the input document about a call."""
    principal, shape = request.principal, request.shape
    question = question_about(shape, ownership, request.trace, principal, contract, registry, at_ns)
    bucket = call_bucket_of(request.call_id)
    return with_call_bucket(question, bucket, principal, contract, registry)


def blind_decision(
    request: CallRequest, ownership: Ownership, contract: Contract, registry: Registry, at_ns: int
) -> Decision:
    """Decide from the table alone, about the same call."""
    binding = registry.binding_of(request.principal)
    bucket = call_bucket_of(request.call_id)
    return decide_blind(ownership, binding, contract, registry, at_ns, bucket)
