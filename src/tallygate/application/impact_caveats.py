"""
What recorded calls cannot tell about a change of the contract, with the place of each in head.

A recorded input holds what the gate gathered by the contract of its day: an identifier as a shape,
no value that was not accepted, nothing that the contract had no name for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tallygate.application.policy_review import Path, Source, list_of, mapping_of
from tallygate.application.replay import PolicyAt
from tallygate.domain.attribution.contract import FieldKind
from tallygate.errors import Problem

_NAMES: Final = ("headers", "baggage", "metadata")
_RAW: Final = "hash_from"
_LIMITS: Final = ("value_chars", "baggage_bytes", "header_bytes")


def caveats_of(base: PolicyAt, head: PolicyAt) -> tuple[Problem, ...]:
    """Name what head changes and recorded calls cannot answer for; all are warnings."""
    document = head.documents["contract"]
    before, after = base.data["contract"], head.data["contract"]
    return (
        *_of_fields(document, mapping_of(before.get("fields")), mapping_of(after.get("fields"))),
        *_of_limits(document, mapping_of(before.get("limits")), mapping_of(after.get("limits"))),
    )


def _of_fields(
    document: Source, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Problem]:
    for name, spec in after.items():
        path: Path = ("fields", name)
        if name not in before:
            yield _caveat(
                document,
                path,
                "field_added",
                f"{name} is new, and was not gathered when calls were recorded: it counts as"
                " absent in all of them, whatever they send.",
            )
            continue
        yield from _of_value(document, path, mapping_of(before[name]), mapping_of(spec))
        yield from _of_names(document, path, mapping_of(before[name]), mapping_of(spec))


def _of_value(
    document: Source, path: Path, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Problem]:
    name, kinds = path[-1], (before.get("kind"), after.get("kind"))
    if kinds[0] != kinds[1]:
        told = (
            "of an identifier only the shape is recorded, so a value that was ok then counts as"
            " some value that nobody knows."
            if kinds[0] == FieldKind.IDENTIFIER
            else "values that were not accepted were not kept, and still count as malformed."
        )
        message = f"{name} was {kinds[0]} and becomes {kinds[1]}: {told}"
        yield _caveat(document, (*path, "kind"), "kind_changed", message)
    elif before.get("pattern") != after.get("pattern"):
        told = (
            "recorded calls hold only whether the value fitted the pattern of their day."
            if kinds[1] == FieldKind.IDENTIFIER
            else "values that were not accepted were not kept, so calls that the new pattern would"
            " accept still count as malformed."
        )
        message = f"the pattern of {name} changes: {told}"
        yield _caveat(document, (*path, "pattern"), "pattern_changed", message)


def _of_names(
    document: Source, path: Path, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Problem]:
    """Tell of names under which the value may arrive from now on, or may no longer."""
    inner: Path
    for inner in ((), (_RAW,)):
        was = mapping_of(before.get(_RAW)) if inner else before
        becomes = mapping_of(after.get(_RAW)) if inner else after
        for names in _NAMES:
            old, new = set(list_of(was.get(names))), set(list_of(becomes.get(names)))
            where: Path = (*path, *inner, names)
            if added := sorted(new - old):
                message = (
                    f"what came under {', '.join(added)} ({names}) was not read when calls were"
                    " recorded, and counts as absent."
                )
                yield _caveat(document, where, "name_added", message)
            if removed := sorted(old - new):
                message = (
                    f"{', '.join(removed)} ({names}) is read no more, and recorded calls do not"
                    " say under which name a value came: it still counts as there."
                )
                yield _caveat(document, where, "name_removed", message)


def _of_limits(
    document: Source, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Problem]:
    for name in _LIMITS:
        if before.get(name) != after.get(name):
            yield _caveat(
                document,
                ("limits", name),
                "limit_changed",
                f"{name} changes, and recorded calls were read by the limit of their day: what was"
                " too long then was not kept.",
            )


def _caveat(document: Source, path: Path, code: str, message: str) -> Problem:
    return document.problem(path, code, message, severity="warning")
