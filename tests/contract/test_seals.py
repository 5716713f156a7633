"""The chain of seals on every ledger, and somebody who gets past its guards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fakes.entries import (
    PERSON,
    SECOND_NS,
    TENANT,
    a_decision,
    an_entry,
    an_event,
    an_ownership,
    event_id,
    no_charge,
)
from fakes.ledger import NOW_NS, FakeLedger
from fakes.seal_store import FakeSealStore
from fakes.tampering import (
    Tampering,
    TamperingInMemory,
    TamperingInPostgres,
    TamperingInSqlite,
    chain_anew,
    edit_seal,
    swap,
)
from tallygate.adapters.stores.archive_folder import ParquetFolder
from tallygate.adapters.stores.postgres import PostgresLedger
from tallygate.adapters.stores.sealing import SqlSealStore
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.ledger_ports import SealStore
from tallygate.application.ports import Ledger
from tallygate.application.sealing import seal_events
from tallygate.application.verification import InlineChecker, Verification, verify
from tallygate.domain.ledger import seals
from tallygate.domain.ledger.events import Entry
from tallygate.domain.ledger.findings import Anchor, FindingCode
from tallygate.domain.ledger.sealed_rows import SEALED_COLUMNS
from tallygate.domain.ledger.seals import GENESIS
from tallygate.domain.policy.recorded_input import digest_of_input


@dataclass
class Sealed:
    """A ledger of eight events under two seals."""

    ledger: Ledger
    store: SealStore
    tampering: Tampering
    archive: ParquetFolder

    def verify(self, *anchors: Anchor) -> Verification:
        checker = InlineChecker(self.store, self.archive)
        return verify(self.store, self.archive, anchors, checker)

    def found(self, *anchors: Anchor) -> list[tuple[Any, ...]]:
        return [
            (finding.code.value, finding.seal, finding.seq, finding.event_id, finding.column)
            for finding in self.verify(*anchors).findings
        ]

    def anchor(self) -> Anchor:
        last = self.store.last_seal()
        assert last is not None
        return Anchor(
            at="2026-11-21T12:00:00Z",
            seals=last.number,
            events=last.chain_events,
            last_seq=last.to_seq,
            head=last.head,
        )

    def book(self, *numbers: int) -> None:
        self.ledger.append([an_entry(number) for number in numbers])


def _made(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sealed]:
    archive = ParquetFolder(tmp_path / "archive")
    if kind == "fake":
        store = FakeSealStore(FakeLedger())
        yield Sealed(store.ledger, store, TamperingInMemory(store), archive)
        return
    ledger: SqliteLedger | PostgresLedger
    if kind == "sqlite":
        ledger = SqliteLedger(tmp_path / "ledger.db", busy_timeout_s=0.2)
        tampering: Tampering = TamperingInSqlite(tmp_path / "ledger.db")
    else:
        url = request.getfixturevalue("postgres_url")
        ledger = PostgresLedger(url)
        tampering = TamperingInPostgres(url)
    yield Sealed(ledger, SqlSealStore(ledger), tampering, archive)
    ledger.close()


@pytest.fixture(params=["sqlite", "postgres", "fake"])
def sealed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sealed]:
    for made in _made(request.param, tmp_path, request):
        made.book(1, 2, 3, 4)
        seal_events(made.store)
        made.book(5, 6, 7, 8)
        seal_events(made.store)
        yield made


def test_what_nobody_touched_holds(sealed: Sealed) -> None:
    verification = sealed.verify(sealed.anchor())

    assert verification.holds
    assert (verification.seals, verification.events, verification.unsealed) == (2, 8, 0)
    assert verification.last_seq == 8
    assert verification.head == sealed.anchor().head


def test_an_input_that_somebody_edited_is_found(sealed: Sealed) -> None:
    recorded = {"claims": {"service": "support-assistant"}}
    digest = digest_of_input(recorded)
    decision = a_decision(input_digest=digest, input=recorded)
    sealed.ledger.append([an_entry(9, decision=decision)])
    seal_events(sealed.store)
    assert sealed.verify().holds

    sealed.tampering.edit_input(digest, {"claims": {"service": "billing-bot"}})

    (finding,) = sealed.verify().findings
    assert (finding.code, finding.place) == (FindingCode.INPUT_EDITED, "decision_inputs")
    assert digest in finding.message


def test_what_is_not_sealed_yet_is_counted_and_not_proven(sealed: Sealed) -> None:
    sealed.book(9, 10)
    sealed.tampering.edit(event_id(9), cost_e12=1)

    verification = sealed.verify()

    assert verification.holds
    assert verification.unsealed == 2


def test_an_event_that_waits_long_for_its_seal_is_found(sealed: Sealed) -> None:
    sealed.book(9)
    late_ns = sealed.store.now_ns() - 11 * 60 * SECOND_NS
    sealed.tampering.edit(event_id(9), recorded_at_ns=late_ns)

    (finding,) = sealed.verify().findings

    assert (finding.code, finding.seal, finding.seq) == (FindingCode.SEALS_BEHIND, 2, 8)
    assert "11 minutes after it was booked" in finding.message


def test_an_event_that_waits_as_long_as_a_drain_may_take_is_no_finding(sealed: Sealed) -> None:
    sealed.book(9)
    sealed.tampering.edit(event_id(9), recorded_at_ns=sealed.store.now_ns() - 9 * 60 * SECOND_NS)

    assert sealed.verify().holds


def test_seals_that_were_all_deleted_leave_events_that_nobody_sealed(sealed: Sealed) -> None:
    sealed.tampering.edit(event_id(1), recorded_at_ns=1)
    sealed.tampering.drop_seals(after=0)

    assert sealed.found() == [("seals_behind", None, None, None, None)]


def test_seals_continue_each_other(sealed: Sealed) -> None:
    first, second = sealed.store.seals()

    assert (first.from_seq, first.to_seq, first.previous_head) == (1, 4, GENESIS)
    assert (second.from_seq, second.to_seq, second.previous_head) == (5, 8, first.head)
    assert (first.chain_events, second.chain_events) == (4, 8)
    assert sealed.store.add_seal(second) is False


def test_there_is_nothing_to_seal_twice(sealed: Sealed) -> None:
    report = seal_events(sealed.store)

    assert (report.seals, report.events) == (0, 0)
    assert report.last == sealed.store.last_seal()


_EDITS = {
    "event_schema": 9,
    "kind": "refusal",
    "call_count": 2,
    "occurred_at_ns": 5,
    "recorded_at_ns": 6,
    "booked_period": "2020-01",
    "owner_team": "team-other",
    "tenant_ref": "sub_other",
    "feature": None,
    "principal_bound": False,
    "stream": True,
    "decision_latency_us": 0,
    "http_status": None,
    "input_tokens": 1,
    "output_tokens": None,
    "currency": "EUR",
    "cost_e12": 1,
    "avoided_cost_e12": 0,
    "billing_rule_version": "openai-pricing-2020-01-01",
    "usage": None,
    "meters": "{}",
    "charge_lines": "[]",
    "violations": '[{"code":"x"}]',
    "payload_digest": "sha256:0",
}


@pytest.mark.parametrize("column", sorted(_EDITS))
def test_an_edited_field_is_found_by_its_name(column: str, tmp_path: Path) -> None:
    for made in _made("sqlite", tmp_path, None):  # type: ignore[arg-type]  # asks nothing
        made.book(1, 2, 3)
        seal_events(made.store)
        made.tampering.edit(event_id(2), **{column: _EDITS[column]})

        assert made.found() == [("event_edited", 1, 2, event_id(2), column)]


@pytest.mark.parametrize("column", ["cost_e12", "owner_team", "principal_bound", "meters"])
def test_an_edited_field_is_found_on_every_ledger(sealed: Sealed, column: str) -> None:
    sealed.tampering.edit(event_id(6), **{column: _EDITS[column]})

    assert sealed.found() == [("event_edited", 2, 6, event_id(6), column)]


def test_two_edited_fields_are_one_event_of_no_single_column(sealed: Sealed) -> None:
    sealed.tampering.edit(event_id(6), cost_e12=1, owner_team="team-other")

    assert sealed.found() == [("event_edited", 2, 6, event_id(6), None)]


def test_an_event_under_another_id_is_an_edit(sealed: Sealed) -> None:
    sealed.tampering.edit(event_id(3), event_id=event_id(99))

    assert sealed.found() == [("event_edited", 1, 3, event_id(99), "event_id")]
    assert event_id(3) in sealed.verify().findings[0].message


@pytest.mark.parametrize("number", [1, 3, 4, 5, 8])
def test_a_deleted_event_is_named(sealed: Sealed, number: int) -> None:
    sealed.tampering.delete(event_id(number))

    assert sealed.found() == [
        ("event_deleted", 1 if number < 5 else 2, number, event_id(number), None)
    ]


def test_swapped_events_are_named_both(sealed: Sealed) -> None:
    swap(sealed.tampering, {event_id(2): 2, event_id(3): 3})

    assert sealed.found() == [
        ("event_moved", 1, 2, event_id(3), None),
        ("event_moved", 1, 3, event_id(2), None),
    ]


def test_an_event_that_was_moved_and_edited_is_both(sealed: Sealed) -> None:
    sealed.tampering.edit(event_id(3), cost_e12=1)
    swap(sealed.tampering, {event_id(2): 2, event_id(3): 3})

    assert ("event_edited", 1, 2, event_id(3), "cost_e12") in sealed.found()


def test_an_event_that_was_slipped_in_is_found(sealed: Sealed) -> None:
    sealed.book(9)
    sealed.tampering.delete(event_id(3))
    sealed.tampering.edit(event_id(9), seq=3)

    assert [found[0] for found in sealed.found()] == ["event_edited"]
    assert f"it was sealed as {event_id(3)}" in sealed.verify().findings[0].message


def test_an_event_in_front_of_the_first_is_found(sealed: Sealed) -> None:
    sealed.book(9)
    sealed.tampering.edit(event_id(9), seq=-5)

    assert sealed.found() == [("event_added", 1, -5, event_id(9), None)]


def test_a_cut_tail_shows_while_its_seal_stands(sealed: Sealed) -> None:
    sealed.tampering.delete(event_id(7), event_id(8))

    assert [found[:4] for found in sealed.found()] == [
        ("event_deleted", 2, 7, event_id(7)),
        ("event_deleted", 2, 8, event_id(8)),
    ]


def test_a_tail_cut_with_its_seal_shows_at_the_anchor_only(sealed: Sealed) -> None:
    anchor = sealed.anchor()
    sealed.tampering.delete(*map(event_id, (5, 6, 7, 8)))
    sealed.tampering.drop_seals(after=1)

    assert sealed.found() == []
    assert sealed.found(anchor) == [("tail_cut", 2, 8, None, None)]


def test_a_chain_made_anew_shows_at_the_anchor_only(sealed: Sealed) -> None:
    anchor = sealed.anchor()
    sealed.tampering.edit(event_id(6), cost_e12=1)
    chain_anew(sealed.tampering, sealed.store)

    assert sealed.found() == []
    assert sealed.found(anchor) == [("history_rewritten", 2, 8, None, None)]


def test_the_anchor_that_holds_says_from_where_history_was_rewritten(sealed: Sealed) -> None:
    anchor = sealed.anchor()
    sealed.book(9)
    seal_events(sealed.store)
    later = sealed.anchor()
    sealed.tampering.edit(event_id(9), cost_e12=1)
    chain_anew(sealed.tampering, sealed.store)

    (finding,) = sealed.verify(anchor, later).findings
    assert finding.code is FindingCode.HISTORY_REWRITTEN
    assert "after seq 8" in finding.message
    assert "up to seq 9" in finding.message


def test_a_ledger_emptied_of_everything_shows_at_the_anchor(sealed: Sealed) -> None:
    anchor = sealed.anchor()
    sealed.tampering.delete(*map(event_id, range(1, 9)))
    sealed.tampering.drop_seals(after=0)

    assert sealed.found(anchor) == [("tail_cut", 2, 8, None, None)]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"head": "sha256:" + "f" * 64}, id="its head"),
        pytest.param({"sealed_at_ns": 1}, id="its time"),
        pytest.param({"rows_digest": "sha256:" + "f" * 64}, id="its rows' digest"),
        pytest.param({"index": b""}, id="its index"),
        pytest.param({"events": 3}, id="its count"),
        pytest.param({"column_set": 99}, id="its column set"),
        pytest.param({"previous_head": GENESIS}, id="what it continues"),
    ],
)
@pytest.mark.parametrize("keeps_head", [True, False], ids=["old head", "new head"])
def test_an_edited_seal_is_found(
    sealed: Sealed, values: dict[str, Any], *, keeps_head: bool
) -> None:
    _, last = sealed.store.seals()
    sealed.book(9)
    seal_events(sealed.store)
    kept = {"head": last.head} if keeps_head else {}

    edit_seal(sealed.tampering, sealed.store, 2, **kept | values)

    findings = sealed.verify().findings
    assert findings
    assert {finding.code for finding in findings} <= {
        FindingCode.SEAL_EDITED,
        FindingCode.EVENT_ADDED,
        FindingCode.EVENT_DELETED,
    }
    assert {finding.seal for finding in findings} <= {2, 3}


def test_a_seal_that_is_gone_from_the_middle_is_named(sealed: Sealed) -> None:
    sealed.book(9)
    seal_events(sealed.store)
    third = sealed.store.last_seal()
    sealed.tampering.drop_seals(after=1)
    assert third is not None
    sealed.tampering.put_seal(third)

    assert sealed.found() == [("seal_missing", 2, None, None, None)]


def test_more_findings_than_anybody_reads_are_counted(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallygate.application.verification.FINDINGS_MAX", 3)
    sealed.tampering.delete(*map(event_id, range(1, 9)))

    verification = sealed.verify()

    assert (len(verification.findings), verification.more_findings) == (3, 5)


def test_a_person_who_is_forgotten_leaves_every_seal_whole(sealed: Sealed) -> None:
    store: Any = sealed.store
    before = store.sums()
    surrogate = store.surrogate_of(PERSON)
    assert store.count_lines(surrogate) == 8

    store.forget(surrogate)

    assert store.surrogate_of(PERSON) is None
    assert store.surrogate_of(surrogate) is None
    assert store.surrogate_of(TENANT) is not None
    assert store.sums() == before
    assert sealed.found() == []


def test_sums_are_by_currency_and_count_what_has_no_price(sealed: Sealed) -> None:
    sealed.ledger.append(
        [
            an_entry(9, cost=None),
            Entry(an_event(10), no_charge(currency="EUR")),
        ]
    )

    sums = sealed.store.sums()

    assert list(sums) == ["EUR", "USD"]
    assert (sums["USD"].events, sums["USD"].unpriced) == (9, 1)
    assert str(sums["USD"].cost) == "0.03624"
    assert sums["EUR"].events == 1
    assert sealed.store.sums(after_seq=8)["USD"].events == 1


def test_a_seal_of_before_inputs_were_kept_still_stands(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "NEWEST_SET", 1)
    for name in ("digest_of_row", "locator_of"):
        monkeypatch.setattr(seals, name, partial(getattr(seals, name), column_set=1))
    sealed.book(9)
    seal_events(sealed.store)
    monkeypatch.undo()
    sealed.ledger.append([an_entry(10, decision=a_decision(input_digest="sha256:1"))])
    seal_events(sealed.store)

    newest = seals.NEWEST_SET
    assert [seal.column_set for seal in sealed.store.seals()] == [newest, newest, 1, newest]
    assert sealed.verify().holds

    sealed.tampering.edit(event_id(9), call_bucket=7)
    sealed.tampering.edit(event_id(10), input_digest="sha256:2")

    assert sealed.found() == [
        ("event_edited", 3, 9, event_id(9), "call_bucket"),
        ("event_edited", 4, 10, event_id(10), "input_digest"),
    ]


def test_every_column_of_an_event_lies_under_the_seal(sealed: Sealed) -> None:
    (row,) = sealed.store.sealed_rows(3, 4)

    assert len(row) == len(SEALED_COLUMNS)
    assert dict(zip(SEALED_COLUMNS, row, strict=True))["event_id"] == event_id(4)
    assert all(value is None or type(value) in (int, str) for value in row)


def test_all_ledgers_give_a_line_the_same_bytes(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rows = []
    for kind in ("sqlite", "postgres", "fake"):
        for made in _made(kind, tmp_path, request):
            owner = an_ownership(tenant_id_hash=None, user_id_hash=None, feature="zażółć 🦜")
            made.ledger.append([an_entry(1, ownership=owner)])
            (row,) = made.store.sealed_rows(0, 1)
            named = dict(zip(SEALED_COLUMNS, row, strict=True))
            rows.append({**named, "recorded_at_ns": 0, "booked_period": ""})

    assert rows[0] == rows[1] == rows[2]


def test_the_store_tells_its_own_time(sealed: Sealed) -> None:
    assert sealed.store.now_ns() == NOW_NS or sealed.store.now_ns() > 1_700_000_000_000_000_000
