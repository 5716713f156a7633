"""
What a reviewer of the rollout plan looks for: services that exist, dates in order, people who may.

Shapes  The JSON Schema has been passed already; these are the rules that a schema cannot say.
Errors  Problems, all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tallygate.application.policy_review import Path, Review, Source, list_of, mapping_of, offer
from tallygate.domain.kernel.instants import NS_PER_DAY
from tallygate.domain.policy.rollout import StageName
from tallygate.errors import Problem

DOCUMENT: Final = "rollout"
_OBSERVED_DAYS: Final = 14


def check_plan(documents: Mapping[str, Source], now: str) -> tuple[Problem, ...]:
    """Judge the document `rollout` by the registry, the contract and the roles beside it."""
    review = Review(documents, now)
    _services(review)
    _dates(review)
    for stage, entry in review.entries(DOCUMENT, "stages"):
        _gates(review, stage, mapping_of(entry.get("gates")))
    _people(review)
    return tuple(review.problems)


def _services(review: Review) -> None:
    seen: dict[str, str] = {}
    for stage, entry in review.entries(DOCUMENT, "stages"):
        for index, service in enumerate(list_of(entry.get("services"))):
            path: Path = ("stages", stage, "services", index)
            review.registered(DOCUMENT, path, service, "services", "service")
            other = seen.setdefault(str(service), stage)
            if other != stage:
                review.say(
                    DOCUMENT,
                    path,
                    "on_two_stages",
                    f"{service} is on the stage {other} already.",
                    "Keep it on one stage; `tallygate rollout promote` moves it.",
                )


def _dates(review: Review) -> None:
    before_ns, before = 0, ""
    for stage in StageName:
        path: Path = ("stages", stage.value)
        entry = mapping_of(review.at(DOCUMENT, *path))
        starts_ns = review.instant(DOCUMENT, (*path, "starts_at"), entry.get("starts_at"))
        ends_ns = review.instant(DOCUMENT, (*path, "ends_at"), entry.get("ends_at"))
        if starts_ns is None or ends_ns is None:
            continue
        if ends_ns <= starts_ns:
            _say_order(review, (*path, "ends_at"), "the stage ends before it starts")
        if starts_ns < before_ns:
            _say_order(review, (*path, "starts_at"), f"{stage} starts before {before} ends")
        wanted = mapping_of(entry.get("gates")).get("min_days")
        if isinstance(wanted, int) and wanted * NS_PER_DAY > ends_ns - starts_ns > 0:
            review.say(
                DOCUMENT,
                (*path, "gates", "min_days"),
                "gate_out_of_reach",
                f"the stage is shorter than the {wanted} days that it asks for.",
                "Ask for fewer days, or end the stage later.",
            )
        before_ns, before = ends_ns, stage.value


def _say_order(review: Review, path: Path, fault: str) -> None:
    review.say(
        DOCUMENT,
        path,
        "dates_out_of_order",
        f"{fault}.",
        "Expected observe, pilot and enforce one after the other.",
    )


def _gates(review: Review, stage: str, gates: Mapping[str, Any]) -> None:
    path: Path = ("stages", stage, "gates")
    fields = mapping_of(review.at("contract", "fields"))
    for name in mapping_of(mapping_of(gates.get("max_missing_field_rate")).get("fields")):
        where = (*path, "max_missing_field_rate", "fields", name)
        review.known(DOCUMENT, where, name, fields, "field")
    if stage == StageName.OBSERVE and gates.get("min_days", 0) < _OBSERVED_DAYS:
        review.say(
            DOCUMENT,
            (*path, "min_days"),
            "observed_too_briefly",
            f"a service may leave before it was observed for {_OBSERVED_DAYS} days.",
            f"Ask for min_days: {_OBSERVED_DAYS}, so that two weekly rhythms are seen.",
            "warning",
        )
    if stage == StageName.ENFORCE and "max_days_without_review" not in gates:
        review.say(
            DOCUMENT,
            path,
            "review_not_asked",
            "nothing asks for the weekly review.",
            "Add max_days_without_review: 7.",
            "warning",
        )


def _people(review: Review) -> None:
    approvers = list_of(review.at("roles", "approvers", "overrides"))
    approver = review.at(DOCUMENT, "exceptions_approver")
    if approver not in approvers:
        review.say(
            DOCUMENT,
            ("exceptions_approver",),
            "not_an_approver",
            f"{approver} may not approve overrides.",
            offer(approver, approvers),
        )
    roles = {
        role
        for subject in mapping_of(review.at("roles", "approvers")).values()
        for role in list_of(subject)
    }
    before = ""
    for index, held in enumerate(list_of(review.at(DOCUMENT, "reviews"))):
        path: Path = ("reviews", index)
        date = str(mapping_of(held).get("date"))
        at_ns = review.instant(DOCUMENT, (*path, "date"), f"{date}T00:00:00Z")
        if at_ns is not None and date > review.now[:10]:
            review.say(
                DOCUMENT,
                (*path, "date"),
                "review_to_come",
                f"{date} has not come yet.",
                "Record a review once it was held.",
            )
        if date < before:
            _say_review_order(review, (*path, "date"))
        before = max(before, date)
        role = mapping_of(held).get("held_by")
        if role not in roles:
            review.say(
                DOCUMENT,
                (*path, "held_by"),
                "unknown_role",
                f"roles/data.yaml names no role {role}.",
                offer(role, roles),
                "warning",
            )


def _say_review_order(review: Review, path: Path) -> None:
    review.say(
        DOCUMENT,
        path,
        "dates_out_of_order",
        "this date is before the one above it.",
        "Put the reviews in the order of their dates.",
    )
