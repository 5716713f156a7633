"""
What the gate knew of a call before the policy's data had its say, kept to be asked about again.

From it the question can be built under any revision: what the registry binds or defaults is left
out, and models stand in place of their group, because those follow from the revision that answers.

Shapes  A JSON object: `call`, `claims`, `sources`, `shapes`, `conflicts`, `malformed`, `principal`;
        `bucket` where it does not follow from the claims; `is_own` and `is_observed` where true;
        `activations`, the ids of break-glass entries that excused it.
Exact   A value that was not accepted, and a model that the registry does not list, stand as `?`
        and 8 hex digits. Many texts share them, so they prove nobody's; yet a name that another
        registry knows is found again. Text that begins with `?` itself gets one more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from typing_extensions import override

from tallygate.domain.attribution.contract import (
    Contract,
    FieldKind,
    FieldSpec,
    Principal,
    Registry,
)
from tallygate.domain.attribution.ownership import (
    BAGGAGE,
    Ownership,
    Source,
    ownership_of_proxy,
    with_registered,
)
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.kernel.digests import digest_of_value
from tallygate.domain.policy.break_glass import told_again
from tallygate.domain.policy.question import (
    OTHER_GROUP,
    CallShape,
    bucket_of,
    question_about,
    with_call_bucket,
)

IS_OWN: Final = "is_own"
"""Set where LiteLLM made the call on its own account."""
IS_OBSERVED: Final = "is_observed"
"""Set where the call could not be refused, whatever the policy said."""
ACTIVATIONS: Final = "activations"
"""Set where somebody had activated what excused the call: a fact of that day, as `now` is."""

_MARK: Final = "?"
_HEX_DIGITS: Final = 8
_FILLED: Final = frozenset({Source.BINDING, Source.DEFAULT})
_TRACE: Final = "trace_id"
_MODELS_MAX: Final = 16
_BUCKETED: Final = ("service", "workflow_id")


def record_input(
    call: CallShape,
    ownership: Ownership,
    trace: Trace,
    principal: Principal,
    contract: Contract,
    registry: Registry,
    unaccepted: Collection[str],
) -> dict[str, Any]:
    """Record what a call said; no value of the fields `unaccepted` enters it."""
    values, sources = ownership.values, ownership.sources
    claims: dict[str, str] = {}
    shapes: dict[str, str] = {}
    for name, spec in contract.fields.items():
        is_claimed = name in values and sources[name] not in _FILLED
        if spec.kind is FieldKind.IDENTIFIER:
            is_filled = name in values and not is_claimed
            shapes[name] = "absent" if is_filled else ownership.shape_of(name)
        elif is_claimed:
            claims[name] = _written(values[name], is_known=name not in unaccepted)
    shapes[_TRACE] = trace.source
    malformed = set(ownership.malformed) | ({_TRACE} if trace.malformed else set())
    recorded: dict[str, Any] = {
        "call": {
            "route": call.route,
            "call_type": call.call_type,
            "stream": call.stream,
            "models": _models(call, registry),
        },
        "claims": claims,
        "sources": {name: sources[name].value for name in claims},
        "shapes": shapes,
        "conflicts": list(ownership.conflicts),
        "malformed": sorted(malformed),
        "principal": {"team": principal.team or "", "key": principal.key_hash or ""},
    }
    if any(name in unaccepted and name in claims for name in _BUCKETED):
        recorded["bucket"] = bucket_of(*(values.get(name, "") for name in _BUCKETED))
    return recorded


def digest_of_input(recorded: Mapping[str, Any]) -> str:
    """Digest a recorded input; TypeError where it is no JSON, as with half of a surrogate pair."""
    return digest_of_value(recorded)


def question_from_recorded(
    recorded: Mapping[str, Any],
    contract: Contract,
    registry: Registry,
    *,
    call_bucket: int | None,
    at_ns: int,
) -> dict[str, Any]:
    """
    Build the question that the gate would ask under a revision's contract and registry.

    What the contract of its day did not ask for was not gathered, and is absent.
    """
    call, principal = recorded["call"], recorded["principal"]
    asking = Principal(team=principal["team"] or None, key_hash=principal["key"] or None)
    untold: set[str] = set()
    if recorded.get(IS_OWN, False):
        ownership = ownership_of_proxy(registry)
    else:
        claimed = _claimed(recorded, contract, registry, untold)
        ownership = with_registered(claimed, contract, registry, asking)
    model, *others = (_name_of(written, registry) for written in call["models"])
    question = question_about(
        CallShape(
            route=call["route"],
            call_type=call["call_type"],
            model=model,
            stream=call["stream"],
            other_models=tuple(others),
        ),
        ownership,
        Trace("", recorded["shapes"][_TRACE], "", malformed=_TRACE in recorded["malformed"]),
        asking,
        contract,
        registry,
        at_ns,
    )
    if "bucket" in recorded and not untold.isdisjoint(_BUCKETED):
        question["bucket"] = recorded["bucket"]
    if ACTIVATIONS in recorded:
        question[ACTIVATIONS] = told_again(recorded[ACTIVATIONS])
    if call_bucket is None:
        return question
    return with_call_bucket(question, call_bucket, asking, contract, registry)


def _claimed(
    recorded: Mapping[str, Any], contract: Contract, registry: Registry, untold: set[str]
) -> Ownership:
    """Return what was claimed, as far as the contract has a place for it."""
    fields = contract.fields
    values: dict[str, str] = {}
    malformed = {name for name in recorded["malformed"] if name in fields or name == BAGGAGE}
    for name, written in recorded["claims"].items():
        spec = fields.get(name)
        if spec is None:
            continue
        value = _text_of(written) or _registered(spec, written, registry)
        if value is None:
            value = written
            untold.add(name)
        if not _is_taken(spec, value, contract):
            malformed.add(name)
            continue
        if name in untold and spec.kind is not FieldKind.VOCABULARY:
            malformed.add(name)
        values[name] = value
    sources = {name: Source(recorded["sources"][name]) for name in values}
    for name, shape in recorded["shapes"].items():
        if shape == "ok" and name in fields:  # what it was is not known, where it now matters
            values[name] = _MARK
            sources[name] = Source.HEADER
    conflicts = sorted(name for name in recorded["conflicts"] if name in fields)
    return Ownership(values, sources, tuple(conflicts), tuple(sorted(malformed)))


def _registered(spec: FieldSpec, token: str, registry: Registry) -> str | None:
    """Find the name that a token stands for, where the field's names are registered."""
    if spec.kind is not FieldKind.VOCABULARY:
        return None
    return _tokens_of(_Held(registry)).get(spec.name, {}).get(token)


def _is_taken(spec: FieldSpec, value: str, contract: Contract) -> bool:
    """Whether the gate would take the value off the wire."""
    if len(value) > contract.limits.value_chars:
        return False
    pattern = spec.pattern if spec.kind is FieldKind.IDENTIFIER else None
    return pattern is None or pattern.fullmatch(value) is not None


def _models(call: CallShape, registry: Registry) -> list[str]:
    """Write the models' names, each once; of very many, enough to tell whether they are alike."""
    groups = registry.model_groups
    names = list(dict.fromkeys((call.model or "", *call.other_models)))
    if len(names) > _MODELS_MAX:
        first = groups.get(names[0], OTHER_GROUP)
        odd = (name for name in names if groups.get(name, OTHER_GROUP) != first)
        names = [*names[: _MODELS_MAX - 1], next(odd, names[_MODELS_MAX - 1])]
        names = list(dict.fromkeys(names))
    return [_written(name, is_known=name in groups) for name in names]


def _name_of(written: str, registry: Registry) -> str:
    name = _text_of(written)
    if name is None:
        return _tokens_of(_Held(registry))[_MODELS].get(written, written)
    return name


def _written(text: str, *, is_known: bool) -> str:
    if not is_known:
        return _token_of(text) if text else text
    return _MARK + text if text.startswith(_MARK) else text


def _text_of(written: str) -> str | None:
    """Return the text, or None where only its token was kept."""
    if not written.startswith(_MARK):
        return written
    return written[1:] if written.startswith(_MARK, 1) else None


def _token_of(text: str) -> str:
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return _MARK + digest[:_HEX_DIGITS]


_MODELS: Final = "\0models"
"""No field is named like this."""


class _Held:
    """A registry as a key: equal to itself alone, and cheap to compare."""

    __slots__ = ("registry",)

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.registry is self.registry

    @override
    def __hash__(self) -> int:
        return id(self.registry)


@lru_cache(maxsize=4)
def _tokens_of(held: _Held) -> Mapping[str, Mapping[str, str]]:
    """Map token to name, for each field and for the models; made once for a registry."""
    registry = held.registry
    names: dict[str, Iterable[str]] = {**registry.values, _MODELS: registry.model_groups}
    return {field: {_token_of(name): name for name in known} for field, known in names.items()}
