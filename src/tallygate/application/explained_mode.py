"""
Which entries of the registry and the contract a decision's mode came from.

Source  policies/tallygate/admission/modes.rego: the decision names the kind of entry in its
        `mode_source`, and this finds the entry itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tallygate.application.asked import Asked
from tallygate.application.policy_places import DataEntry, Places
from tallygate.application.policy_review import Path

_ALL: Final = 100
"""Percent."""
_SENTENCES: Final = {
    "schedule": "The newest step of {service}'s schedule that has begun and covers the call.",
    "service_environment": "{service} has a mode for {environment}.",
    "service": "{service} has no mode for {environment}, so its default counts.",
    "contract": "{service} has no mode of its own, so the contract's default counts.",
    "unbound": "Nothing in the registry binds the principal; the contract has one mode for those.",
    "strictest": "The call is not within its principal's binding, so the strictest mode that it"
    " could be under counts.",
    "fallback": "Something could not be read, and then the mode is enforce.",
    "canary": "{service} is under enforce, and the call's bucket {bucket} is outside its canary.",
    "blind": "The gate could not ask its policy, and went by the modes that it last knew.",
    "observed": "The call could not be refused, whatever the policy said.",
}


def sentence_of_mode(asked: Asked, source: str) -> str:
    """Say in words where a mode came from."""
    told = _SENTENCES.get(source)
    if told is None:
        return f"The policy calls the source {source}; only its Rego can say what that is."
    return told.format(
        service=asked.service or "the service",
        environment=asked.environment or "the environment",
        bucket=asked.call_bucket,
    )


def entries_of_mode(asked: Asked, source: str, places: Places) -> tuple[DataEntry, ...]:
    """Find the entries that a mode of this source came from."""
    match source:
        case "unbound":
            return (places.entry("contract", ("unbound", "mode")),)
        case "contract":
            return (places.entry("contract", ("modes", "default")),)
        case "strictest":
            return tuple(_strictest(asked, places))
        case "schedule" | "service_environment" | "service" | "canary":
            return tuple(_of_service(asked, asked.service, asked.environment, places))
    return ()


def _strictest(asked: Asked, places: Places) -> Iterator[DataEntry]:
    """List what each possible service and environment says, the enforcing ones first."""
    found: dict[DataEntry, bool] = {}
    for service in asked.services_in_question():
        for environment in asked.possible_environments():
            for entry in _of_service(asked, service, environment, places):
                found[entry] = entry.value != "report_only"
    yield from sorted(found, key=lambda entry: not found[entry])


def _of_service(
    asked: Asked, service: str, environment: str, places: Places
) -> Iterator[DataEntry]:
    path: Path = ("services", service)
    modes = places.mapping("registry", *path, "modes")
    steps = _deciding_steps(asked, service, environment, places)
    if steps:
        for index in steps:
            yield from _step(asked, (*path, "schedule", index), places)
        return
    if environment in modes:
        decided: tuple[str, Path] = ("registry", (*path, "modes", environment))
    elif "default" in modes:
        decided = ("registry", (*path, "modes", "default"))
    else:
        decided = ("contract", ("modes", "default"))
    yield places.entry(*decided)
    canary = places.mapping("registry", *path, "canary")
    share = next((name for name in (environment, "default") if name in canary), None)
    if share is not None and places.at(decided[0], *decided[1]) == "enforce":
        yield places.entry("registry", (*path, "canary", share), _shared(asked, canary[share]))


def _step(asked: Asked, path: Path, places: Places) -> Iterator[DataEntry]:
    step = places.mapping("registry", *path)
    share = f", bucket {asked.bucket} of {step['percent']} percent" if "percent" in step else ""
    yield places.entry("registry", (*path, "mode"), f"from {step.get('from')}{share}")
    if "canary" in step and step.get("mode") == "enforce":
        yield places.entry("registry", (*path, "canary"), _shared(asked, step["canary"]))


def _shared(asked: Asked, percent: object) -> str:
    is_in = not isinstance(percent, int) or asked.call_bucket < percent
    return f"the call's bucket {asked.call_bucket} is {'in' if is_in else 'outside'} the canary"


def _deciding_steps(
    asked: Asked, service: str, environment: str, places: Places
) -> tuple[int, ...]:
    """Find the newest steps that have begun and cover the call."""
    begun = [
        (step["from"], index)
        for index, step in enumerate(places.items("registry", "services", service, "schedule"))
        if _covers(asked, step, environment)
    ]
    newest = max((date for date, _ in begun), default="")
    return tuple(index for date, index in begun if date == newest)


def _covers(asked: Asked, step: Mapping[str, Any], environment: str) -> bool:
    return (
        str(step.get("from", "")) <= asked.now
        and step.get("environment", environment) == environment
        and asked.bucket < step.get("percent", _ALL)
    )
