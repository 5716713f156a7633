from __future__ import annotations

import click
import pytest

from tallygate.cli.times import instant_before
from tallygate.domain.kernel.instants import ns_from_text

NOON_NS = ns_from_text("2026-11-21T12:00:00Z")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24h", "2026-11-20T12:00:00Z"),
        ("2026-11-21", "2026-11-21T00:00:00Z"),
        ("2026-11-21T10:00:00+01:00", "2026-11-21T09:00:00Z"),
        ("2261-12-31", "2261-12-31T00:00:00Z"),
    ],
)
def test_a_time_is_read_as_people_write_it(text: str, expected: str) -> None:
    assert instant_before(text, NOON_NS) == ns_from_text(expected)


@pytest.mark.parametrize("text", ["1969-12-31", "2999-01-01", "999999w"])
def test_what_no_ledger_can_hold_is_refused_before_it_is_asked(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not between 1970 and 2261"):
        instant_before(text, NOON_NS)


def test_what_is_no_time_is_told_how_times_are_written() -> None:
    with pytest.raises(click.BadParameter, match=r"is no time; write 24h, 7d"):
        instant_before("yesterday", NOON_NS)
