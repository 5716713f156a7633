from __future__ import annotations

import pytest
from typing_extensions import override

from fakes.entries import SECOND_NS, an_entry
from fakes.ledger import FakeLedger
from fakes.seal_store import FakeSealStore
from tallygate.application.sealing import SealSchedule, seal_due, seal_events
from tallygate.domain.ledger.seals import Seal


def a_store(*numbers: int) -> FakeSealStore:
    ledger = FakeLedger()
    ledger.append([an_entry(number) for number in numbers])
    return FakeSealStore(ledger)


def test_an_empty_ledger_has_nothing_to_seal() -> None:
    report = seal_events(a_store())

    assert (report.seals, report.events, report.last) == (0, 0, None)


def test_seals_hold_a_bounded_number_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallygate.application.sealing.SEAL_EVENTS_MAX", 2)
    heard: list[int] = []
    store = a_store(1, 2, 3, 4, 5)

    report = seal_events(store, heard.append)

    assert [seal.events for seal in store.chain] == [2, 2, 1]
    assert heard == [2, 4, 5]
    assert (report.seals, report.events, report.last) == (3, 5, store.chain[-1])


def test_sealing_stops_between_two_seals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallygate.application.sealing.SEAL_EVENTS_MAX", 2)
    store = a_store(1, 2, 3, 4, 5)

    seal_events(store, stop=lambda: bool(store.chain))

    assert len(store.chain) == 1


class _Slower(FakeSealStore):
    """Another sealer is faster, once."""

    @override
    def add_seal(self, seal: Seal) -> bool:
        if not self.chain:
            seal_events(FakeSealStoreOf(self))
        return super().add_seal(seal)


class FakeSealStoreOf(FakeSealStore):
    """The same ledger and chain, through another connection."""

    def __init__(self, other: FakeSealStore) -> None:
        super().__init__(other.ledger)
        self.chain = other.chain


def test_of_two_sealers_one_goes_on_behind_the_other() -> None:
    ledger = FakeLedger()
    ledger.append([an_entry(1), an_entry(2)])
    store = _Slower(ledger)

    report = seal_events(store)

    assert [seal.number for seal in store.chain] == [1]
    assert (report.events, report.last) == (0, store.chain[0])


def test_a_drain_seals_at_its_start_for_what_another_left() -> None:
    store = a_store(1)

    report = seal_due(store, SealSchedule(), 0)

    assert report is not None
    assert report.events == 1


def test_a_drain_seals_after_a_while_or_after_many_events() -> None:
    store = a_store()
    schedule = SealSchedule(every_ns=60 * SECOND_NS, events=10)
    assert seal_due(store, schedule, 0)

    assert seal_due(store, schedule, 100 * SECOND_NS) is None, "nothing was booked"
    schedule.noted(9)
    assert seal_due(store, schedule, 59 * SECOND_NS) is None
    assert seal_due(store, schedule, 60 * SECOND_NS)
    schedule.noted(10)
    assert seal_due(store, schedule, 61 * SECOND_NS)
    assert seal_due(store, schedule, 200 * SECOND_NS) is None


def test_what_could_not_be_sealed_is_tried_again_after_a_while() -> None:
    schedule = SealSchedule(every_ns=60 * SECOND_NS, events=10)
    schedule.noted(10)

    schedule.put_off(0)

    assert not schedule.is_due(59 * SECOND_NS)
    assert schedule.is_due(60 * SECOND_NS)
