"""
A decision as the ledger has it, and the question that it answered, to be asked again.

Exact   Of a line without a recorded input the question is built from the line's own columns, which
        hold no value that the policy did not accept: what is not known is said, not guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tallygate.domain.attribution.contract import Contract, FieldKind, FieldSpec, Registry
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.policy.break_glass import entries_among, told_again
from tallygate.domain.policy.question import OTHER_GROUP, bucket_of, call_bucket_of

_PARTS: Final = ("action", "would_action", "mode", "mode_source", "violations", "waived", "notices")
_NOT_KEPT: Final = "?"
"""Stands for a value that was not kept; no registry lists it and no pattern takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDecision:
    """What was decided then, and the question as it can be asked now."""

    decision_id: str
    call_id: str
    decided_at: str
    revision: str | None
    status: str
    """`decided`, `remembered` or `unavailable`."""
    decision: Mapping[str, Any]
    question: Mapping[str, Any]
    gaps: tuple[str, ...] | None
    """What the question lacks; None where the whole input was recorded."""

    def differences(self, today: Mapping[str, Any]) -> tuple[str, ...]:
        """Name the parts that are decided otherwise now."""
        return tuple(
            name for name in _PARTS if _sorted(self.decision[name]) != _sorted(today[name])
        )


def decision_from_row(
    row: Mapping[str, Any],
    question: Mapping[str, Any] | None,
    contract: Contract,
    registry: Registry,
) -> RecordedDecision:
    """Read a line of the ledger; without a question that was recorded, build one from it."""
    gaps = None
    if question is None:
        question = _question_of(row, contract, registry)
        gaps = tuple(_gaps_of(row, contract))
    return RecordedDecision(
        decision_id=row["decision_id"],
        call_id=row["call_id"],
        decided_at=text_from_ns(row["call_started_at_ns"]),
        revision=row["policy_revision"],
        status=row["decision_status"],
        decision={name: row[name] for name in _PARTS},
        question=question,
        gaps=gaps,
    )


def _question_of(row: Mapping[str, Any], contract: Contract, registry: Registry) -> dict[str, Any]:
    sources = row["sources"]
    found = {item["field"]: item["code"] for item in (*row["violations"], *row["waived"])}
    values = {name: _value_of(row, name) for name in contract.fields}
    claims: dict[str, str] = {}
    shapes: dict[str, str] = {}
    conflicts: list[str] = []
    malformed: list[str] = []
    for name, code in found.items():
        if code == "ownership_conflict" and name not in sources:
            conflicts.append(name)
        elif code == "ownership_malformed" and name not in sources:
            malformed.append(name)
    for name, spec in contract.fields.items():
        if spec.kind is FieldKind.IDENTIFIER:
            shapes[name] = _shape_of(name, sources, {*conflicts, *malformed})
        elif name in sources:
            claims[name] = values[name] or _NOT_KEPT
    key = row["principal_key_hash"]
    group = registry.model_groups.get(row["model_group"] or row["request_model"] or "", OTHER_GROUP)
    taken = entries_among(item["override"] for item in row["waived"])
    return {
        **({"activations": told_again(taken)} if taken else {}),
        "call": {
            "route": row["route"],
            "call_type": row["call_type"],
            "model_group": group,
            "stream": bool(row["stream"]),
        },
        "ownership": claims,
        "sources": {name: sources[name] for name in claims},
        "shapes": {**shapes, "trace_id": row["trace_source"]},
        "conflicts": sorted(conflicts),
        "malformed": sorted(malformed),
        "principal": {
            "team": row["principal_team"] or "",
            "key": key if key in registry.bindings_by_key else "",
        },
        "bucket": bucket_of(claims.get("service", ""), claims.get("workflow_id", "")),
        "call_bucket": call_bucket_of(row["call_id"]),
        "now": text_from_ns(row["call_started_at_ns"]),
    }


def _value_of(row: Mapping[str, Any], name: str) -> str | None:
    value = row["claimed_owner_team"] if name == "owner_team" else row.get(name)
    value = row["extra"].get(name) if value is None else value
    return value if isinstance(value, str) else None


def _shape_of(name: str, sources: Mapping[str, str], faulty: set[str]) -> str:
    if name in faulty:
        return "malformed"
    return "ok" if name in sources else "absent"


def _gaps_of(row: Mapping[str, Any], contract: Contract) -> Iterator[str]:
    lost = [
        name
        for name, spec in contract.fields.items()
        if _is_shown(spec) and name in row["sources"] and _value_of(row, name) is None
    ]
    if lost:
        yield f"the values of {', '.join(lost)}, which the policy did not accept"
    yield "which further models the call wanted tried"
    if row["request_model"] is None:
        yield "the model, for the call was not sent"


def _is_shown(spec: FieldSpec) -> bool:
    return spec.kind is not FieldKind.IDENTIFIER


def _sorted(part: Any) -> Any:  # noqa: ANN401 - JSON is Any
    return sorted(part, key=str) if isinstance(part, list) else part
