from __future__ import annotations

from typing import Any

import pytest

from fakes.entries import event_id
from tallygate.adapters.stores.tables import EVENTS
from tallygate.domain.ledger import sealed_rows
from tallygate.domain.ledger.archives import manifest_from_bytes
from tallygate.domain.ledger.findings import FindingCode, findings_in_link, findings_in_rows
from tallygate.domain.ledger.sealed_rows import (
    COLUMN_SETS,
    NEWEST_SET,
    SEALED_COLUMNS,
    bytes_of_row,
    digest_of_row,
    edited_column,
    locator_of,
)
from tallygate.domain.ledger.seals import Seal, index_of, seal_of

NOON_NS = 1_795_262_400_000_000_000


def a_row(seq: int = 1, **values: Any) -> tuple[Any, ...]:
    row: dict[str, Any] = dict.fromkeys(SEALED_COLUMNS) | {
        "seq": seq,
        "event_id": event_id(seq),
        "cost_e12": 4_530_000_000,
        "owner_team": "team-support",
    }
    return tuple((row | values).values())


def a_seal(*rows: tuple[Any, ...], before: Seal | None = None) -> Seal:
    return seal_of(rows or (a_row(1), a_row(2)), before, NOON_NS)


def test_a_new_column_of_events_needs_a_new_column_set() -> None:
    assert set(SEALED_COLUMNS) == {column.name for column in EVENTS.columns}
    assert COLUMN_SETS[NEWEST_SET] == len(SEALED_COLUMNS)


def test_the_bytes_of_a_row_are_what_they_were_when_the_first_ledger_was_sealed() -> None:
    digest = digest_of_row(a_row(1), 1).hex()

    assert bytes_of_row((1, "x", None), 1) == b'[1,1,"x",null]'
    assert digest == "85937d6339a7d4c99f116ea3778678867e07d5c9e6e6047d730225402adcb3a1"


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param((("ab", "c"), ("a", "bc")), id="text that moves over a border"),
        pytest.param(((None, "x"), ("null", "x")), id="null and the word"),
        pytest.param(((0, "x"), (None, "x")), id="null and zero"),
        pytest.param((("1", "x"), (1, "x")), id="a number and its text"),
        pytest.param((("", "x"), (None, "x")), id="null and no text"),
        pytest.param((("\\", '"'), ('\\"', "")), id="what JSON escapes"),
    ],
)
def test_rows_that_differ_have_bytes_that_differ(pair: tuple[Any, Any]) -> None:
    one, other = pair

    assert bytes_of_row(one) != bytes_of_row(other)


@pytest.mark.parametrize("column", SEALED_COLUMNS[1:])
@pytest.mark.parametrize("value", ["another", 77])
def test_one_edited_column_is_told_by_the_locator(column: str, value: object) -> None:
    before = locator_of(a_row(1))

    assert edited_column(before, a_row(1, **{column: value})) == column


def test_two_edited_columns_are_not_told_as_one() -> None:
    before = locator_of(a_row(1))

    assert edited_column(before, a_row(1, route="/a", currency="EUR")) is None
    assert edited_column(before, a_row(1)) is None


def test_an_index_names_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    seal = a_seal(a_row(3), a_row(9, event_id="no uuid"), a_row(12, event_id="AB" * 16))

    assert [(entry.seq, entry.event_id) for entry in index_of(seal)] == [
        (3, event_id(3)),
        (9, ""),
        (12, ""),
    ]
    assert len(seal.index) == 3 * 48


def test_a_deleted_event_without_a_uuid_is_still_found() -> None:
    rows = (a_row(1), a_row(2, event_id="no uuid"))

    (finding,) = findings_in_rows(a_seal(*rows), rows[:1])

    assert (finding.code, finding.seq, finding.event_id) == (FindingCode.EVENT_DELETED, 2, None)


def test_a_column_that_came_after_the_seal_may_hold_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seal = a_seal(a_row(1))
    monkeypatch.setattr(sealed_rows, "SEALED_COLUMNS", (*SEALED_COLUMNS, "colour"))

    assert findings_in_rows(seal, [(*a_row(1), None)]) == []
    (finding,) = findings_in_rows(seal, [(*a_row(1), "red")])
    assert (finding.code, finding.column) == (FindingCode.EVENT_EDITED, "colour")


def test_values_of_a_kind_that_no_ledger_keeps_are_an_edit_and_no_crash() -> None:
    (finding,) = findings_in_rows(a_seal(a_row(1)), [a_row(1, cost_e12=b"\xff")])

    assert (finding.code, finding.column) == (FindingCode.EVENT_EDITED, "cost_e12")


def test_gaps_in_seq_are_no_finding() -> None:
    rows = (a_row(2), a_row(5), a_row(11))

    assert findings_in_rows(a_seal(*rows), rows) == []


def test_an_event_in_a_gap_is_an_added_one() -> None:
    rows = (a_row(2), a_row(5))

    (finding,) = findings_in_rows(a_seal(*rows), [rows[0], a_row(3), rows[1]])

    assert (finding.code, finding.seq) == (FindingCode.EVENT_ADDED, 3)


def test_an_event_that_went_into_a_gap_was_moved_and_not_deleted() -> None:
    rows = (a_row(2), a_row(5))
    moved = (3, *rows[0][1:])

    (finding,) = findings_in_rows(a_seal(*rows), [moved, rows[1]])

    assert (finding.code, finding.seq, finding.event_id) == (
        FindingCode.EVENT_MOVED,
        3,
        event_id(2),
    )
    assert "sealed at 2" in finding.message


@pytest.mark.parametrize(
    "content",
    [b"no json", b"[]", b"{}", b'{"format":"tallygate-archive/2"}', b'{"format":"x","files":7}'],
)
def test_a_manifest_that_is_none_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"manifest|JSON|character|expected"):
        manifest_from_bytes(content)


def test_a_seal_that_follows_is_no_finding() -> None:
    first = a_seal(a_row(1))

    assert findings_in_link(first, None) == []
    assert findings_in_link(a_seal(a_row(2), before=first), first) == []


def test_a_seal_that_follows_another_chain_is_one() -> None:
    second = a_seal(a_row(2), before=a_seal(a_row(1)))

    (finding,) = findings_in_link(second, a_seal(a_row(1, cost_e12=1)))

    assert finding.code is FindingCode.SEAL_EDITED
    assert finding.message == "seal 2 does not continue the seal before it"


def test_seals_that_are_missing_are_named_by_number() -> None:
    first = a_seal(a_row(1))
    third = a_seal(a_row(3), before=a_seal(a_row(2), before=first))

    assert [finding.message for finding in findings_in_link(third, None)] == [
        "seals 1 to 2 are missing; the events that they covered are not proven"
    ]
    (finding,) = findings_in_link(third, first)
    assert finding.message.startswith("seal 2 is missing")
