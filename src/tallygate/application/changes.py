"""
Changes that a call or the policy data could have, and what they make of both.

Shapes  A change is data; `suppose` puts several into a question and a data document, neither of
        which is touched.
Source  What a change does to a question is what the gate would make of the call: the service's
        defaults follow the service, the bucket follows service and workflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tallygate.application.policy_places import DataEntry
from tallygate.application.policy_review import Path
from tallygate.domain.attribution.contract import Contract, FieldKind, Registry
from tallygate.domain.policy.question import bucket_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that somebody could do."""

    by: str
    """`caller`, `registry` or `override`: whose it is to do."""
    about: str
    """The ownership field; empty for an override."""
    text: str
    sends: str | None = None
    """The value that the field then has; of an identifier, one that its pattern takes."""
    puts: Mapping[Path, Any] = field(default_factory=dict)
    """What to put into the data, by document and path: a mapping is merged, a list appended."""
    entry: DataEntry | None = None
    """Where to edit."""
    command: str | None = None


def suppose(
    question: Mapping[str, Any],
    data: Mapping[str, Any],
    changes: Sequence[Change],
    contract: Contract,
    registry: Registry,
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return the question and the data as the changes make them."""
    changed: Mapping[str, Any] = data
    for change in changes:
        for path, value in change.puts.items():
            changed = _with(changed, path, value)
    sent = {change.about: change.sends for change in changes if change.sends is not None}
    return _asked_with(question, sent, contract, registry), changed


def _asked_with(
    question: Mapping[str, Any], sent: Mapping[str, str], contract: Contract, registry: Registry
) -> dict[str, Any]:
    claims, sources = dict(question["ownership"]), dict(question["sources"])
    shapes = dict(question["shapes"])
    if "service" in sent:  # another service has other defaults
        for name in [name for name, source in sources.items() if source == "default"]:
            claims.pop(name, None)
            del sources[name]
    for name, value in sent.items():
        spec = contract.fields.get(name)
        if spec is None:
            continue  # baggage and trace_id: no longer being malformed is all there is to it
        if spec.kind is FieldKind.IDENTIFIER:
            shapes[name] = "ok"
        else:
            claims[name], sources[name] = value, "header"
    conflicts = [name for name in question["conflicts"] if name not in sent]
    malformed = [name for name in question["malformed"] if name not in sent]
    defaults = registry.service_defaults.get(claims.get("service", ""), {})
    for name, value in defaults.items():
        spec = contract.fields.get(name)
        spoken = name in claims or name in conflicts or name in malformed
        if spec is not None and spec.kind is not FieldKind.IDENTIFIER and not spoken:
            claims[name], sources[name] = value, "default"
    bucket = question.get("bucket")
    if "service" in sent or "workflow_id" in sent:
        bucket = bucket_of(claims.get("service", ""), claims.get("workflow_id", ""))
    return {
        **question,
        "ownership": claims,
        "sources": sources,
        "shapes": shapes,
        "conflicts": conflicts,
        "malformed": malformed,
        "bucket": bucket,
    }


def _with(value: Any, path: Path, put: Any) -> Any:  # noqa: ANN401 - JSON is Any
    """Copy what lies along the path, and leave the rest shared."""
    if not path:
        if isinstance(value, list):
            return [*value, *put]
        return {**value, **put} if isinstance(value, dict) else put
    step, rest = path[0], path[1:]
    inside = value if isinstance(value, dict) else {}
    return {**inside, step: _with(inside.get(step), rest, put)}
