"""What is written of a call when the spool has no room: as the contract says, and said if not."""

from __future__ import annotations

import pytest

from fakes.entries import an_attempt, an_outcome
from fakes.lines import a_line, decided, stages_in
from fakes.spool import FakeSpool, FakeSpoolFolder


def test_a_call_that_was_admitted_is_opened_though_the_room_is_gone_since() -> None:
    spool = FakeSpool(FakeSpoolFolder(limit=1))
    line = a_line(spool=spool, contract={"spool_full": "refuse"})
    admission = decided(line)
    line.open(admission, an_attempt())

    line.open(admission, an_attempt())

    assert not spool.has_room()
    assert stages_in(line) == ["opened", "opened"]
    assert line.uncounted == 0


@pytest.mark.parametrize("has_room_again", [False, True])
def test_what_passed_without_a_record_settles_only_where_there_is_room(
    has_room_again: bool,
) -> None:
    folder = FakeSpoolFolder(limit=0)
    line = a_line(spool=FakeSpool(folder), contract={"spool_full": "pass"})
    event = line.open(decided(line), an_attempt())

    folder.limit = 1 if has_room_again else 0
    line.settle(event, an_outcome())

    assert stages_in(line) == (["settled"] if has_room_again else [])
    assert line.uncounted == (0 if has_room_again else 1)
    assert line.unopened == set()
