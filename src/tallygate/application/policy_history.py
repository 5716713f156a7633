"""
A revision of the data compared with the one before: what was promised never to change.

Shapes  Both are the documents as they were read; the older one only as values.
Exact   An entry whose instant has passed stands on events already and is history; one that is
        still to come is a plan and may be changed.
Errors  Problems that point into the newer documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tallygate.application.policy_review import Path, Review, Source, list_of, mapping_of
from tallygate.errors import Problem

_REGISTERS: Final = ("teams", "services", "environments", "features")
_APPROVAL: Final = ("ticket", "approved_by", "requested_by")
_SCOPE: Final = ("services", "codes", "fields", "environments")


def compare_with_base(
    documents: Mapping[str, Source], base: Mapping[str, Any], now: str
) -> tuple[Problem, ...]:
    """Judge the documents against the values that the base revision had, as of `now`."""
    review = Review(documents, now)
    registry = mapping_of(base.get("registry"))
    if "registry" in documents:
        for part in _parts(registry):
            _ids(review, part, _inside(registry, part))
    _permissions(review, base)
    if "contract" in documents and "contract" in base:
        _contract(review, base["contract"])
    return tuple(review.problems)


def _parts(registry: Mapping[str, Any]) -> Iterator[Path]:
    for part in _REGISTERS:
        yield (part,)
    for field in mapping_of(registry.get("values")):
        yield ("values", field)


def _inside(document: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    for step in path:
        document = mapping_of(document.get(str(step)))
    return document


def _ids(review: Review, part: Path, before: Mapping[str, Any]) -> None:
    after = mapping_of(review.at("registry", *part))
    for name, old in before.items():
        if name not in after:
            review.say(
                "registry",
                part,
                "id_removed",
                f"{name} was here and is gone; events and reports still name it.",
                f"Put {name} back, and end it with `retired_at`.",
            )
            continue
        new = mapping_of(after[name])
        reused = _lives_again(review, (*part, name), mapping_of(old), new)
        if part == ("teams",):
            rewritten = _history(review, (*part, name), mapping_of(old), new)
            if not reused and rewritten and _name(old) != _name(new):
                _team_reused(review, name, f"it was {_name(old)!r} and is {_name(new)!r} now")


def _lives_again(
    review: Review, path: Path, old: Mapping[str, Any], new: Mapping[str, Any]
) -> bool:
    """Compare the ends; True when an id that had ended is in use again."""
    was, now_is = old.get("retired_at"), new.get("retired_at")
    had_ended = isinstance(was, str) and was <= review.now
    if was == now_is:
        return False
    if had_ended and (not isinstance(now_is, str) or now_is > review.now):
        if path[0] == "teams":
            _team_reused(review, str(path[1]), f"it was retired at {was} and lives again")
        else:
            review.say(
                "registry",
                path,
                "id_reused",
                f"it was retired at {was} and lives again.",
                f"Put `retired_at` back; what begins now gets an id of its own: {path[-1]}-2.",
            )
        return True
    if had_ended:
        review.say(
            "registry",
            (*path, "retired_at"),
            "history_rewritten",
            f"it ended at {was}, which has passed, and is said to have ended at {now_is} now.",
            f'Put back: retired_at: "{was}".',
        )
    elif isinstance(now_is, str) and now_is <= review.now:
        review.say(
            "registry",
            (*path, "retired_at"),
            "retired_in_the_past",
            f"{now_is} has passed: calls since then were in order and would look refused.",
            "Let it end at a moment after this is merged.",
            "warning",
        )
    return False


def _team_reused(review: Review, team: str, why: str) -> None:
    review.say(
        "registry",
        ("teams", team),
        "team_id_reused",
        f"{why}; what it has spent would be read as the new team's.",
        "Restore the entry, and register the new team under an id of its own.",
    )


def _history(review: Review, path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Compare the cost centers that have begun; True when one was edited or taken out."""
    before = [mapping_of(entry) for entry in list_of(old.get("cost_centers"))]
    after = [mapping_of(entry) for entry in list_of(new.get("cost_centers"))]
    begun = [entry for entry in before if str(entry.get("from")) <= review.now]
    edited = False
    for index, entry in enumerate(begun):
        if index < len(after) and after[index] == entry:
            continue
        edited = True
        review.say(
            "registry",
            (*path, "cost_centers", min(index, len(after))),
            "history_rewritten",
            f"the entry from {entry.get('from')} ({entry.get('cost_center')},"
            f" {entry.get('business_unit')}) was edited, moved or taken out.",
            "Restore it as it was, and append an entry with a date to come.",
        )
        break
    for index, entry in enumerate(after):
        is_new = entry not in before and str(entry.get("from")) <= review.now
        if is_new and not edited:
            review.say(
                "registry",
                (*path, "cost_centers", index),
                "history_rewritten",
                f"this entry is new and begins at {entry.get('from')}, which has passed: events"
                " since then stand on the old cost center.",
                "Let it begin at a moment after this is merged; what is booked is corrected in the"
                " ledger.",
                "warning",
            )
    return edited


def _name(entry: object) -> str:
    return str(mapping_of(entry).get("name"))


def _permissions(review: Review, before: Mapping[str, Any]) -> None:
    """Compare overrides, by service and id, and entries of break-glass, by id."""
    pairs: list[tuple[str, Path, object]] = [
        ("overrides", (service, name), _inside(before, ("overrides", service)).get(name))
        for service, _ in review.entries("overrides")
        for name, _ in review.entries("overrides", service)
    ]
    pairs.extend(
        ("break_glass", (name,), _inside(before, ("break_glass",)).get(name))
        for name, _ in review.entries("break_glass")
    )
    for document, path, was in pairs:
        old, new = mapping_of(was), mapping_of(review.at(document, *path))
        if old and all(old.get(part) == new.get(part) for part in _APPROVAL):
            _extended(review, document, path, old)
            _widened(review, document, path, old)


def _extended(review: Review, document: str, path: Path, old: Mapping[str, Any]) -> None:
    was, now_is = old.get("expires_at"), review.at(document, *path, "expires_at")
    if isinstance(was, str) and isinstance(now_is, str) and now_is > was:
        review.say(
            document,
            (*path, "expires_at"),
            "override_extended",
            f"it ended at {was} and ends at {now_is} now, on the same ticket and approval.",
            "Ask for a new one, which begins when this one ends.",
            "warning",
        )


def _widened(review: Review, document: str, path: Path, old: Mapping[str, Any]) -> None:
    for part in _SCOPE:
        was, now_is = list_of(old.get(part)), list_of(review.at(document, *path, part))
        # Without environments it holds in all of them.
        opened = part == "environments" and bool(was) and not now_is
        added = (
            [] if part == "environments" and not was else [one for one in now_is if one not in was]
        )
        if opened or added:
            what = ", ".join(str(one) for one in added) or "every environment"
            review.say(
                document,
                (*path, part),
                "override_widened",
                f"it excuses more than was approved: {what}.",
                "Ask for one of its own, with its own ticket.",
                "warning",
            )


def _contract(review: Review, before: object) -> None:
    old, new = mapping_of(before), mapping_of(review.at("contract"))
    if {**old, "version": None} == {**new, "version": None}:
        return
    was, now_is = _version(old), _version(new)
    if now_is > was:
        return
    changed = sorted(name for name in {*old, *new} - {"version"} if old.get(name) != new.get(name))
    review.say(
        "contract",
        ("version",),
        "contract_changed_silently",
        f"the contract changed ({', '.join(changed)}) and its version did not rise from {was}.",
        f"Write `version: {was + 1}`, and tell those who send calls.",
    )


def _version(contract: Mapping[str, Any]) -> int:
    version = contract.get("version", 0)
    return version if isinstance(version, int) else 0
