"""
The policy's answer, read strictly: anything that is not on the closed lists is no answer.

Shapes  The JSON object that `tallygate/admission/decision` returns -> Decision.
Errors  EngineFailed, naming the part that could not be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tallygate.errors import EngineFailed


class Action(StrEnum):
    """What happens to the call."""

    ADMIT = "admit"
    QUARANTINE = "quarantine"
    """It passes, and its cost goes to the quarantine owner."""
    REJECT = "reject"


class Mode(StrEnum):
    """What the gate does with a violation."""

    REPORT_ONLY = "report_only"
    ENFORCE = "enforce"


CONFLICT = "ownership_conflict"
"""The one code that makes a refusal a 403, and that nothing waives."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One reason: a stable code and the field it is about."""

    code: str
    field: str


@dataclass(frozen=True, slots=True)
class Waived:
    """A violation that an override excuses."""

    code: str
    field: str
    override: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something people should know that changes nothing about this call."""

    code: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the policy answered about one call."""

    action: Action
    would_action: Action
    """What enforce would have done."""
    mode: Mode
    mode_source: str
    violations: tuple[Violation, ...] = ()
    waived: tuple[Waived, ...] = ()
    notices: tuple[Notice, ...] = ()
    ownership: Mapping[str, str] = field(default_factory=dict)
    """Derived: the team that pays, its cost center and business unit."""
    valid_until: str = ""
    """The earliest instant at which the same question may be answered differently."""

    @property
    def admitted(self) -> bool:
        return self.action is not Action.REJECT


def decision_from_answer(answer: object) -> Decision:
    """Read an engine's answer; an unknown action or a missing part is EngineFailed."""
    if not isinstance(answer, Mapping):
        raise EngineFailed("the policy's answer is not an object")
    try:
        return Decision(
            action=Action(answer["action"]),
            would_action=Action(answer["would_action"]),
            mode=Mode(answer["mode"]),
            mode_source=_text(answer["mode_source"]),
            violations=tuple(
                Violation(_text(v["code"]), _text(v["field"])) for v in _list(answer["violations"])
            ),
            waived=tuple(
                Waived(_text(w["code"]), _text(w["field"]), _text(w["override"]))
                for w in _list(answer["waived"])
            ),
            notices=tuple(
                Notice(_text(n["code"]), _text(n["subject"])) for n in _list(answer["notices"])
            ),
            ownership={_text(k): _text(v) for k, v in answer["ownership"].items()},
            valid_until=_text(answer["valid_until"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EngineFailed(
            f"the policy's answer cannot be read: {type(error).__name__} at {error}"
        ) from error


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - whatever the engine returned
    if not isinstance(value, list):
        raise TypeError("a part that must be a list is not")
    return value


def _text(value: Any) -> str:  # noqa: ANN401 - whatever the engine returned
    if not isinstance(value, str):
        raise TypeError("a part that must be text is not")
    return value
