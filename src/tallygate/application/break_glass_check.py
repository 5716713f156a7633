"""Break-glass: what may be excused in an incident, for how long, and whether anybody can do it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from tallygate.application.override_check import review_approval, review_scope
from tallygate.application.policy_review import Path, Review, list_of, mapping_of, offer
from tallygate.domain.policy.break_glass import DEFAULT_MAX_HOURS

_DOCUMENT: Final = "break_glass"
_ALIKE: Final = 0.85
"""Of 1: one letter in ten."""


def review_break_glass(review: Review) -> None:
    """Judge each entry on its scope, its hours, its approval and who holds its role."""
    for name, entry in review.entries(_DOCUMENT):
        path: Path = (name,)
        review.names_in(_DOCUMENT, path, entry, ("services",))
        review_scope(review, _DOCUMENT, path, entry)
        review_approval(review, _DOCUMENT, path, entry)
        _hours(review, path, entry)
        _role(review, path, entry)
        _term(review, path, entry)
    _holders(review)


def _hours(review: Review, path: Path, entry: Mapping[str, Any]) -> None:
    allowed = review.at("contract", "overrides", "max_break_glass_hours")
    most = allowed if isinstance(allowed, int) else DEFAULT_MAX_HOURS
    hours = entry.get("max_hours")
    if isinstance(hours, int) and hours > most:
        review.say(
            _DOCUMENT,
            (*path, "max_hours"),
            "break_glass_too_long",
            f"one activation may be {hours} hours; the contract allows {most}.",
            "Lower it; an incident that goes on can be activated again.",
        )


def _role(review: Review, path: Path, entry: Mapping[str, Any]) -> None:
    holders = mapping_of(review.at("roles", "holders"))
    held = [
        role
        for role, principals in holders.items()
        if list_of(mapping_of(principals).get("teams"))
        or list_of(mapping_of(principals).get("keys"))
    ]
    role = entry.get("role")
    if role not in held:
        review.say(
            _DOCUMENT,
            (*path, "role"),
            "role_without_holders",
            f"nobody holds the role {role}, so nobody can activate this.",
            f"Name its teams or keys under `holders` in roles. {offer(role, held)}",
        )


def _holders(review: Review) -> None:
    """Find a misspelt team before the night on which it counts; one that is not bound is fine."""
    bound = list(mapping_of(review.at("registry", "principals", "teams")))
    for role, principals in mapping_of(review.at("roles", "holders")).items():
        for index, team in enumerate(list_of(mapping_of(principals).get("teams"))):
            close = get_close_matches(str(team), bound, n=1, cutoff=_ALIKE)
            if close and team not in bound:
                review.say(
                    "roles",
                    ("holders", role, "teams", index),
                    "holder_unknown",
                    f"the registry binds no principal {team}, and one that is nearly called so.",
                    f"Did you mean {close[0]}?",
                    "warning",
                )


def _term(review: Review, path: Path, entry: Mapping[str, Any]) -> None:
    where = (*path, "expires_at")
    expires_ns = review.instant(_DOCUMENT, where, entry.get("expires_at"))
    if expires_ns is not None and str(entry["expires_at"]) <= review.now:
        review.say(
            _DOCUMENT,
            where,
            "break_glass_expired",
            "it has expired and cannot be activated.",
            "Remove it, or have it approved again.",
            "warning",
        )
