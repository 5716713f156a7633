"""
Which entries of the policy data ask for what a call lacks, or rule out what it claims.

Source  policies/tallygate/admission/ownership.rego, binding.rego and overrides.rego.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tallygate.application.asked import Asked
from tallygate.application.override_check import NEVER_WAIVED
from tallygate.application.override_reach import WAIVABLE
from tallygate.application.policy_places import COLLECTIONS, DataEntry, Places, values_of
from tallygate.application.policy_review import Path

_CLOSE: Final = 3
_SENTENCES: Final = {
    "missing": "{name} is asked for, and the call did not bring it.",
    "undescribed": "{name} is asked for, and the contract does not describe it.",
    "unlisted": "The registry does not list the value of {name}.",
    "retired": "What {name} names has ended.",
    "unaccepted": "The gate could not accept the value of {name}.",
    "unmatched": "The value of {name} does not match its pattern.",
    "two_values": "The call brought two different values for {name}.",
    "outside": "{name} names something real that this principal may not speak for.",
}


def fault_of(asked: Asked, code: str, name: str) -> str:
    """Tell apart the ways in which a field can earn one code; empty for a code not ours."""
    match code:
        case "ownership_missing":
            return "missing"
        case "ownership_unknown":
            return "unlisted" if name in asked.contract.fields else "undescribed"
        case "ownership_retired":
            return "retired"
        case "ownership_malformed":
            return "unaccepted" if name in asked.malformed else "unmatched"
        case "ownership_conflict":
            return "two_values" if name in asked.conflicting else "outside"
    return ""


def sentence_of_violation(asked: Asked, code: str, name: str) -> str:
    """Say in words what is wrong; no value that a caller sent is repeated."""
    told = _SENTENCES.get(fault_of(asked, code, name))
    if told is None:
        return f"The policy calls this {code}; only its Rego can say what that is."
    return told.format(name=name)


def entries_of_violation(
    asked: Asked, code: str, name: str, places: Places
) -> tuple[DataEntry, ...]:
    """Find the entries behind one violation."""
    find = _FINDERS.get(fault_of(asked, code, name))
    return tuple(find(asked, name, places)) if find is not None else ()


def entries_of_override(asked: Asked, override: str, places: Places) -> tuple[DataEntry, ...]:
    """Find an override, or an entry of break-glass, by its id, and what bounds it."""
    return tuple(
        entry
        for document, path in _named(asked, override, places)
        for entry in (
            places.entry(document, path),
            places.entry(document, (*path, "expires_at"), "it excuses nothing from then on"),
        )
    )


def _named(asked: Asked, override: str, places: Places) -> Iterator[tuple[str, Path]]:
    candidates: tuple[tuple[str, Path], ...] = (
        ("overrides", (asked.service, override)),
        ("break_glass", (override,)),
    )
    for document, path in candidates:
        if places.at(document, *path) is not None:
            yield document, path


def entries_of_notice(
    asked: Asked, code: str, subject: str, places: Places
) -> tuple[DataEntry, ...]:
    """Find the entries behind a notice."""
    match code:
        case "override_expired":
            return entries_of_override(asked, subject, places)[1:]
        case "override_invalid":
            return tuple(_faults_of_override(asked, subject, places))
        case "principal_unbound":
            return (
                places.entry("registry", ("principals",), "nothing here names the principal"),
                places.entry("contract", ("unbound",), "so this counts"),
            )
        case "policy_unreadable" if subject == "contract":
            return (places.entry("contract", ("required", "default")),)
    return ()


def _asking(asked: Asked, name: str, places: Places) -> Iterator[DataEntry]:
    """Find each list of the contract that asks this call for the field."""
    yield from entries_that_require(asked, name, places)
    for index, group in enumerate(places.items("contract", "one_of")):
        if isinstance(group, dict) and _is_of_group(asked, name, group):
            others = ", ".join(str(field) for field in group["fields"])
            yield places.entry("contract", ("one_of", index, "fields"), f"at least one of {others}")


def entries_that_require(asked: Asked, name: str, places: Places) -> Iterator[DataEntry]:
    """Find where the contract requires a field of this call."""
    for path in (
        ("required", "default"),
        ("required", "environments", asked.environment),
        ("required", "services", asked.service),
    ):
        yield from places.listed("contract", path, name)


def _is_of_group(asked: Asked, name: str, group: Mapping[str, Any]) -> bool:
    return (
        list(group.get("fields", ()))[:1] == [name]
        and ("environments" not in group or asked.environment in group["environments"])
        and ("services" not in group or asked.service in group["services"])
    )


def _undescribed(asked: Asked, name: str, places: Places) -> Iterator[DataEntry]:
    yield from _asking(asked, name, places)
    yield places.entry("contract", ("fields",), f"{name} is not among them")


def _ended(asked: Asked, name: str, places: Places) -> Iterator[DataEntry]:
    path = (*values_of(name), asked.claims.get(name, ""), "retired_at")
    yield places.entry("registry", path, "it has passed")


def _arriving(_: Asked, name: str, places: Places) -> Iterator[DataEntry]:
    yield places.entry("contract", ("fields", name), "where it may stand")


def _describing(_: Asked, name: str, places: Places) -> Iterator[DataEntry]:
    if places.at("contract", "fields", name) is None:  # baggage and trace_id are no fields
        yield places.entry("contract", ("limits",), "what the gate takes at most")
    elif places.at("contract", "fields", name, "pattern") is None:
        yield places.entry("contract", ("fields", name))
        yield places.entry("contract", ("limits", "value_chars"), "and no blank, no @")
    else:
        yield places.entry("contract", ("fields", name, "pattern"))


def _not_listed(asked: Asked, name: str, places: Places) -> Iterator[DataEntry]:
    path = values_of(name)
    listed = list(places.mapping("registry", *path))
    yield places.entry("registry", path, f"{len(listed)} values, and not this one")
    for close in difflib.get_close_matches(asked.claims.get(name, ""), listed, n=_CLOSE):
        yield places.entry("registry", (*path, close), "a close match")


def _binding(asked: Asked, name: str, places: Places) -> Iterator[DataEntry]:
    """Find what bounds the principal in this field, and what the claim names instead."""
    if asked.principal is None:
        yield places.entry("contract", ("unbound", "services"), "nothing binds the principal")
    else:
        for part in _bounds_of(name, places.mapping("registry", *asked.principal)):
            yield places.entry("registry", (*asked.principal, part), _list_of(places, asked, part))
    claimed: Path = (*values_of(name), asked.claims.get(name, ""))
    owned = (*claimed, "owner_team") if name == "service" else claimed
    if name in COLLECTIONS and places.at("registry", *claimed) is not None:
        yield places.entry("registry", owned, "what the call claims")


def _bounds_of(name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    if name == "environment":
        return ("environments",)
    if name == "service" and "services" in entry:
        return ("services",)
    return ("team", "may_charge") if "may_charge" in entry else ("team",)


def _list_of(places: Places, asked: Asked, part: str) -> str:
    assert asked.principal is not None, "only a bound principal has an entry"
    items = places.items("registry", *asked.principal, part)
    return f"allowed: {', '.join(str(item) for item in items)}" if items else ""


def _faults_of_override(asked: Asked, override: str, places: Places) -> Iterator[DataEntry]:
    for document, path in _named(asked, override, places):
        entry = places.mapping(document, *path)
        for index, code in enumerate(places.items(document, *path, "codes")):
            if code not in WAIVABLE:
                never = "is never waived"
                says = never if code == NEVER_WAIVED else "is no code that can be waived"
                yield places.entry(document, (*path, "codes", index), says)
        if entry.get("approved_by") == entry.get("requested_by"):
            yield places.entry(document, (*path, "approved_by"), "its requester approved it")


_FINDERS: Final[dict[str, Callable[[Asked, str, Places], Iterator[DataEntry]]]] = {
    "missing": _asking,
    "undescribed": _undescribed,
    "unlisted": _not_listed,
    "retired": _ended,
    "unaccepted": _describing,
    "unmatched": _describing,
    "two_values": _arriving,
    "outside": _binding,
}
