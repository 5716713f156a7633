"""
Two revisions compared over recorded inputs, each input under both.

Exact   The answers of one comparison are remembered, so that a batch that comes later asks less;
        what is found does not depend on which batches it saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tallygate.application.impact_findings import (
    Batch,
    DateOrigin,
    Findings,
    Group,
    Sum,
    Tally,
    Window,
)
from tallygate.application.replay import PolicyAt, Replay, cuts_between
from tallygate.domain.kernel.instants import ns_from_text, text_from_ns
from tallygate.domain.kernel.money import exact_arithmetic
from tallygate.domain.policy.change import REFUSING, Decided, Kind, kind_of
from tallygate.domain.policy.decision import Decision


class Comparison:
    """Compares batches of recorded inputs, and remembers what the policies answered."""

    def __init__(self, base: PolicyAt, head: PolicyAt, window: Window) -> None:
        self._base = Replay(base)
        self._head = self._base if head.engine is base.engine else Replay(head)
        self._window = window
        self._cuts = cuts_between((base, head), window.since_ns, window.until_ns)
        self._found = Findings()

    def compare(self, batch: Batch) -> Findings:
        """Say what was found over these inputs alone."""
        self._found = Findings(inputs=len(batch))
        with exact_arithmetic():
            for recorded, groups in batch:
                self._compare(recorded, groups)
        return self._found

    def _compare(self, recorded: Mapping[str, Any], groups: Sequence[Group]) -> None:
        for group in groups:
            self._found.by_service.setdefault(group.service, Tally()).add(group.tally)
            then_ns = self._cuts[group.span - 1] if group.span else self._window.since_ns
            self._compare_with_record(recorded, group, then_ns)
            at_ns = then_ns if self._window.at_ns is None else self._window.at_ns
            before = self._base.decide(recorded, group.call_bucket, at_ns)
            after = self._head.decide(recorded, group.call_bucket, at_ns)
            if before is None:
                self._found.undecided.add(group.tally)
                continue
            was = Decided.of(before, recorded)
            becomes = Decided.of(after, recorded) if after else None
            if kind := kind_of(was, becomes):
                key = (kind, group.service, group.environment, was, becomes)
                self._found.changes.setdefault(key, Sum()).count(group)
        for call_bucket in {group.call_bucket for group in groups}:
            alike = [group for group in groups if group.call_bucket == call_bucket]
            self._look_ahead(recorded, call_bucket, alike)

    def _compare_with_record(self, recorded: Mapping[str, Any], group: Group, then_ns: int) -> None:
        then = self._base.decide(recorded, group.call_bucket, then_ns)
        if then is None:
            return
        decided = Decided.of(then, recorded)
        if group.recorded != (decided.action, then.would_action, decided.mode):
            self._found.unlike_record.add(group.tally)

    def _look_ahead(
        self, recorded: Mapping[str, Any], call_bucket: int | None, groups: Sequence[Group]
    ) -> None:
        now_ns = self._window.now_ns
        head = _changes_in(recorded, self._head.later(recorded, call_bucket, now_ns))
        base = _changes_in(recorded, self._base.later(recorded, call_bucket, now_ns))
        found = {(at, kind, DateOrigin.KEPT) for at, kind in head & base}
        found |= {(at, kind, DateOrigin.NEW) for at, kind in head - base}
        found |= {(at, kind, DateOrigin.DROPPED) for at, kind in base - head}
        workflow = recorded.get("claims", {}).get("workflow_id")
        for key in found:
            total = self._found.dates.setdefault(key, Sum())
            total.workflows.update({workflow} if workflow else ())
            for group in groups:
                total.count(group)
        dates = [now_ns, *sorted({ns_from_text(at) for at, _, _ in found})]
        refused = (at for at in dates if self._is_refused_by_head(recorded, call_bucket, at))
        first_ns = next(refused, now_ns)
        if first_ns != now_ns:
            later = self._found.later.setdefault(text_from_ns(first_ns), Tally())
            for group in groups:
                later.add(group.tally)

    def _is_refused_by_head(
        self, recorded: Mapping[str, Any], call_bucket: int | None, at_ns: int
    ) -> bool:
        """Whether head refuses at an instant what base lets pass."""
        before = self._base.decide(recorded, call_bucket, at_ns)
        after = self._head.decide(recorded, call_bucket, at_ns)
        if before is None:
            return False
        becomes = Decided.of(after, recorded) if after else None
        return kind_of(Decided.of(before, recorded), becomes) in REFUSING


def _changes_in(
    recorded: Mapping[str, Any], later: Iterable[tuple[str, Decision, Decision]]
) -> set[tuple[str, Kind]]:
    return {
        (at, kind)
        for at, before, after in later
        if (kind := kind_of(Decided.of(before, recorded), Decided.of(after, recorded)))
    }
