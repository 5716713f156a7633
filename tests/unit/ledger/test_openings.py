"""An opening is known by its id until somebody looks into it."""

from __future__ import annotations

import pytest

from fakes.entries import an_event, event_id, opened, settled
from tallygate.domain.ledger.codec import bytes_from_record
from tallygate.domain.ledger.openings import UnreadOpening
from tallygate.errors import RecordInvalid

PLACE = (1, 16)


def test_an_opening_is_what_was_written() -> None:
    record = opened(an_event(7))

    found = UnreadOpening.found_in(bytes_from_record(record), PLACE)

    assert found is not None
    assert (found.event_id, found.place) == (event_id(7), PLACE)
    assert found == record
    assert found.event == record.event
    assert found != opened(an_event(8))
    assert found != "an opening"
    assert hash(found) == hash(UnreadOpening.found_in(found.content, PLACE))


@pytest.mark.parametrize(
    "content",
    [
        bytes_from_record(settled(an_event(1))),
        b'{"stage":"opened","event":{"kind":"attempt"}}',
        b'{"stage":"opened","event":{"event_id":"not-an-id","kind":"attempt"}}',
        b"",
    ],
)
def test_what_begins_otherwise_is_read_whole(content: bytes) -> None:
    assert UnreadOpening.found_in(content, PLACE) is None


def test_what_is_no_event_says_so_when_it_is_read() -> None:
    whole = bytes_from_record(opened(an_event(1)))
    found = UnreadOpening.found_in(whole.replace(b'"call_id"', b'"call_ib"'), PLACE)

    assert found is not None
    assert found.event_id == event_id(1)
    with pytest.raises(RecordInvalid, match="unknown key 'call_ib'"):
        _ = found.event
