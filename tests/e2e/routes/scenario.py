"""
A scenario of the suite: what it asks for, and what both books must say of it.

Shapes  `attempts` are provider calls, one each: as many in the stand-in's book as in the ledger.
        `beside` are ledger rows that no provider call stands behind. `usage` are usage events.
Units   `cost` is dollars, worked out by hand from policies/rates; what is unpriced adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from e2e.routes.caller import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One provider call, as the ledger has it and as the provider has it."""

    operation: str = "chat"
    asked: str = "chat"
    """The stand-in's word for the operation."""
    status: str = "ok"
    usage: str = "reported"
    """Compared where it matters: of what is not billed, it does not."""
    price: str = "priced"

    @property
    def line(self) -> tuple[str, str, str, str]:
        return line_of(self.operation, self.status, self.usage, self.price)


def line_of(operation: str, status: str, usage: str, price: str) -> tuple[str, str, str, str]:
    """Say in short how an attempt ended, so that two can be compared."""
    return operation, status, usage if price != "not_billed" else "", price


CHAT = Attempt()
REFUSED_BY_PROVIDER = Attempt(status="error", price="not_billed")
"""An error that the provider answered costs nothing."""


def free(operation: str, asked: str) -> Attempt:
    """Describe a call for which no provider charges."""
    return Attempt(operation=operation, asked=asked, price="not_billed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One line of a table."""

    name: str
    act: Callable[[Caller], object]
    attempts: tuple[Attempt, ...] = (CHAT,)
    cost: str | None = "0"
    """None where it rests on an estimate, which depends on LiteLLM's tokeniser."""
    usage: tuple[tuple[str, int, int], ...] = ()
    """Usage events: operation, input and output tokens."""
    beside: tuple[tuple[str, str], ...] = ()
    """Rows for which no provider was called: kind and status."""
    raises: type[Exception] | None = None
    """What the client gets in place of an answer."""
    owner: str | None = "team-support"
    usage_owner: str = ""
    """Who pays for the usage events, where that is somebody else."""
    is_usage_lost: bool = False
    """True where LiteLLM itself breaks the answer, so that nobody behind it can count."""
    action: str = "admit"
    traceparent: str = ""
    """`minted`: the gate's own, one per attempt. `forwarded`: the caller's. Empty: not sent."""
    answers: bool = True
    """False where the client gets no response whose headers could be looked at."""
    check: Callable[[list[dict[str, Any]], list[dict[str, Any]]], object] | None = None
    """What else holds of the ledger's rows and of the provider's calls; asserts."""
