"""
Calls through the real line into a real ledger: policy, spool and drain, and only a clock is fake.

Shapes  The provider is not called; an attempt is opened and settled as the gate would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fakes.clock import FakeClock
from fakes.entries import an_attempt, an_outcome
from fakes.lines import decided
from tallygate.adapters.engines.loading import load_engine
from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.spool.writer import SegmentSpool
from tallygate.application.facts import CallRequest
from tallygate.application.flow import PolicyInForce, RequestLine
from tallygate.bootstrap.books import DrainPlaces, drain_what_is_there
from tallygate.bootstrap.gate import new_id
from tallygate.domain.attribution.contract import (
    Principal,
    contract_from_data,
    registry_from_data,
)
from tallygate.domain.attribution.ownership import Claims
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.policy.question import CallShape

SHAPE = CallShape("/v1/chat/completions", "acompletion", "gpt-5.4", stream=False)


class GovernedCalls:
    """A gate whose clients are a test."""

    def __init__(self, policies: Path, spool: Path) -> None:
        loaded = load_engine(lambda: read_policies(policies), last_good=None)
        self._clock = FakeClock()
        self._spool = SegmentSpool(spool)
        self._number = 0
        self._line = RequestLine(
            policy=PolicyInForce(
                engine=loaded.engine,
                contract=contract_from_data(loaded.data["contract"]),
                registry=registry_from_data(loaded.data["registry"]),
                is_remembered=True,
            ),
            spool=self._spool,
            clock=self._clock,
            new_id=new_id,
        )

    def call(
        self,
        at_ns: int,
        team: str | None,
        claims: Mapping[str, str],
        *,
        tries: int = 1,
        **ended: Any,
    ) -> None:
        """Make one call at an instant; `tries` attempts if it is admitted, the last one ends so."""
        self._number += 1
        self._clock.at_ns = at_ns
        headers = tuple(
            (f"x-tallygate-{name.replace('_', '-')}".encode(), value.encode())
            for name, value in claims.items()
        )
        admission = decided(
            self._line,
            CallRequest(
                call_id=f"call-{self._number}",
                started_at_ns=at_ns,
                claims=Claims(headers),
                principal=Principal(team=team),
                trace=Trace(f"tr_{self._number}", "received", "1" * 32, "a" * 16),
                shape=SHAPE,
            ),
        )
        for number in range(1, tries + 1 if admission.admitted else 1):
            event = self._line.open(admission, an_attempt(number=number, opened_at_ns=at_ns))
            self._line.settle(event, an_outcome(**(ended if number == tries else {})))

    def close(self) -> None:
        self._line.write_held_refusals(at_end=True)
        self._spool.close()


@contextmanager
def governed_calls(policies: Path, state: Path) -> Iterator[GovernedCalls]:
    """Make calls in the block; after it they are in `state`/ledger.db, priced."""
    calls = GovernedCalls(policies, state / "spool")
    try:
        yield calls
    finally:
        calls.close()
    url = f"sqlite:///{(state / 'ledger.db').absolute()}"
    drain_what_is_there(DrainPlaces(spool=state / "spool", ledger_url=url, policies=policies))
