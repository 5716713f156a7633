from __future__ import annotations

import pytest
from typing_extensions import override

from fakes.entries import PERSON, an_entry
from fakes.ledger import FakeLedger
from fakes.seal_store import FakeSealStore
from tallygate.application.erasure import forget
from tallygate.application.sealing import seal_events
from tallygate.application.verification import Verification
from tallygate.errors import LedgerError, LedgerUnavailable

NOTHING_CHECKED = Verification(
    seals=0,
    events=0,
    archived=0,
    last_seq=None,
    head=None,
    unsealed=0,
    anchors=0,
    anchored_events=0,
    findings=(),
    more_findings=0,
)


def a_store(kind: type[FakeSealStore] = FakeSealStore) -> FakeSealStore:
    ledger = FakeLedger()
    ledger.append([an_entry(1), an_entry(2, cost=None)])
    store = kind(ledger)
    seal_events(store)
    return store


def test_a_person_goes_by_hash_and_the_sums_stay() -> None:
    store = a_store()

    forgotten = forget(store, PERSON, lambda: NOTHING_CHECKED)

    assert forgotten is not None
    assert forgotten.lines == 2
    assert forgotten.sums_stand
    assert forgotten.sums_before["USD"].unpriced == 1
    assert PERSON not in store.ledger.subjects


def test_a_person_goes_by_surrogate_too() -> None:
    store = a_store()
    surrogate = store.ledger.subjects[PERSON]

    assert forget(store, surrogate, lambda: NOTHING_CHECKED)
    assert forget(store, surrogate, lambda: NOTHING_CHECKED) is None


def test_what_is_booked_meanwhile_does_not_make_the_sums_differ() -> None:
    store = a_store()

    def verified_while_a_drain_books() -> Verification:
        number = len(store.ledger.lines) + 1
        store.ledger.append([an_entry(number)])
        return NOTHING_CHECKED

    forgotten = forget(store, PERSON, verified_while_a_drain_books)

    assert forgotten is not None
    assert forgotten.sums_stand


class _Stubborn(FakeSealStore):
    @override
    def forget(self, surrogate: str) -> None:
        pass


def test_a_row_that_stays_is_never_said_to_be_gone() -> None:
    with pytest.raises(LedgerError, match="still there"):
        forget(a_store(_Stubborn), PERSON, lambda: NOTHING_CHECKED)


class _Unavailable(FakeSealStore):
    @override
    def count_lines(self, surrogate: str) -> int:
        raise LedgerUnavailable("too slow")


def test_a_person_stays_where_their_lines_could_not_be_counted() -> None:
    store = a_store(_Unavailable)

    with pytest.raises(LedgerUnavailable):
        forget(store, PERSON, lambda: NOTHING_CHECKED)

    assert PERSON in store.ledger.subjects
