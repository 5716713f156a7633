"""The `OverrideUse` port over the ledger in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from fakes.ledger import FakeLedger
from tallygate.application.override_ports import ExcusedCalls
from tallygate.application.ports import EventFilter
from tallygate.domain.ledger.events import ActivationFacts
from tallygate.domain.policy.decision import Waived
from tallygate.errors import LedgerError


class FakeOverrideUse:
    def __init__(self, ledger: FakeLedger) -> None:
        self._ledger = ledger

    def excused(self, since_ns: int, until_ns: int) -> Sequence[ExcusedCalls]:
        alike: defaultdict[Any, list[Any]] = defaultdict(list)
        rows = list(self._ledger.rows(EventFilter()))
        corrected = {row["corrects_event_id"] for row in rows}
        for row in rows:
            passed = row["waived"] and row["action"] != "reject"
            if passed and since_ns <= row["call_started_at_ns"] < until_ns:
                waived = tuple(Waived(**each) for each in row["waived"])
                alike[waived, row["service"], row["workflow_id"], row["mode"]].append(row)
        currencies = {row["currency"] for group in alike.values() for row in group if row["cost"]}
        if len(currencies) > 1:
            raise LedgerError("more than one currency")
        found = []
        for (waived, service, workflow_id, mode), group in alike.items():
            attempts = [row for row in group if row["kind"] == "attempt"]
            if attempts:
                found.append(
                    ExcusedCalls(
                        waived=waived,
                        service=service,
                        workflow_id=workflow_id,
                        mode=mode,
                        calls=len({row["call_id"] for row in attempts}),
                        cost=sum((row["cost"] or Decimal(0) for row in group), Decimal(0)),
                        unpriced=sum(
                            row["cost"] is None and row["event_id"] not in corrected
                            for row in group
                        ),
                        last_ns=max(row["call_started_at_ns"] for row in attempts),
                    )
                )
        return found

    def activations(self, since_ns: int) -> Sequence[ActivationFacts]:
        rows = self._ledger.rows(EventFilter(since_ns=since_ns, equals={"kind": "activation"}))
        ordered = sorted(rows, key=lambda row: (row["occurred_at_ns"], row["seq"]))
        return [ActivationFacts(**row["activation"]) for row in ordered]
