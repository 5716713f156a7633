"""Overrides: who excuses whom from what, for how long, and whether they may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tallygate.application.override_reach import WAIVABLE, review_reach
from tallygate.application.policy_review import Path, Review, list_of, mapping_of, offer
from tallygate.domain.kernel.instants import NS_PER_DAY

NEVER_WAIVED: Final = "ownership_conflict"


def review_overrides(review: Review) -> None:
    """Judge each override on its scope, its term and its approval."""
    seen: dict[str, str] = {}
    for service, _ in review.entries("overrides"):
        _service(review, service)
        for name, entry in review.entries("overrides", service):
            path: Path = (service, name)
            first = seen.setdefault(name, service)
            if first != service:
                review.say(
                    "overrides",
                    path,
                    "id_taken",
                    f"{name} is an override of {first} already.",
                    "Give it an id of its own.",
                )
            review_scope(review, "overrides", path, entry)
            _term(review, path, entry)
            review_approval(review, "overrides", path, entry)
    review_reach(review)
    if seen and review.at("contract", "overrides", "max_days") is None:
        review.say(
            "contract",
            ("overrides",),
            "no_override_limit",
            "nothing says how long an override may run.",
            "Add `overrides: {max_days: 90}`.",
            "warning",
        )


def _service(review: Review, service: str) -> None:
    services = mapping_of(review.at("registry", "services"))
    own = [
        name for name, entry in services.items() if mapping_of(entry).get("owner_team") == service
    ]
    if service not in services and service in mapping_of(review.at("registry", "teams")):
        review.say(
            "overrides",
            (service,),
            "unknown_reference",
            f"{service} is a team; overrides are kept by service, then by id.",
            f"Put it under one of its services: {', '.join(own) or 'it has none'}.",
        )
    else:
        review.registered("overrides", (service,), service, "services", "service")


def review_scope(review: Review, document: str, path: Path, entry: Mapping[str, Any]) -> None:
    """Judge what an entry excuses: codes that may be waived, fields and environments that exist."""
    for index, code in enumerate(list_of(entry.get("codes"))):
        where: Path = (*path, "codes", index)
        if code == NEVER_WAIVED:
            review.say(
                document,
                where,
                "never_waived",
                f"{code} cannot be waived.",
                "Bind the principal in the registry instead.",
            )
        else:
            review.known(document, where, code, WAIVABLE, "violation code")
    fields = mapping_of(review.at("contract", "fields"))
    for index, name in enumerate(list_of(entry.get("fields"))):
        review.known(document, (*path, "fields", index), name, fields, "field")
    review.names_in(document, path, entry, ("environments",))


def _term(review: Review, path: Path, entry: Mapping[str, Any]) -> None:
    starts_ns = review.instant("overrides", (*path, "starts_at"), entry.get("starts_at"))
    expires_ns = review.instant("overrides", (*path, "expires_at"), entry.get("expires_at"))
    if starts_ns is None or expires_ns is None:
        return
    where = (*path, "expires_at")
    max_days = review.at("contract", "overrides", "max_days")
    if expires_ns <= starts_ns:
        review.say(
            "overrides",
            where,
            "override_never",
            "it expires before it starts.",
            "Expected a later instant.",
        )
    elif isinstance(max_days, int) and expires_ns - starts_ns > max_days * NS_PER_DAY:
        days = (expires_ns - starts_ns + NS_PER_DAY - 1) // NS_PER_DAY
        review.say(
            "overrides",
            where,
            "override_too_long",
            f"it holds for {days} days; the contract allows {max_days}.",
            "Expire it sooner; it can be approved again.",
        )
    elif str(entry["expires_at"]) <= review.now:
        review.say(
            "overrides",
            where,
            "override_expired",
            "it has expired and excuses nothing.",
            "Remove it.",
            "warning",
        )


def review_approval(review: Review, document: str, path: Path, entry: Mapping[str, Any]) -> None:
    """Judge whether somebody else approved an entry, who may."""
    approver = entry.get("approved_by")
    where = (*path, "approved_by")
    if str(approver).strip().casefold() == str(entry.get("requested_by")).strip().casefold():
        review.say(
            document,
            where,
            "self_approved",
            "requester and approver are the same person.",
            "Somebody else approves it.",
        )
    approvers = list_of(review.at("roles", "approvers", "overrides"))
    if approver not in approvers:
        review.say(
            document,
            where,
            "not_an_approver",
            f"{approver} may not approve overrides.",
            offer(approver, approvers)
            if approvers
            else "Add `approvers: {overrides: [...]}` to roles/data.yaml; it lists nobody.",
        )
