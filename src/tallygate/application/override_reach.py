"""
What overrides can reach: violations that can occur, all that can occur, and the same ones twice.

Shapes  A reach is a set of (code, field). It follows admission/ownership.rego: which violation a
        field of that kind can have at all, and what the contract asks of the service where.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from tallygate.application.policy_review import Path, Review, list_of, mapping_of

WAIVABLE: Final = (
    "ownership_missing",
    "ownership_unknown",
    "ownership_retired",
    "ownership_malformed",
)
_UNSAID: Final = ("ownership_missing",)
_VOCABULARY: Final = ("ownership_unknown", "ownership_retired", "ownership_malformed")
_TEXT: Final = ("ownership_malformed",)
Reach = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Term:
    """One override that is or will be in force."""

    service: str
    name: str
    reach: Reach
    environments: frozenset[str]
    scoped: bool
    """It names its environments, so a call without one is outside."""
    starts_at: str
    expires_at: str

    @property
    def path(self) -> Path:
        return (self.service, self.name)

    def holds_with(self, other: _Term) -> bool:
        return self.starts_at < other.expires_at and other.starts_at < self.expires_at


def review_reach(review: Review) -> None:
    """Judge what the overrides that have not expired excuse."""
    environments = frozenset(
        str(name) for name in mapping_of(review.at("registry", "environments"))
    )
    for service, _ in review.entries("overrides"):
        if service not in mapping_of(review.at("registry", "services")):
            continue
        terms = []
        for name, entry in review.entries("overrides", service):
            term = _term_of(service, name, entry, environments)
            if term is not None and review.now < term.expires_at:
                terms.append(term)
                _unused(review, term, entry)
        _everything(review, terms)
        _overlaps(review, terms)


def _term_of(
    service: str, name: str, entry: Mapping[str, Any], environments: frozenset[str]
) -> _Term | None:
    starts_at, expires_at = entry.get("starts_at"), entry.get("expires_at")
    if not isinstance(starts_at, str) or not isinstance(expires_at, str):
        return None
    if not list_of(entry.get("codes")) or not set(map(str, entry["codes"])) <= set(WAIVABLE):
        return None  # what it would excuse has to be mended first
    pairs = frozenset(
        (str(code), str(field))
        for code in list_of(entry.get("codes"))
        for field in list_of(entry.get("fields"))
    )
    named = frozenset(str(one) for one in list_of(entry.get("environments")))
    scope = named & environments if named else environments
    return _Term(service, name, pairs, scope, bool(named), starts_at, expires_at)


def _unused(review: Review, term: _Term, entry: Mapping[str, Any]) -> None:
    fields = mapping_of(review.at("contract", "fields"))
    named = [str(name) for name in list_of(entry.get("fields"))]
    possible = _possible(review, term.service, term.environments)
    if not term.environments:
        return  # it names none that exists, and that has been said
    if term.scoped:
        # Without an environment the call is not in one of those that the override names.
        possible -= {(code, "environment") for code in (*_UNSAID, "ownership_unknown")}
    used = {field for code, field in term.reach if (code, field) in possible}
    for index, field in enumerate(named):
        if field in fields and field not in used:
            review.say(
                "overrides",
                (*term.path, "fields", index),
                "override_unused_field",
                f"no violation that it names can concern {field} of {term.service}"
                f" {_in(term.environments)}: {_why(field, fields)}",
                "Remove the field, or name the one that is missing.",
            )
    for index, code in enumerate(list_of(entry.get("codes"))):
        if used and not any((str(code), field) in possible for field in used):
            review.say(
                "overrides",
                (*term.path, "codes", index),
                "override_unused_code",
                f"{code} cannot occur on {' or '.join(sorted(used))}.",
                "Remove the code; an override excuses no more than it must.",
                "warning",
            )


def _why(field: str, fields: Mapping[str, Any]) -> str:
    if field == "service":
        return "an override is found by the service that the call names."
    kind = mapping_of(fields[field]).get("kind")
    return f"it is not required there, and these codes do not occur on a field of kind {kind}."


def _possible(review: Review, service: str, environments: Iterable[str]) -> set[tuple[str, str]]:
    """Every violation that a call which names this service can have."""
    found: set[tuple[str, str]] = set()
    for field, entry in review.entries("contract", "fields"):
        codes = _VOCABULARY if entry.get("kind") == "vocabulary" else _TEXT
        found |= {(code, field) for code in codes}
    for environment in environments:
        asked = _asked(review, service, environment)
        found |= {(code, field) for field in asked for code in _UNSAID}
    # The service is named and registered, or the override would not be found or would be refused.
    return found - {(code, "service") for code in (*_UNSAID, "ownership_unknown")}


def _asked(review: Review, service: str, environment: str) -> set[str]:
    """Find the fields that can be missing: required ones, and the first of each group."""
    layers = (("default",), ("environments", environment), ("services", service))
    asked = {
        str(field)
        for layer in layers
        for field in list_of(review.at("contract", "required", *layer))
    }
    for group in list_of(review.at("contract", "one_of")):
        scope = mapping_of(group)
        places = ((environment, scope.get("environments")), (service, scope.get("services")))
        if list_of(scope.get("fields")) and all(
            not list_of(named) or value in list_of(named) for value, named in places
        ):
            asked.add(str(scope["fields"][0]))
    return asked


def _everything(review: Review, terms: Sequence[_Term]) -> None:
    """Find the overrides, alone or together, after which nothing is asked of a call."""
    told: set[str] = set()
    for term in sorted(terms, key=lambda term: (term.starts_at, term.name)):
        together = [
            other for other in terms if other.starts_at <= term.starts_at < other.expires_at
        ]
        alone = _excused(review, term.service, [term])
        excused = alone or _excused(review, term.service, together)
        if not excused or (not alone and told & {other.name for other in together}):
            continue
        told |= {term.name} if alone else {other.name for other in together}
        others = [other.name for other in together if other is not term]
        said = "it" if alone else f"together with {', '.join(others)} it"
        review.say(
            "overrides",
            (*term.path, "fields"),
            "override_excuses_everything",
            f"{said} excuses everything that is asked of {term.service} {_in(excused)}.",
            "Name only what is really missing; report_only is what lets everything pass.",
        )


def _excused(review: Review, service: str, terms: Sequence[_Term]) -> set[str]:
    """Find where these overrides excuse every code, or everything that can be left out."""
    everywhere = {environment for term in terms for environment in term.environments}
    wholly: set[str] = set()
    unsaid: set[str] = set()
    for environment in everywhere:
        here = [term for term in terms if environment in term.environments]
        reach = {pair for term in here for pair in term.reach}
        asked = _asked(review, service, environment) - {"service"}
        if all(term.scoped for term in here):
            asked -= {"environment"}
        possible = _possible(review, service, [environment])
        if asked and all(pair in reach for pair in possible if pair[1] in asked):
            wholly.add(environment)
        if len(asked) > 1 and all((code, field) in reach for field in asked for code in _UNSAID):
            unsaid.add(environment)
    return wholly or (unsaid if unsaid == everywhere else set())


def _overlaps(review: Review, terms: Sequence[_Term]) -> None:
    for one, other in combinations(sorted(terms, key=lambda term: term.starts_at), 2):
        both = one.reach & other.reach
        if both and one.environments & other.environments and one.holds_with(other):
            code, field = min(both)
            review.say(
                "overrides",
                other.path,
                "override_overlaps",
                f"{one.name} excuses {code} on {field} at the same time, until {one.expires_at}.",
                "Keep one of them, or let one begin when the other ends.",
                "warning",
            )


def _in(environments: Iterable[str]) -> str:
    return f"in {', '.join(sorted(environments)) or 'any environment'}"
