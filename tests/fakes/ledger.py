"""The `Ledger` port in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from tallygate.adapters.stores.queries import FILTER_COLUMNS
from tallygate.adapters.stores.rows import digest_of_facts, facts_of, price_columns, readable
from tallygate.adapters.stores.tables import EVENTS
from tallygate.application.ports import Appended, EventFilter, Total
from tallygate.domain.kernel.digests import digest_of_value
from tallygate.domain.kernel.instants import period_of
from tallygate.domain.kernel.money import e12_from_amount
from tallygate.domain.ledger.events import Entry, Event, EventKind
from tallygate.errors import LedgerError, LedgerUnavailable

NOW_NS = 1_795_262_500_000_000_000


class FakeLedger:
    def __init__(self) -> None:
        self.lines: dict[str, dict[str, Any]] = {}
        self.conflicts: dict[tuple[str, str], dict[str, Any]] = {}
        self.subjects: dict[str, str] = {}
        self.rejected: dict[str, None] = {}
        self.inputs: dict[str, Mapping[str, Any]] = {}
        self.out_of_reach = ""
        """Why it cannot be reached, while it cannot."""
        self._surrogates = itertools.count(1)

    def append(self, entries: Sequence[Entry]) -> Appended:
        self._require_reach()
        inserted, conflicts, rejected = 0, {}, []
        for entry in entries:
            self._keep_input(entry)
            line = self.lines.get(entry.event.event_id)
            if _breaks_a_rule(entry):
                self.rejected[entry.event.event_id] = None
                rejected.append(entry.event.event_id)
            elif line is None:
                self.lines[entry.event.event_id] = self._line_of(entry)
                inserted += 1
            elif (entry.event.kind, line["kind"]) == (EventKind.USAGE, EventKind.USAGE):
                continue
            elif digest_of_facts(self._facts(entry.event, line)) != line["payload_digest"]:
                facts = self._facts(entry.event)
                self.conflicts[entry.event.event_id, digest_of_facts(facts)] = facts
                conflicts[entry.event.event_id] = None
        duplicates = len(entries) - inserted - len(conflicts) - len(rejected)
        return Appended(inserted, duplicates, tuple(conflicts), tuple(rejected))

    def append_soon(self, entries: Sequence[Entry]) -> Callable[[], Appended]:
        appended = self.append(entries)
        return lambda: appended

    def rows(self, wanted: EventFilter) -> Iterator[Mapping[str, Any]]:
        self._require_reach()
        hashes = {ref: subject_hash for subject_hash, ref in self.subjects.items()}
        found = [
            readable(line)
            | {
                "tenant_id_hash": hashes.get(line["tenant_ref"]),
                "user_id_hash": hashes.get(line["user_ref"]),
            }
            for line in self.lines.values()
        ]
        found = [row for row in found if _matches(row, wanted)]
        if wanted.newest_first:
            found.reverse()
        return iter(found[: wanted.limit])

    def total(self, wanted: EventFilter) -> Total:
        rows = list(self.rows(EventFilter(**_conditions_of(wanted))))
        if len({row["currency"] for row in rows if row["cost"]}) > 1:
            raise LedgerError("the entries are in more than one currency and cannot be summed")
        corrected = {line["corrects_event_id"] for line in self.lines.values()}
        return Total(
            cost=sum((row["cost"] for row in rows if row["cost"] is not None), Decimal(0)),
            events=len(rows),
            unpriced=sum(row["cost"] is None and row["event_id"] not in corrected for row in rows),
        )

    def count_attempts(self) -> int:
        self._require_reach()
        return sum(
            line["kind"] == "attempt"
            and line["status"] != "cache_hit"
            and line["detail"] != "not_sent"
            for line in self.lines.values()
        )

    def close(self) -> None:
        pass

    def forget(self, subject_hash: str) -> None:
        del self.subjects[subject_hash]

    def _keep_input(self, entry: Entry) -> None:
        decision = entry.event.decision
        digest = decision.input_digest
        if digest and decision.input and digest_of_value(dict(decision.input)) == digest:
            self.inputs.setdefault(digest, dict(decision.input))

    def _line_of(self, entry: Entry) -> dict[str, Any]:
        facts = self._facts(entry.event)
        return (
            dict.fromkeys(EVENTS.columns.keys())
            | facts
            | price_columns(entry.price)
            | {
                "seq": 1 + max((line["seq"] for line in self.lines.values()), default=0),
                "payload_digest": digest_of_facts(facts),
                "recorded_at_ns": NOW_NS,
                "booked_period": period_of(NOW_NS),
            }
        )

    def _facts(self, event: Event, line: Mapping[str, Any] | None = None) -> dict[str, Any]:
        owner = event.ownership
        tenant_ref = self._ref(owner.tenant_id_hash, line and line["tenant_ref"])
        return facts_of(event, tenant_ref, self._ref(owner.user_id_hash, line and line["user_ref"]))

    def _ref(self, subject_hash: str | None, stored: str | None) -> str | None:
        if subject_hash is None:
            return None
        if stored is not None and stored not in self.subjects.values():
            return stored
        return self.subjects.setdefault(subject_hash, f"sub_{next(self._surrogates)}")

    def _require_reach(self) -> None:
        if self.out_of_reach:
            raise LedgerUnavailable(self.out_of_reach)


def _breaks_a_rule(entry: Entry) -> bool:
    event, cost = entry.event, entry.price.cost
    correction = event.kind is EventKind.CORRECTION
    return (
        event.call_count < 1
        or correction != (event.corrects_event_id is not None)
        or (cost is not None and not correction and cost < 0)
        or (cost is not None and abs(e12_from_amount(cost)) >= 2**63)
    )


def _conditions_of(wanted: EventFilter) -> dict[str, Any]:
    names = ("since_ns", "until_ns", "call_id", "trace_id", "equals")
    return {name: getattr(wanted, name) for name in names}


def _matches(row: Mapping[str, Any], wanted: EventFilter) -> bool:
    at_ns = row["occurred_at_ns"]
    return (
        (wanted.since_ns is None or at_ns >= wanted.since_ns)
        and (wanted.until_ns is None or at_ns < wanted.until_ns)
        and (wanted.call_id is None or row["call_id"] == wanted.call_id)
        and (wanted.trace_id is None or row["trace_id"] == wanted.trace_id)
        and all(_equal(row, name, value) for name, value in wanted.equals.items())
    )


def _equal(row: Mapping[str, Any], name: str, value: str) -> bool:
    if name == "model":
        return value in (row["request_model"], row["response_model"], row["model_group"])
    if name == "violation":
        return value in [violation["code"] for violation in row["violations"]]
    if name not in FILTER_COLUMNS | {"tenant_id_hash", "user_id_hash"}:
        raise ValueError(f"events cannot be filtered by {name!r}")
    return bool(row[name] == (value or None))
