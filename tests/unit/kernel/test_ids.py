from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallygate.domain.kernel.ids import ns_of_uuid7, uuid7, uuid7_named

instants = st.integers(min_value=0, max_value=(1 << 48) * 1_000_000 - 1)
entropies = st.binary(min_size=8, max_size=8)


@given(at_ns=instants, entropy=entropies)
def test_an_id_is_a_version_seven_uuid_that_carries_its_millisecond(
    at_ns: int, entropy: bytes
) -> None:
    text = uuid7(at_ns, entropy)
    parsed = uuid.UUID(text)

    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert ns_of_uuid7(text) == at_ns - at_ns % 1_000_000


@given(one=instants, other=instants, first=entropies, second=entropies)
def test_ids_sort_by_time_whatever_their_randomness(
    one: int, other: int, first: bytes, second: bytes
) -> None:
    earlier, later = sorted((one, other))
    if later - earlier >= 245:  # 12 bits of a millisecond: 244.14 ns
        assert uuid7(earlier, first) < uuid7(later, second)


@given(at_ns=instants, one=entropies, other=entropies)
def test_ids_of_one_instant_differ_by_their_randomness(
    at_ns: int, one: bytes, other: bytes
) -> None:
    low_62_bits = (1 << 62) - 1
    same = (int.from_bytes(one) ^ int.from_bytes(other)) & low_62_bits == 0

    assert (uuid7(at_ns, one) == uuid7(at_ns, other)) == same


@pytest.mark.parametrize("entropy", [b"", b"1234567", b"123456789"])
def test_eight_random_bytes_are_asked_for(entropy: bytes) -> None:
    with pytest.raises(AssertionError):
        uuid7(0, entropy)


@given(at_ns=instants, one=st.text(), other=st.text())
def test_a_name_has_one_id_at_an_instant(at_ns: int, one: str, other: str) -> None:
    assert (uuid7_named(at_ns, one) == uuid7_named(at_ns, other)) == (one == other)
    assert ns_of_uuid7(uuid7_named(at_ns, one)) == at_ns - at_ns % 1_000_000


def test_the_id_of_a_name_stays_what_ledgers_hold() -> None:
    assert (
        uuid7_named(1_750_000_000_123_456_789, "batch_1\ngpt-5.4\n0")
        == "01977420-dc7b-774f-866b-5683da3f5e0f"
    )
