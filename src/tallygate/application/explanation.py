"""
Why a call was decided so: each part of a decision with the entries and the rules it came from.

Shapes  (question, decision, documents, rules that fired) -> Explanation.
Exact   The decision is the engine's. What is said here of the data is read from the same data; a
        rule that somebody changed may use it otherwise, and then the rules that fired say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tallygate.application.asked import Asked, asked_from
from tallygate.application.explained_faults import (
    entries_of_notice,
    entries_of_override,
    entries_of_violation,
    entries_that_require,
    sentence_of_violation,
)
from tallygate.application.explained_mode import entries_of_mode, sentence_of_mode
from tallygate.application.policy_places import DataEntry, Places, values_of
from tallygate.application.policy_review import Path
from tallygate.domain.attribution.contract import FieldKind

_FOREVER: Final = "9999-12-31T23:59:59Z"
_PAYING: Final = ("owner_team", "cost_center", "business_unit")


@dataclass(frozen=True, slots=True)
class Rule:
    """One body of a rule of the Rego."""

    file: str
    line: int
    name: str
    title: str
    """Its METADATA title, or that of the first body of its name."""
    head: str
    """Its first line, as it is written."""


def finds(rule: Rule, code: str) -> bool:
    """Whether a body adds violations of this code."""
    return rule.name.startswith("violation") and f'"{code}"' in rule.head


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules behind a decision, and how that is known."""

    rules: tuple[Rule, ...]
    are_those_that_fired: bool
    """Else all that could have: without `opa` nobody can say which did."""
    told_by: str
    by_violation: Mapping[tuple[str, str], tuple[Rule, ...]] = field(default_factory=dict)
    """Code and field to the bodies that found it, where that is known."""

    def of_violation(self, code: str, name: str) -> tuple[Rule, ...]:
        """Return the bodies that found a violation, else those that could have."""
        known = self.by_violation.get((code, name))
        return known if known is not None else tuple(r for r in self.rules if finds(r, code))

    def carrying(self, text: str) -> tuple[Rule, ...]:
        """Return those whose head has the text in it, in quotes."""
        return tuple(rule for rule in self.rules if f'"{text}"' in rule.head)

    def named(self, *names: str) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.name in names)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a decision, and what it came from."""

    code: str
    subject: str
    sentence: str
    entries: tuple[DataEntry, ...] = ()
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldRead:
    """One ownership field, as the policy saw it."""

    name: str
    value: str | None
    """None for what is not there, and for identifiers, which the policy does not see."""
    state: str
    """The source of the value, or absent, ok, malformed, conflicting."""
    filled_by: DataEntry | None
    """The registry's entry, where that filled it in."""
    required_by: tuple[DataEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything that can be said of why a call was decided so."""

    decision: Mapping[str, Any]
    mode: Part
    fields: tuple[FieldRead, ...]
    violations: tuple[Part, ...]
    waived: tuple[Part, ...]
    notices: tuple[Part, ...]
    payer: Part
    validity: Part
    rules: Rules


def explain(
    question: Mapping[str, Any], decision: Mapping[str, Any], places: Places, rules: Rules
) -> Explanation:
    """Trace each part of a decision to the data that it came from."""
    asked = asked_from(question, places)
    source = str(decision["mode_source"])
    return Explanation(
        decision=decision,
        mode=Part(
            source,
            str(decision["mode"]),
            sentence_of_mode(asked, source),
            entries_of_mode(asked, source, places),
            rules.carrying(source),
        ),
        fields=tuple(_fields(asked, places)),
        violations=tuple(
            _violation(asked, item["code"], item["field"], places, rules)
            for item in decision["violations"]
        ),
        waived=tuple(
            _waived(asked, item["code"], item["field"], item["override"], places, rules)
            for item in decision["waived"]
        ),
        notices=tuple(
            Part(
                item["code"],
                item["subject"],
                _NOTICES.get(item["code"], "").format(subject=item["subject"]),
                entries_of_notice(asked, item["code"], item["subject"], places),
                rules.carrying(item["code"]),
            )
            for item in decision["notices"]
        ),
        payer=_payer(asked, decision, places, rules),
        validity=_validity(asked, decision, places, rules),
        rules=rules,
    )


_NOTICES: Final = {
    "override_expired": "{subject} would have excused something here, and has expired.",
    "override_invalid": "{subject} cannot be applied as it stands.",
    "principal_unbound": "Nothing in the registry binds the principal: its claims are unproven.",
    "policy_unreadable": "{subject} could not be read.",
}


def _violation(asked: Asked, code: str, name: str, places: Places, rules: Rules) -> Part:
    return Part(
        code,
        name,
        sentence_of_violation(asked, code, name),
        entries_of_violation(asked, code, name, places),
        rules.of_violation(code, name),
    )


def _waived(
    asked: Asked, code: str, name: str, override: str, places: Places, rules: Rules
) -> Part:
    entries = entries_of_violation(asked, code, name, places)
    return Part(
        code,
        name,
        f"{sentence_of_violation(asked, code, name)} {override} excuses it.",
        (*entries, *entries_of_override(asked, override, places)),
        (*rules.of_violation(code, name), *rules.named("waived")),
    )


def _fields(asked: Asked, places: Places) -> Iterator[FieldRead]:
    for name, spec in asked.contract.fields.items():
        required_by = tuple(entries_that_require(asked, name, places))
        if name in asked.present or required_by:
            is_shown = spec.kind is not FieldKind.IDENTIFIER
            yield FieldRead(
                name,
                asked.claims.get(name) if is_shown else None,
                _state(asked, name),
                _filled_by(asked, name, places),
                required_by,
            )


def _state(asked: Asked, name: str) -> str:
    if name in asked.conflicting:
        return "conflicting"
    if name in asked.malformed:
        return "malformed"
    return asked.sources.get(name) or asked.shapes.get(name, "absent")


def _filled_by(asked: Asked, name: str, places: Places) -> DataEntry | None:
    source = asked.sources.get(name)
    if source == "default":
        return places.entry("registry", ("services", asked.service, "defaults", name))
    if source == "binding" and asked.principal is not None:
        part = {"owner_team": "team", "service": "services"}.get(name, "environments")
        return places.entry("registry", (*asked.principal, part))
    return None


def _payer(asked: Asked, decision: Mapping[str, Any], places: Places, rules: Rules) -> Part:
    owner = decision["ownership"]
    team = owner.get("owner_team")
    paying = ", ".join(owner[name] for name in _PAYING if name in owner)
    if team is None:
        sentence = "Nobody is known to pay: the spend is reported as unattributed."
        return Part("unattributed", "", sentence, (), rules.named("team"))
    entries = _naming_the_payer(asked, team, decision["action"], places)
    dated = places.items("registry", "teams", team, "cost_centers")
    begun = [(item["from"], index) for index, item in enumerate(dated) if item["from"] <= asked.now]
    if begun:
        newest = max(begun)[1]
        cost_center: Path = ("teams", team, "cost_centers", newest, "cost_center")
        entries.append(places.entry("registry", cost_center, f"from {dated[newest]['from']}"))
    if decision["action"] == "quarantine":
        sentence = "The call is in quarantine, so its cost waits with the quarantine owner."
        return Part("quarantine", paying, sentence, tuple(entries), rules.named("quarantine_team"))
    claimed = asked.owner_team == team
    sentence = (
        "The claimed team pays." if claimed else "The principal's own team pays in its place."
    )
    return Part("team", paying, sentence, tuple(entries), rules.named("team"))


def _naming_the_payer(asked: Asked, team: str, action: str, places: Places) -> list[DataEntry]:
    if action == "quarantine":
        return [places.entry("registry", ("quarantine", "owner_team"))]
    if asked.owner_team == team and asked.sources.get("owner_team") != "binding":
        return [places.entry("registry", ("teams", team))]
    if asked.principal is not None:
        return [places.entry("registry", (*asked.principal, "team"))]
    return []


def _validity(asked: Asked, decision: Mapping[str, Any], places: Places, rules: Rules) -> Part:
    until = str(decision["valid_until"])
    if until == _FOREVER:
        sentence = "No instant in the data that this decision looked at is still to come."
        return Part("valid_until", until, sentence, (), rules.named("until"))
    paying = decision["ownership"].get("owner_team", "")
    entries = [
        places.entry(document, path)
        for document, path in _instants(asked, paying, places)
        if places.at(document, *path) == until
    ]
    taken = [name for name, instants in asked.activations.items() if until in instants]
    if taken:
        entries += [
            places.entry("break_glass", (name,))
            for name in taken
            if places.at("break_glass", name) is not None
        ]
        sentence = "An activation of break-glass begins or ends then."
        return Part("valid_until", until, sentence, tuple(entries), rules.named("until"))
    if not entries:
        entries = [
            places.entry(document, path)
            for document in places.documents
            for path in _paths_to(places.at(document), until)
        ]
    sentence = "At that instant the same call may be decided otherwise."
    return Part("valid_until", until, sentence, tuple(entries), rules.named("until"))


def _instants(asked: Asked, paying: str, places: Places) -> Iterator[tuple[str, Path]]:
    for override in places.mapping("overrides", asked.service):
        yield "overrides", (asked.service, override, "starts_at")
        yield "overrides", (asked.service, override, "expires_at")
    for entry in asked.activations:
        yield "break_glass", (entry, "expires_at")
    for service in asked.services_in_question():
        for index, _ in enumerate(places.items("registry", "services", service, "schedule")):
            yield "registry", ("services", service, "schedule", index, "from")
    for name, value in asked.claims.items():
        yield "registry", (*values_of(name), value, "retired_at")
    for index, _ in enumerate(places.items("registry", "teams", paying, "cost_centers")):
        yield "registry", ("teams", paying, "cost_centers", index, "from")


def _paths_to(value: object, wanted: str, path: Path = ()) -> Iterator[Path]:
    if value == wanted:
        yield path
    steps: Sequence[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        steps = list(value.items())
    elif isinstance(value, list):
        steps = list(enumerate(value))
    for step, inner in steps:
        yield from _paths_to(inner, wanted, (*path, step))
