from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from typing_extensions import override

from fakes.entries import an_entry, event_id
from fakes.ledger import FakeLedger
from fakes.seal_store import FakeSealStore
from fakes.tampering import TamperingInMemory
from tallygate.adapters.stores.archive_folder import ParquetFolder
from tallygate.application.sealing import seal_events
from tallygate.application.verification import InlineChecker, Verification, verify
from tallygate.domain.ledger.sealed_rows import SealedRow


class _Counting(FakeSealStore):
    """Notes how many rows each look at the ledger gave."""

    def __init__(self, ledger: FakeLedger) -> None:
        super().__init__(ledger)
        self.looks: list[int] = []

    @override
    def sealed_rows(
        self, after_seq: int, to_seq: int, limit: int | None = None
    ) -> Sequence[SealedRow]:
        rows = super().sealed_rows(after_seq, to_seq, limit)
        self.looks.append(len(rows))
        return rows


@pytest.fixture
def store() -> _Counting:
    """Seal nine events of nine quiet minutes."""
    ledger = FakeLedger()
    store = _Counting(ledger)
    for number in range(1, 10):
        ledger.append([an_entry(number)])
        seal_events(store)
    store.looks.clear()
    return store


def verified(store: FakeSealStore, tmp_path: Path) -> Verification:
    archive = ParquetFolder(tmp_path)
    return verify(store, archive, (), InlineChecker(store, archive))


@pytest.mark.parametrize(
    ("at_once", "looks"),
    [
        pytest.param(5_000, [9], id="all"),
        pytest.param(4, [4, 4, 1], id="four"),
        pytest.param(1, [1] * 9, id="one"),
    ],
)
def test_the_rows_of_many_small_seals_are_read_together(
    store: _Counting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
    looks: list[int],
) -> None:
    monkeypatch.setattr("tallygate.application.verification.READ_EVENTS", at_once)

    assert verified(store, tmp_path).holds
    assert store.looks == looks


@pytest.mark.parametrize("at_once", [5_000, 4, 1])
def test_what_is_found_does_not_depend_on_what_is_read_together(
    store: _Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("tallygate.application.verification.READ_EVENTS", at_once)
    tampering = TamperingInMemory(store)
    tampering.edit(event_id(3), cost_e12=1)
    tampering.delete(event_id(5))

    found = [(each.code.value, each.seal, each.seq) for each in verified(store, tmp_path).findings]

    assert found == [("event_edited", 3, 3), ("event_deleted", 5, 5)]
