"""
Why a call was decided so, as text for a terminal and as a document for programs.

Shapes  Text is at most 100 columns wide, except where a path or a pattern is longer.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any, Final

from tallygate.application.changes import Change
from tallygate.application.explanation import Explanation, FieldRead, Part, Rule
from tallygate.application.mending import Way
from tallygate.application.policy_places import DataEntry
from tallygate.application.recorded_decision import RecordedDecision
from tallygate.reports.events import plain_text

_WIDTH: Final = 100
_SHOWN_ENTRIES: Final = 12
_BY: Final = {
    "caller": "the caller sends",
    "registry": "somebody registers",
    "override": "an override excuses it",
}


def explanation_text(
    explanation: Explanation,
    ways: Sequence[Way] | None,
    revision: str,
    recorded: RecordedDecision | None,
) -> str:
    """Write the whole explanation for people."""
    lines = [
        *(_recorded_lines(recorded, explanation.decision, revision) if recorded else ()),
        *_head_lines(explanation, revision),
        *_part_lines("mode", explanation.mode),
        *_field_lines(explanation.fields),
    ]
    for label, parts in (
        ("violation", explanation.violations),
        ("waived", explanation.waived),
        ("notice", explanation.notices),
    ):
        for part in parts:
            lines.extend(_part_lines(label, part))
    lines.extend(_part_lines("paid by", explanation.payer))
    lines.extend(_part_lines("holds until", explanation.validity))
    lines.extend(_way_lines(explanation.decision, ways))
    lines.extend(_rule_lines(explanation))
    return "\n".join(lines)


def explanation_document(
    explanation: Explanation,
    ways: Sequence[Way] | None,
    revision: str,
    recorded: RecordedDecision | None,
) -> dict[str, Any]:
    """Build the same for programs."""
    rules = explanation.rules
    return {
        "revision": revision,
        "decision": dict(explanation.decision),
        "mode": asdict(explanation.mode),
        "fields": [asdict(field) for field in explanation.fields],
        "violations": [asdict(part) for part in explanation.violations],
        "waived": [asdict(part) for part in explanation.waived],
        "notices": [asdict(part) for part in explanation.notices],
        "payer": asdict(explanation.payer),
        "valid_until": asdict(explanation.validity),
        "ways_to_pass": None if ways is None else [_way_document(way) for way in ways],
        "rules": {
            "are_those_that_fired": rules.are_those_that_fired,
            "told_by": rules.told_by,
            "rules": [asdict(rule) for rule in rules.rules],
        },
        "recorded": None
        if recorded is None
        else {
            **asdict(recorded),
            "is_this_revision": recorded.revision == revision,
            "differing": list(recorded.differences(explanation.decision)),
        },
    }


def _way_document(way: Way) -> dict[str, Any]:
    return {
        "by": way.by,
        "changes": [
            {
                "by": change.by,
                "field": change.about or None,
                "text": change.text,
                "tried_with": change.sends,
                "puts": [
                    {"path": ".".join(str(step) for step in path), "value": value}
                    for path, value in change.puts.items()
                ],
                "entry": asdict(change.entry) if change.entry else None,
                "command": change.command,
            }
            for change in way.changes
        ],
        "then": dict(way.then),
    }


def _recorded_lines(
    recorded: RecordedDecision, today: Mapping[str, Any], revision: str
) -> Iterator[str]:
    then = recorded.decision
    yield f"decision      {recorded.decision_id}, of call {recorded.call_id}"
    yield f"recorded      {_outcome(then)}, {recorded.status} at {recorded.decided_at}"
    if recorded.revision == revision:
        yield "revision      the one that is explained here"
    else:
        yield f"revision      then {recorded.revision}"
        yield f"              here {revision}"
        yield "  Another policy decided then. What follows is what this folder decides on the call."
    if recorded.gaps is not None:
        yield from _wrapped(
            "The line has no recorded input, so the question is built from its columns. Not known: "
            + "; ".join(recorded.gaps)
            + ".",
            2,
        )
    elif any(value.startswith("?") for value in recorded.question["ownership"].values()):
        yield "  A value that was not accepted then stands as ? and eight digits of its digest."
    if differing := recorded.differences(today):
        yield f"  Decided otherwise now: {', '.join(differing)}."
    else:
        yield "  It is decided alike now."
    yield ""


def _outcome(decision: Mapping[str, Any]) -> str:
    would = decision["would_action"]
    enforced = "" if would == decision["action"] else f" (enforce would {would})"
    wrong = ", ".join(f"{item['code']} {item['field']}" for item in decision["violations"])
    return f"{decision['action']}{enforced}, {decision['mode']} from {decision['mode_source']}" + (
        f", {wrong}" if wrong else ""
    )


def _head_lines(explanation: Explanation, revision: str) -> Iterator[str]:
    decision = explanation.decision
    yield f"action        {decision['action']}"
    if decision["would_action"] != decision["action"]:
        yield f"enforced      {decision['would_action']}  (this is what enforce would do)"
    yield f"revision      {revision}"


def _part_lines(label: str, part: Part) -> Iterator[str]:
    yield ""
    shown = f"{part.subject}, from {part.code}" if label == "mode" else _named(label, part)
    yield f"{label:<13} {shown}"
    yield from _wrapped(part.sentence, 2)
    yield from _entry_lines(part.entries)
    for rule in part.rules:
        yield from _wrapped(_rule_text(rule), 4, hanging=2)


def _named(label: str, part: Part) -> str:
    if label in ("paid by", "holds until"):
        return part.subject or part.code
    return f"{part.code}  {part.subject}"


def _entry_lines(entries: Sequence[DataEntry]) -> Iterator[str]:
    for entry in entries[:_SHOWN_ENTRIES]:
        yield from _wrapped(_entry_text(entry), 4, hanging=2)
    if len(entries) > _SHOWN_ENTRIES:
        yield f"    and {len(entries) - _SHOWN_ENTRIES} more (--format json has all)"


def _entry_text(entry: DataEntry) -> str:
    value = "" if entry.value is None else f": {entry.value}"
    says = f"  ({entry.says})" if entry.says else ""
    return f"{_place(entry)}  {entry.where}{value}{says}"


def _place(entry: DataEntry) -> str:
    return f"{entry.file}:{entry.line}:{entry.column}"


def _rule_text(rule: Rule) -> str:
    title = f": {rule.title}" if rule.title else ""
    return f"{rule.file}:{rule.line}  {rule.name}{title}"


def _field_lines(fields: Sequence[FieldRead]) -> Iterator[str]:
    if not fields:
        return
    yield ""
    yield "fields"
    names = max(len(field.name) for field in fields)
    values = min(max(len(field.value or "-") for field in fields), 40)
    for field in fields:
        asked = ", ".join(_place(entry) for entry in field.required_by)
        filled = f" by {_place(field.filled_by)}" if field.filled_by else ""
        shown = plain_text(field.value).plain
        parts = f"  {field.name:<{names}}  {shown:<{values}}  {field.state}{filled}"
        yield parts
        if asked:
            yield f"  {'':<{names}}  required by {asked}"


def _way_lines(decision: Mapping[str, Any], ways: Sequence[Way] | None) -> Iterator[str]:
    yield ""
    if decision["would_action"] == "admit":
        yield "to pass       nothing: enforce admits the call"
        return
    yield "to pass"
    if ways is None:
        yield "  The question lacks parts that the gate always gives, so nothing was tried."
    elif not ways:
        yield "  Nothing was found that the caller, the registry or an override could change."
    for index, way in enumerate(ways or ()):
        yield f"  {'or ' if index else ''}{_BY[way.by]}"
        for change in way.changes:
            yield from _change_lines(change)
        yield f"    then: {_outcome(way.then)}"


def _change_lines(change: Change) -> Iterator[str]:
    tried = f" (tried: {change.sends})" if change.sends else ""
    yield from _wrapped(f"- {change.text}{tried}", 4, hanging=2)
    if change.entry is not None:
        yield f"      in {_place(change.entry)}  {change.entry.where}"
    if change.command is not None:
        yield from _wrapped(change.command, 6, hanging=2)


def _rule_lines(explanation: Explanation) -> Iterator[str]:
    rules = explanation.rules
    yield ""
    if rules.are_those_that_fired:
        yield f"rules that fired  ({rules.told_by})"
    else:
        yield f"rules that could have fired  ({rules.told_by}: which did is not known)"
    for file, found in groupby(rules.rules, key=lambda rule: rule.file):
        listed = ", ".join(f"{rule.name}:{rule.line}" for rule in found)
        yield f"  {file}"
        yield from _wrapped(listed, 4)


def _wrapped(text: str, indent: int, *, hanging: int = 0) -> Iterable[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )
