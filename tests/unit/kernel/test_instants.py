from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallygate.domain.kernel.instants import (
    NS_PER_SECOND,
    iso_from_ns,
    ns_from_text,
    period_of,
    text_from_ns,
)

LAST_NS = ns_from_text("9999-12-31T23:59:59Z") + NS_PER_SECOND - 1
FIRST_NS = ns_from_text("1970-01-01T00:00:00Z")
instants = st.integers(min_value=FIRST_NS, max_value=LAST_NS)


@given(at_ns=instants)
def test_an_instant_comes_back_from_its_text_to_the_second(at_ns: int) -> None:
    assert ns_from_text(text_from_ns(at_ns)) == at_ns - at_ns % NS_PER_SECOND


@given(one=instants, other=instants)
def test_text_order_is_time_order(one: int, other: int) -> None:
    earlier, later = sorted((one, other))

    assert text_from_ns(earlier) <= text_from_ns(later)
    assert iso_from_ns(earlier) <= iso_from_ns(later)


@given(at_ns=instants)
def test_all_forms_of_an_instant_agree(at_ns: int) -> None:
    assert iso_from_ns(at_ns).startswith(text_from_ns(at_ns).removesuffix("Z") + ".")
    assert text_from_ns(at_ns).startswith(period_of(at_ns) + "-")


@pytest.mark.parametrize(
    ("at_ns", "text", "iso"),
    [
        pytest.param(0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z", id="the epoch"),
        pytest.param(
            1_795_255_200_000_123_456,
            "2026-11-21T10:00:00Z",
            "2026-11-21T10:00:00.000123Z",
            id="below a microsecond is cut off",
        ),
        pytest.param(
            1_795_255_200_999_999_999,
            "2026-11-21T10:00:00Z",
            "2026-11-21T10:00:00.999999Z",
            id="the end of a second is not the next one",
        ),
        pytest.param(-1, "1969-12-31T23:59:59Z", "1969-12-31T23:59:59.999999Z", id="before epoch"),
    ],
)
def test_instants_are_written_in_utc_and_cut_not_rounded(at_ns: int, text: str, iso: str) -> None:
    assert text_from_ns(at_ns) == text
    assert iso_from_ns(at_ns) == iso


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("2026-11-21", id="a date"),
        pytest.param("2026-11-21T10:00:00", id="no zone"),
        pytest.param("2026-11-21T10:00:00+00:00", id="an offset"),
        pytest.param("2026-11-21t10:00:00z", id="lower case"),
        pytest.param("2026-11-21T10:00:0\u0665Z", id="a digit of another script"),
        pytest.param("0026-11-21T10:00:00Z", id="a year that would be written shorter"),
        pytest.param("2026-11-21 10:00:00Z", id="a blank"),
        pytest.param("2026-02-30T10:00:00Z", id="no such day"),
        pytest.param("2026-11-21T24:00:00Z", id="no such hour"),
        pytest.param("2026-11-21T10:00:60Z", id="a leap second"),
        pytest.param("2026-11-21T10:00:0Z ", id="padded to the right length"),
        pytest.param("2026-11-1T10:00:00ZZ", id="a short day"),
        pytest.param("26-11-21T10:00:00.0Z", id="a short year"),
    ],
)
def test_any_other_form_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"form|second|day|convert"):
        ns_from_text(text)


@given(text=st.text(alphabet="0123456789TZ:- +.", min_size=20, max_size=20))
def test_what_is_read_is_what_would_be_written(text: str) -> None:
    try:
        at_ns = ns_from_text(text)
    except ValueError:
        return

    assert text_from_ns(at_ns) == text


@pytest.mark.parametrize(
    ("text", "period"),
    [
        pytest.param("2026-10-31T23:59:59Z", "2026-10", id="last second of a month"),
        pytest.param("2026-11-01T00:00:00Z", "2026-11", id="first second of the next"),
        pytest.param("2027-01-01T00:00:00Z", "2027-01", id="a new year"),
    ],
)
def test_a_period_is_the_calendar_month_in_utc(text: str, period: str) -> None:
    assert period_of(ns_from_text(text)) == period
