"""A file of recorded calls: whole or refused, with the line that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from fakes.entries import NOON_NS, SECOND_NS
from tallygate.adapters.files.recorded_export import Exported, write_recorded_inputs
from tallygate.adapters.files.recorded_inputs import RecordedInputsFile
from tallygate.application.ports import Total
from tallygate.application.recording import BucketCalls, RecordedGroup
from tallygate.domain.policy.recorded_input import digest_of_input
from tallygate.errors import LedgerUnavailable, RecordedInputsInvalid, SettingsInvalid

HOUR_NS = 3600 * SECOND_NS
SINCE_NS, UNTIL_NS = NOON_NS, NOON_NS + 6 * HOUR_NS
CHAT = {"claims": {"service": "support-assistant"}}


def a_group(hour: int = 0, **changes: Any) -> RecordedGroup:
    facts: dict[str, Any] = {
        "input_digest": digest_of_input(CHAT),
        "service": "support-assistant",
        "owner_team": None,
        "environment": "prod",
        "action": "admit",
        "would_action": "reject",
        "mode": "report_only",
        "first_at_ns": NOON_NS + hour * HOUR_NS,
        "last_at_ns": NOON_NS + hour * HOUR_NS + 5,
        "samples": ((f"dec-{hour}", 7),),
        "buckets": (
            BucketCalls(7, 2, Decimal("0.000000000001"), 0),
            BucketCalls(80, 1, Decimal(-3), 1),
        ),
    }
    return RecordedGroup(**facts | changes)


def export(path: Path, *groups: RecordedGroup) -> Exported:
    def inputs(_: object) -> Iterator[tuple[str, Any]]:
        yield digest_of_input(CHAT), CHAT

    total = Total(Decimal("1.5"), events=9, unpriced=1)
    return write_recorded_inputs(path, SINCE_NS, UNTIL_NS, total, groups, inputs)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file of two groups and one input, not compressed."""
    path = tmp_path / "inputs.jsonl"
    export(path, a_group(), a_group(2))
    return path


def lines_in(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def put(path: Path, lines: list[Any]) -> None:
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


# Writing


def test_the_header_says_of_which_time_it_is_and_what_the_ledger_counts(path: Path) -> None:
    header, *_, end = lines_in(path)

    assert header == {
        "format": "tallygate-recorded-inputs/1",
        "since_ns": SINCE_NS,
        "until_ns": UNTIL_NS,
        "grain_ns": HOUR_NS,
        "events": 9,
        "cost": "1.5",
        "unpriced": 1,
    }
    assert end == {"end": {"groups": 2, "inputs": 1, "calls": 6}}


def test_money_is_text(path: Path) -> None:
    group = lines_in(path)[1]["group"]

    assert group["buckets"] == [[7, 2, "0.000000000001", 0], [80, 1, "-3", 1]]
    assert group["samples"] == [["dec-0", 7]]


def test_a_name_that_ends_in_zst_is_compressed_and_read_all_the_same(tmp_path: Path) -> None:
    packed = tmp_path / "inputs.jsonl.zst"
    exported = export(packed, *(a_group(hour) for hour in range(6)))

    assert packed.read_bytes().startswith(b"\x28\xb5\x2f\xfd")
    assert exported.bytes == packed.stat().st_size
    assert RecordedInputsFile(packed).until_ns == UNTIL_NS


def test_calls_whose_input_is_not_at_hand_are_counted(tmp_path: Path) -> None:
    groups = (a_group(), a_group(input_digest=None), a_group(input_digest="sha256:unsettled"))

    exported = export(tmp_path / "inputs.jsonl", *groups)

    assert (exported.calls, exported.inputs, exported.without_input) == (9, 1, 6)


@pytest.mark.parametrize("name", ["inputs.jsonl", "inputs.jsonl.zst"])
def test_a_ledger_that_goes_away_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"before")

    def breaking() -> Iterator[RecordedGroup]:
        yield a_group()
        raise LedgerUnavailable("gone")

    with pytest.raises(LedgerUnavailable):
        write_recorded_inputs(
            path, SINCE_NS, UNTIL_NS, Total(Decimal(0), 0, 0), breaking(), lambda _: iter(())
        )

    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == b"before"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"nowhere/inputs\.jsonl cannot be written"):
        export(tmp_path / "nowhere" / "inputs.jsonl", a_group())


# Reading


def test_a_part_of_the_time_takes_the_hours_that_begin_in_it(path: Path) -> None:
    lines = RecordedInputsFile(path)
    two_ns = NOON_NS + 2 * HOUR_NS

    late = list(lines.recorded_calls(two_ns, None, by_call_bucket=False))
    early = list(lines.recorded_calls(None, two_ns, by_call_bucket=False))

    assert [(calls.first_at_ns, calls.calls) for calls in late] == [(two_ns, 3)]
    assert [(calls.first_at_ns, calls.calls) for calls in early] == [(NOON_NS, 3)]


def test_hours_between_the_same_cuts_are_one_line(path: Path) -> None:
    lines = RecordedInputsFile(path)

    (whole,) = lines.recorded_calls(SINCE_NS, UNTIL_NS, by_call_bucket=False)
    parted = lines.recorded_calls(
        SINCE_NS, UNTIL_NS, by_call_bucket=True, cuts_ns=[NOON_NS + HOUR_NS]
    )

    assert (whole.calls, whole.cost, whole.unpriced) == (6, Decimal("-5.999999999998"), 2)
    assert (whole.first_at_ns, whole.last_at_ns) == (NOON_NS, NOON_NS + 2 * HOUR_NS + 5)
    assert whole.samples == ("dec-0", "dec-2")
    assert [(each.span, each.call_bucket, each.calls, each.samples) for each in parted] == [
        (0, 7, 2, ("dec-0",)),
        (0, 80, 1, ()),
        (1, 7, 2, ("dec-2",)),
        (1, 80, 1, ()),
    ]


def test_a_decision_that_is_a_sample_is_found(path: Path) -> None:
    found = RecordedInputsFile(path).decision_line("dec-2")

    assert found is not None
    assert (found.recorded, found.call_bucket) == (CHAT, 7)
    assert found.decided_at_ns == NOON_NS + 2 * HOUR_NS
    assert found.event["would_action"] == "reject"


Mend = Callable[[list[Any]], object]


def changed(at: int, **values: Any) -> Mend:
    def change(lines: list[Any]) -> None:
        lines[at]["group"] |= values

    return change


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda lines: lines.pop(), ":5: the end is missing", id="cut short"),
        pytest.param(lambda lines: lines.clear(), ":1: the end is missing", id="empty"),
        pytest.param(lambda lines: lines.pop(1), ":4: the end counts", id="a line went missing"),
        pytest.param(
            lambda lines: lines.append({"end": {}}), ":6: nothing stands after", id="two ends"
        ),
        pytest.param(lambda lines: lines.pop(0), ":1: expected a header", id="no header"),
        pytest.param(
            lambda lines: lines[0].update(format="tallygate-recorded-inputs/9"),
            ":1: expected a header with format tallygate-recorded-inputs/1",
            id="another format",
        ),
        pytest.param(
            lambda lines: lines[0].update(grain_ns="1h"),
            ":1: grain_ns is a whole number",
            id="a header of wrong types",
        ),
        pytest.param(
            lambda lines: lines.__setitem__(1, [1]), ":2: expected a JSON object", id="no object"
        ),
        pytest.param(
            lambda lines: lines.__setitem__(1, {"gruop": {}}),
            ":2: expected a group, a digest with its input, or the end",
            id="something else",
        ),
        pytest.param(
            lambda lines: lines.__setitem__(1, {"group": {}}),
            ":2: a group has exactly input_digest, service",
            id="a group without its names",
        ),
        pytest.param(changed(2, mode=None), ":3: mode is text", id="a name of a wrong type"),
        pytest.param(changed(2, samples=[["dec-1"]]), ":3: samples are pairs", id="samples"),
        pytest.param(changed(2, samples=[["dec-1", 100]]), ":3: samples are", id="a bucket of 100"),
        pytest.param(changed(1, buckets=[[7, 1, 0.5, 0]]), ":2: buckets are", id="money as number"),
        pytest.param(changed(1, buckets=[[7, 1, "1e9", 0]]), ":2: buckets are", id="money as 1e9"),
        pytest.param(
            changed(1, buckets=[[7, -1, "1", 0]]), ":2: buckets are", id="fewer than none"
        ),
        pytest.param(changed(1, buckets=[[7, True, "1", 0]]), ":2: buckets are", id="yes calls"),
        pytest.param(changed(1, buckets={}), ":2: buckets are", id="no list of buckets"),
        pytest.param(
            lambda lines: lines[3].update(digest=7), ":4: expected a digest as text", id="digest"
        ),
        pytest.param(
            lambda lines: lines[3].update(input={"claims": {}}),
            ":4: the input is not the one that sha256:",
            id="an input under anothers digest",
        ),
        pytest.param(
            lambda lines: lines[4].update(end={"groups": 2}),
            ":5: expected exactly groups, inputs, calls",
            id="an end that counts less",
        ),
    ],
)
def test_a_bad_line_is_named_by_its_number(path: Path, spoil: Mend, said: str) -> None:
    lines = lines_in(path)
    spoil(lines)
    put(path, lines)

    with pytest.raises(RecordedInputsInvalid) as raised:
        RecordedInputsFile(path)

    assert f"{path}{said}" in str(raised.value)


def test_a_line_that_is_no_json_is_named(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'{"digest"', b'{"digest', 1))

    with pytest.raises(RecordedInputsInvalid, match=r"inputs\.jsonl:4: expected a JSON object: "):
        RecordedInputsFile(path)


def test_a_packed_file_that_was_cut_or_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "inputs.jsonl.zst"
    export(path, a_group())
    whole = path.read_bytes()

    path.write_bytes(whole[:-20])
    with pytest.raises(RecordedInputsInvalid):
        RecordedInputsFile(path)

    path.write_bytes(whole[:30] + b"\xff" * 8 + whole[38:])
    with pytest.raises(RecordedInputsInvalid, match="cannot be unpacked"):
        RecordedInputsFile(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordedInputsInvalid, match=r"none\.zst: cannot be read: No such file"):
        RecordedInputsFile(tmp_path / "none.zst")


def test_what_others_packed_is_read_whatever_its_name(path: Path) -> None:
    path.write_bytes(zstandard.compress(path.read_bytes()))

    assert RecordedInputsFile(path).since_ns == SINCE_NS


def test_a_group_in_another_order_of_buckets_is_the_same(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    group = a_group()
    export(other, a_group(2), replace(group, buckets=group.buckets[::-1]))

    def read(place: Path) -> list[Any]:
        lines = RecordedInputsFile(place)
        return list(lines.recorded_calls(None, None, by_call_bucket=True))

    assert read(other) == read(path)
