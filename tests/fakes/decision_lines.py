"""The `DecisionLines` port over the ledger in memory, line by line."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from fakes.ledger import FakeLedger
from tallygate.application.ports import EventFilter
from tallygate.application.replay_ports import DecisionLine, RecordedCalls

_NAMES = ("service", "owner_team", "environment", "action", "would_action", "mode")


class LedgerLines:
    def __init__(self, ledger: FakeLedger) -> None:
        self.ledger = ledger

    def recorded_calls(
        self,
        since_ns: int | None,
        until_ns: int | None,
        *,
        by_call_bucket: bool,
        cuts_ns: Sequence[int] = (),
    ) -> Iterator[RecordedCalls]:
        corrected = {line["corrects_event_id"] for line in self.ledger.lines.values()}
        groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for row in self.ledger.rows(EventFilter(since_ns=since_ns, until_ns=until_ns)):
            span = bisect_right(cuts_ns, row["call_started_at_ns"])
            names = (row[name] for name in _NAMES)
            bucket = row["call_bucket"] if by_call_bucket else None
            groups.setdefault((row["input_digest"], span, *names, bucket), []).append(row)
        for key in sorted(groups, key=str):
            digest, span, *names, bucket = key
            yield _summed(groups[key], corrected, digest, span, names, bucket)

    def decision_inputs(
        self, digests: Collection[str] | None = None
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for digest, recorded in self.ledger.inputs.items():
            if digests is None or digest in digests:
                yield digest, recorded

    def decision_line(self, decision_id: str) -> DecisionLine | None:
        wanted = EventFilter(equals={"decision_id": decision_id})
        row = min(
            self.ledger.rows(wanted),
            key=lambda row: (row["occurred_at_ns"], row["seq"]),
            default=None,
        )
        if row is None:
            return None
        return DecisionLine(
            decision_id=decision_id,
            decided_at_ns=row["call_started_at_ns"],
            input_digest=row["input_digest"],
            call_bucket=row["call_bucket"],
            recorded=self.ledger.inputs.get(row["input_digest"]),
            event=row,
        )


def _summed(
    rows: Sequence[Mapping[str, Any]],
    corrected: Collection[str | None],
    digest: str | None,
    span: int,
    names: Sequence[Any],
    bucket: int | None,
) -> RecordedCalls:
    calls = {row["call_id"] for row in rows if row["kind"] == "attempt"}
    refused = sum(row["call_count"] for row in rows if row["kind"] == "refusal")
    ids = sorted(row["decision_id"] for row in rows)
    return RecordedCalls(
        **dict(zip(_NAMES, names, strict=True)),
        input_digest=digest,
        call_bucket=bucket,
        span=span,
        calls=len(calls) + refused,
        cost=sum((row["cost"] for row in rows if row["cost"] is not None), Decimal(0)),
        unpriced=sum(row["cost"] is None and row["event_id"] not in corrected for row in rows),
        first_at_ns=min(row["call_started_at_ns"] for row in rows),
        last_at_ns=max(row["call_started_at_ns"] for row in rows),
        samples=tuple(dict.fromkeys((ids[0], ids[-1]))),
    )
