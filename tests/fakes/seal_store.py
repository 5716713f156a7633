"""The `SealStore` and `Subjects` ports over the ledger in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fakes.ledger import NOW_NS, FakeLedger
from tallygate.application.ledger_ports import CurrencySum
from tallygate.domain.kernel.digests import canonical_json
from tallygate.domain.kernel.money import amount_from_e12
from tallygate.domain.ledger.archives import ArchivedRange
from tallygate.domain.ledger.sealed_rows import SEALED_COLUMNS, SealedRow
from tallygate.domain.ledger.seals import BEFORE_ALL, Seal


class FakeSealStore:
    def __init__(self, ledger: FakeLedger) -> None:
        self.ledger = ledger
        self.chain: list[Seal] = []
        self.archived: list[ArchivedRange] = []

    def now_ns(self) -> int:
        return NOW_NS

    def settled_seq(self) -> int | None:
        return max((line["seq"] for line in self.ledger.lines.values()), default=None)

    def sealed_rows(
        self, after_seq: int, to_seq: int, limit: int | None = None
    ) -> Sequence[SealedRow]:
        return [_row_of(line) for line in self._between(after_seq, to_seq)][:limit]

    def last_seal(self) -> Seal | None:
        return self.chain[-1] if self.chain else None

    def seals(self, after: int = 0) -> Iterator[Seal]:
        return (seal for seal in self.chain if seal.number > after)

    def add_seal(self, seal: Seal) -> bool:
        if seal.number != len(self.chain) + 1:
            return False
        self.chain.append(seal)
        return True

    def count_rows(self, after_seq: int, to_seq: int | None = None) -> int:
        return len(self._between(after_seq, to_seq))

    def sums(
        self, after_seq: int | None = None, to_seq: int | None = None
    ) -> Mapping[str, CurrencySum]:
        lines = self._between(BEFORE_ALL if after_seq is None else after_seq, to_seq)
        return {
            currency: CurrencySum(
                cost=amount_from_e12(sum(line["cost_e12"] or 0 for line in of_currency)),
                events=len(of_currency),
                unpriced=sum(line["cost_e12"] is None for line in of_currency),
            )
            for currency in sorted({line["currency"] for line in lines})
            if (of_currency := [line for line in lines if line["currency"] == currency])
        }

    def recorded_before(self, after_seq: int, to_seq: int, before_ns: int) -> bool:
        return all(line["recorded_at_ns"] < before_ns for line in self._between(after_seq, to_seq))

    def first_recorded_ns(self, after_seq: int) -> int | None:
        return min(
            (line["recorded_at_ns"] for line in self._between(after_seq, None)), default=None
        )

    def inputs(self) -> Iterator[tuple[str, str]]:
        return (
            (digest, canonical_json(recorded).decode())
            for digest, recorded in self.ledger.inputs.items()
        )

    def archives(self) -> Sequence[ArchivedRange]:
        return tuple(self.archived)

    def add_archive(self, archived: ArchivedRange) -> None:
        self.archived.append(archived)

    def delete_archived(self, archived: ArchivedRange, limit: int) -> int:
        gone = self._between(archived.from_seq - 1, archived.to_seq)[:limit]
        for line in gone:
            del self.ledger.lines[line["event_id"]]
        return len(gone)

    def surrogate_of(self, subject: str) -> str | None:
        if subject in self.ledger.subjects.values():
            return subject
        return self.ledger.subjects.get(subject)

    def count_lines(self, surrogate: str) -> int:
        return sum(
            surrogate in (line["tenant_ref"], line["user_ref"])
            for line in self.ledger.lines.values()
        )

    def forget(self, surrogate: str) -> None:
        known = {ref: subject_hash for subject_hash, ref in self.ledger.subjects.items()}
        self.ledger.forget(known[surrogate])

    def purge(self) -> bool:
        return True

    def _between(self, after_seq: int, to_seq: int | None) -> list[dict[str, Any]]:
        return sorted(
            (
                line
                for line in self.ledger.lines.values()
                if line["seq"] > after_seq and (to_seq is None or line["seq"] <= to_seq)
            ),
            key=lambda line: line["seq"],
        )


def _row_of(line: Mapping[str, Any]) -> SealedRow:
    values = (line[name] for name in SEALED_COLUMNS)
    return tuple(int(value) if isinstance(value, bool) else value for value in values)
