"""Canaries: that each one shares something, and names an environment that there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tallygate.application.policy_review import Path, Review, list_of, mapping_of


def review_canaries(review: Review) -> None:
    """Judge the canary of each service and of each step of its schedule."""
    for service, entry in review.entries("registry", "services"):
        path: Path = ("services", service)
        _by_environment(review, (*path, "canary"), entry)
        for index, step in enumerate(map(mapping_of, list_of(entry.get("schedule")))):
            where = (*path, "schedule", index, "canary")
            if step.get("canary") == 0:
                _nobody(review, where)
            elif "canary" in step and step.get("mode") == "report_only":
                review.say(
                    "registry",
                    where,
                    "canary_unused",
                    "the step is report_only, so there is nothing to share.",
                    "Remove it, or make the step enforce.",
                    "warning",
                )


def _by_environment(review: Review, path: Path, entry: Mapping[str, Any]) -> None:
    environments = mapping_of(review.at("registry", "environments"))
    canary = mapping_of(entry.get("canary"))
    modes = mapping_of(entry.get("modes"))
    fallback = modes.get("default", review.at("contract", "modes", "default"))
    for name in canary:
        if name == "default":
            covered = [other for other in environments if other not in canary]
        elif review.known("registry", (*path, name), name, environments, "environment"):
            covered = [name]
        else:
            continue
        if canary[name] == 0:
            _nobody(review, (*path, name))
        elif not any(modes.get(other, fallback) == "enforce" for other in covered):
            review.say(
                "registry",
                (*path, name),
                "canary_unused",
                "the service's modes enforce nothing there, so there is nothing to share.",
                "A canary counts for `modes`; a step of the schedule takes one of its own.",
                "warning",
            )


def _nobody(review: Review, path: Path) -> None:
    review.say(
        "registry",
        path,
        "canary_unused",
        "0 percent of the calls are enforced, though the mode reads enforce.",
        "Write report_only, or a share from 1 to 100.",
        "warning",
    )
