from __future__ import annotations

from decimal import Decimal, Inexact, InvalidOperation, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallygate.domain.kernel.money import (
    amount_from_e12,
    e12_from_amount,
    exact_arithmetic,
    text_from_amount,
)

stored = st.integers(min_value=-(2**63), max_value=2**63 - 1)


@given(e12=stored)
def test_what_the_store_holds_comes_back_as_it_was(e12: int) -> None:
    assert e12_from_amount(amount_from_e12(e12)) == e12


@given(e12=stored)
def test_an_amount_and_its_text_are_the_same_number(e12: int) -> None:
    amount = amount_from_e12(e12)
    text = text_from_amount(amount)

    assert Decimal(text) == amount
    assert "E" not in text
    assert not text.endswith(".")


@given(e12=stored, precision=st.integers(min_value=1, max_value=12))
def test_the_callers_decimal_context_changes_nothing(e12: int, precision: int) -> None:
    with localcontext() as context:
        context.prec = precision
        amount = amount_from_e12(e12)
        assert e12_from_amount(amount) == e12


@pytest.mark.parametrize(
    ("e12", "text"),
    [
        pytest.param(0, "0", id="nothing"),
        pytest.param(4_530_000_000, "0.00453", id="the worked example"),
        pytest.param(1, "0.000000000001", id="the smallest unit"),
        pytest.param(-750_000, "-0.00000075", id="a correction downwards"),
        pytest.param(10**15, "1000", id="zeros before the point stay"),
        pytest.param(100 * 10**12, "100", id="no exponent for round numbers"),
    ],
)
def test_money_is_written_plainly(e12: int, text: str) -> None:
    assert text_from_amount(amount_from_e12(e12)) == text


@pytest.mark.parametrize(
    ("amount", "e12"),
    [
        pytest.param("0", 0, id="nothing"),
        pytest.param("-0", 0, id="minus nothing"),
        pytest.param("0.000000000000", 0, id="nothing with places"),
        pytest.param("1E-12", 1, id="the smallest unit"),
        pytest.param("1.50", 1_500_000_000_000, id="trailing zeros"),
        pytest.param("9E+6", 9_000_000 * 10**12, id="an exponent"),
    ],
)
def test_amounts_are_scaled_exactly(amount: str, e12: int) -> None:
    assert e12_from_amount(Decimal(amount)) == e12


@pytest.mark.parametrize(
    "amount",
    [
        pytest.param("0.0000000000001", id="thirteen places"),
        pytest.param("1.0000000000005", id="half a unit"),
        pytest.param("1E-40", id="far below the scale"),
    ],
)
def test_what_does_not_fit_the_store_raises_and_is_never_rounded(amount: str) -> None:
    with pytest.raises(Inexact):
        e12_from_amount(Decimal(amount))


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity"])
def test_what_is_no_number_has_no_scale(text: str) -> None:
    with pytest.raises((InvalidOperation, ValueError, OverflowError)):
        e12_from_amount(Decimal(text))


def test_exact_arithmetic_raises_where_decimal_would_round() -> None:
    with exact_arithmetic():
        assert Decimal(1) / Decimal(8) == Decimal("0.125")
        with pytest.raises(Inexact):
            Decimal(1) / Decimal(3)


def test_exact_arithmetic_ends_with_its_block() -> None:
    with exact_arithmetic():
        pass

    assert Decimal(1) / Decimal(3) > 0


@pytest.mark.parametrize("zero", ["0", "-0", "0.00", "0E+7", "-0E-20"])
def test_every_zero_is_written_as_one_digit(zero: str) -> None:
    assert text_from_amount(Decimal(zero)) == "0"
