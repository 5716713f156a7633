"""
The question that the gate asks the policy: one JSON object, the same for both engines.

Vocabulary and pattern fields enter as text; identifiers only as a shape, which keeps personal data
out of decision logs and makes the distinct questions few enough to remember and to replay.

Source  DESIGN section 4; `policies/schemas/input.json` describes the same object.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from tallygate.domain.attribution.contract import Contract, FieldKind, Principal, Registry
from tallygate.domain.attribution.ownership import Ownership
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.policy.reach import canary_matters

OTHER_GROUP: Final = "other"
UNKNOWN_ROUTE: Final = "unknown"
"""The route of a call that this release cannot account for."""
_BUCKETS: Final = 100


@dataclass(frozen=True, slots=True)
class CallShape:
    """What kind of call it is, in terms that few calls differ in."""

    route: str
    """The route's pattern, with its placeholders."""
    call_type: str
    model: str | None
    """The name that the client asked for; only its registry group enters the question."""
    stream: bool
    other_models: tuple[str, ...] = ()
    """Further names that the client wants tried, such as fallbacks in the body."""
    is_known: bool = True
    """Whether the gate knows how this route is accounted; one that it does not is not enforced
    by guess, it is refused."""


def question_about(
    call: CallShape,
    ownership: Ownership,
    trace: Trace,
    principal: Principal,
    contract: Contract,
    registry: Registry,
    at_ns: int,
) -> dict[str, Any]:
    """Build the input document of `tallygate/admission/decision`, without the call's bucket."""
    shown = {
        name: ownership.values[name]
        for name, spec in contract.fields.items()
        if spec.kind is not FieldKind.IDENTIFIER and name in ownership.values
    }
    shapes = {
        name: ownership.shape_of(name)
        for name, spec in contract.fields.items()
        if spec.kind is FieldKind.IDENTIFIER
    }
    malformed = set(ownership.malformed) | ({"trace_id"} if trace.malformed else set())
    key = principal.key_hash
    return {
        "call": {
            "route": call.route,
            "call_type": call.call_type,
            "model_group": _group_of(call, registry),
            "stream": call.stream,
        },
        "ownership": shown,
        "sources": {name: str(ownership.sources[name]) for name in shown},
        "shapes": {**shapes, "trace_id": trace.source},
        "conflicts": list(ownership.conflicts),
        "malformed": sorted(malformed),
        "principal": {
            "team": principal.team or "",
            "key": key if key is not None and key in registry.bindings_by_key else "",
        },
        "bucket": bucket_of(shown.get("service", ""), shown.get("workflow_id", "")),
        "now": text_from_ns(at_ns),
    }


def with_call_bucket(
    question: dict[str, Any],
    call_bucket: int,
    principal: Principal,
    contract: Contract,
    registry: Registry,
) -> dict[str, Any]:
    """Add the call's own bucket where a canary can matter, and nowhere else."""
    binding = registry.binding_of(principal)
    if canary_matters(question["ownership"], binding, contract, registry):
        return {**question, "call_bucket": call_bucket}
    return question


def _group_of(call: CallShape, registry: Registry) -> str:
    """Return the group of every model that may answer; of several groups, none can be promised."""
    names = (call.model or "", *call.other_models)
    groups = {registry.model_groups.get(name, OTHER_GROUP) for name in names}
    return groups.pop() if len(groups) == 1 else OTHER_GROUP


def bucket_of(service: str, workflow_id: str) -> int:
    """0 to 99, stable for a service's workflow, so that a refused client cannot retry into luck."""
    digest = hashlib.sha256(f"{service}\0{workflow_id}".encode()).digest()
    return int.from_bytes(digest[:8]) % _BUCKETS


def call_bucket_of(call_id: str) -> int:
    """0 to 99, stable for a call; a retry is another call, and may have another one."""
    return int.from_bytes(hashlib.sha256(call_id.encode()).digest()[:8]) % _BUCKETS
