"""
Exact money: Decimal in the domain, whole numbers of 10**-12 in the store.

Units   An amount is a Decimal in its currency's major unit (1 is one US dollar).
Errors  Nothing here rounds in silence: a result that does not fit raises decimal.Inexact.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, localcontext
from typing import Final

STORE_SCALE: Final = 12
"""Decimal places kept in the store: one price per million, at six places, divides exactly."""

_EXACT: Final = Context(prec=60, traps=[Inexact, InvalidOperation, DivisionByZero])


@contextmanager
def exact_arithmetic() -> Generator[None]:
    """Make Decimal arithmetic raise, rather than round, for the length of the block."""
    with localcontext(_EXACT):
        yield


def e12_from_amount(amount: Decimal) -> int:
    """Whole 10**-12 units; raises decimal.Inexact when the amount has more than 12 places."""
    # The context is called, where entering it for each event would cost more than the work.
    return int(_EXACT.to_integral_exact(_EXACT.scaleb(amount, STORE_SCALE)))


def amount_from_e12(e12: int) -> Decimal:
    """Return the amount without trailing zeros and without an exponent: 4530000000 is 0.00453."""
    with exact_arithmetic():
        amount = Decimal(e12).scaleb(-STORE_SCALE)
        return amount.normalize() if amount else Decimal(0)


def text_from_amount(amount: Decimal) -> str:
    """Plain decimal text, never scientific, for people and for JSON."""
    return format(amount.normalize() if amount else Decimal(0), "f")
