"""The `RolloutTraffic` port over the ledger in memory, one row after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fakes.ledger import FakeLedger
from tallygate.application.ports import EventFilter
from tallygate.application.rollout_ports import SeenAs, TrafficFilter
from tallygate.domain.policy.traffic import Amount, Fault, Group
from tallygate.errors import LedgerError

ALIKE = (
    "service",
    "environment",
    "owner_team",
    "principal_team",
    "principal_key_hash",
    "mode",
    "action",
    "would_action",
    "decision_status",
    "violations",
    "waived",
)


class FakeTraffic:
    def __init__(self, ledger: FakeLedger) -> None:
        self._ledger = ledger

    def groups(self, wanted: TrafficFilter) -> Iterator[Group]:
        rows = self._rows(wanted)
        currencies = {row["currency"] for row in rows if row["cost"]}
        if len(currencies) > 1:
            raise LedgerError("the entries are in more than one currency and cannot be summed")
        alike: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            alike.setdefault(repr([row[name] for name in ALIKE]), []).append(row)
        return (self._group(rows) for rows in alike.values())

    def first_seen(self, wanted: TrafficFilter) -> Mapping[SeenAs, int]:
        found: dict[SeenAs, int] = {}
        for row in self._rows(wanted):
            if row["kind"] in ("attempt", "refusal"):
                seen = (row["service"], row["environment"], row["mode"])
                found[seen] = min(found.get(seen, row["occurred_at_ns"]), row["occurred_at_ns"])
        return found

    def _rows(self, wanted: TrafficFilter) -> list[Mapping[str, Any]]:
        rows = self._ledger.rows(EventFilter(since_ns=wanted.since_ns, until_ns=wanted.until_ns))
        return [
            row
            for row in rows
            if row["kind"] != "activation" and wanted.environment in (None, row["environment"])
        ]

    def _group(self, rows: list[Mapping[str, Any]]) -> Group:
        corrected = {line["corrects_event_id"] for line in self._ledger.lines.values()}
        refused = sum(row["call_count"] for row in rows if row["kind"] == "refusal")
        tried = {row["call_id"] for row in rows if row["kind"] == "attempt"}
        billable = [
            row for row in rows if row["price_status"] != "not_billed" and row["call_id"] in tried
        ]
        unreported = [
            row
            for row in billable
            if row["usage_source"] != "reported" and row["event_id"] not in corrected
        ]
        one = rows[0]
        return Group(
            service=one["service"],
            environment=one["environment"],
            owner_team=one["owner_team"],
            principal_team=one["principal_team"],
            principal_key=one["principal_key_hash"],
            mode=one["mode"],
            action=one["action"],
            would_action=one["would_action"],
            is_decided=one["decision_status"] != "unavailable",
            violations=_faults(one["violations"]),
            waived=_faults(one["waived"]),
            amount=Amount(
                calls=len(tried) + refused,
                cost=sum((row["cost"] for row in rows if row["cost"]), start=Amount().cost),
                unpriced=sum(
                    row["cost"] is None and row["event_id"] not in corrected for row in rows
                ),
            ),
            refused=refused,
            billable=len({row["call_id"] for row in billable}),
            unreported=len({row["call_id"] for row in unreported}),
        )


def _faults(found: list[dict[str, str]]) -> tuple[Fault, ...]:
    return tuple((one["code"], one["field"]) for one in found)
