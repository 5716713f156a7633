"""The registry over time: what has ended, what begins too late, what can never decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tallygate.application.policy_review import Path, Review, list_of, mapping_of

RETIRED_OWNER: Final = "retired_owner"


def review_lives(review: Review, registers: Iterable[str]) -> None:
    """Judge the ends of all registered values, and the first day of each team."""
    parts: list[Path] = [(part,) for part in registers]
    parts.extend(("values", name) for name in mapping_of(review.at("registry", "values")))
    for part in parts:
        for name, entry in review.entries("registry", *part):
            if "retired_at" in entry:
                review.instant("registry", (*part, name, "retired_at"), entry["retired_at"])
    for team, entry in review.entries("registry", "teams"):
        _first_day(review, team, entry)


def _first_day(review: Review, team: str, entry: Mapping[str, Any]) -> None:
    dates = [mapping_of(center).get("from") for center in list_of(entry.get("cost_centers"))]
    begins = min((date for date in dates if isinstance(date, str)), default="")
    retired_at = entry.get("retired_at")
    if isinstance(retired_at, str) and retired_at <= begins:
        review.say(
            "registry",
            ("teams", team, "retired_at"),
            "retired_before_start",
            f"it ends at {retired_at} and its first cost center begins at {begins}.",
            "Put the end after the beginning.",
        )
    elif begins > review.now:
        review.say(
            "registry",
            ("teams", team, "cost_centers"),
            "no_cost_center_yet",
            f"the first cost center begins at {begins}; calls until then have none.",
            "Begin with the day on which the team does.",
            "warning",
        )


def review_owner(review: Review, path: Path, entry: Mapping[str, Any]) -> None:
    """
    Say so where a service outlives the team that owns it.

    A warning, because a date that passes must not keep a proxy from its policies; the check of a
    pull request takes it for an error.
    """
    owner = entry.get("owner_team")
    where = (*path, "owner_team")
    teams = mapping_of(review.at("registry", "teams"))
    if not review.known("registry", where, owner, teams, "team"):
        return
    ends = mapping_of(teams[str(owner)]).get("retired_at")
    own_end = entry.get("retired_at")
    if not isinstance(ends, str) or (isinstance(own_end, str) and own_end <= max(ends, review.now)):
        return
    has_ended = ends <= review.now
    review.say(
        "registry",
        where,
        RETIRED_OWNER if has_ended else "owner_retires",
        f"the team {owner} {'was' if has_ended else 'will be'} retired at {ends}, and the service"
        " lives on.",
        "Name the team that has it now, or retire the service too.",
        "warning",
    )


def review_schedule(review: Review, path: Path, entry: Mapping[str, Any]) -> None:
    """Find the steps that decide about no call, whatever comes."""
    steps = [mapping_of(step) for step in list_of(entry.get("schedule"))]
    retired_at = entry.get("retired_at")
    for index, step in enumerate(steps):
        reason = _why_dead(step, index, steps)
        begins = step.get("from")
        if isinstance(retired_at, str) and isinstance(begins, str) and begins >= retired_at:
            reason = f"the service ends before, at {retired_at}."
        if reason:
            review.say(
                "registry",
                (*path, "schedule", index),
                "schedule_step_dead",
                f"this step decides about no call: {reason}",
                "Remove it, or give it a date or share of its own.",
                "warning",
            )


def _why_dead(step: Mapping[str, Any], index: int, steps: Sequence[Mapping[str, Any]]) -> str:
    if _share(step) == 0:
        return "its percent is 0."
    for other_index, other in enumerate(steps):
        if other_index == index or other.get("from") != step.get("from"):
            continue
        if other.get("canary") != step.get("canary"):
            continue  # what one of them spares, the other one decides
        covers = other.get("environment") in (None, step.get("environment")) and (
            _share(other) >= _share(step)
        )
        if not covers:
            continue
        if other.get("mode") == step.get("mode"):
            alike = step.get("environment") == other.get("environment") and (
                _share(other) == _share(step)
            )
            if not alike or other_index < index:
                return "another one of the same date and mode covers all that it covers."
        elif other.get("mode") == "enforce":
            return "of two with one date the strict one wins, and it covers all that this one does."
    return ""


def _share(step: Mapping[str, Any]) -> int:
    percent = step.get("percent", 100)
    return percent if isinstance(percent, int) else 100


def review_reach_of_principal(review: Review, path: Path, entry: Mapping[str, Any]) -> None:
    """Say so where every service that a principal could name is somebody else's."""
    services = mapping_of(review.at("registry", "services"))
    teams = mapping_of(review.at("registry", "teams"))
    owners = {str(mapping_of(service).get("owner_team")) for service in services.values()}
    payers = {str(entry.get("team")), *(str(one) for one in list_of(entry.get("may_charge")))}
    if "services" in entry or not (owners | payers) <= teams.keys():
        return  # it lists them by name, or some name has to be mended first
    alive = any(
        mapping_of(service).get("owner_team") in payers and not _ended(review, service)
        for service in services.values()
    )
    if not alive:
        review.say(
            "registry",
            path,
            "principal_without_service",
            f"{entry.get('team')} and whom it may charge own no service that lives.",
            "Register a service of the team, or list `services`.",
            "warning",
        )


def _ended(review: Review, entry: object) -> bool:
    retired_at = mapping_of(entry).get("retired_at")
    return isinstance(retired_at, str) and retired_at <= review.now
