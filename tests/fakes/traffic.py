"""Calls through the real gate's line, spool and drain into a real ledger; no provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fakes.clock import FakeClock, FakeIds
from fakes.entries import SECOND_NS, an_attempt, an_outcome
from fakes.lines import decided
from tallygate.adapters.engines.loading import load_engine
from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.spool.writer import SegmentSpool
from tallygate.application.facts import CallRequest
from tallygate.application.flow import PolicyInForce, RequestLine
from tallygate.bootstrap.books import DrainPlaces, drain_what_is_there
from tallygate.domain.attribution.contract import (
    Principal,
    contract_from_data,
    registry_from_data,
)
from tallygate.domain.attribution.ownership import Claims
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.policy.question import CallShape
from tallygate.errors import TallygateError

PROVIDER_OF_NO_BOOK = "a-provider-without-a-price-list"


@dataclass
class Traffic:
    """A gate in front of nobody: each call that it admits is answered at once."""

    line: RequestLine
    clock: FakeClock
    calls: int = field(default=0, init=False)

    def call(
        self,
        claims: Mapping[str, str],
        team: str,
        *,
        model: str = "gpt-5.4-mini",
        route: str = "/v1/chat/completions",
        provider: str = "openai",
    ) -> str:
        """Make one call of a LiteLLM team, with an attempt when it is admitted; returns its id."""
        self.calls += 1
        self.clock.at_ns += SECOND_NS
        call_id = f"call-{self.calls}"
        headers = [
            (f"x-tallygate-{name.replace('_', '-')}".encode(), value.encode())
            for name, value in claims.items()
        ]
        admission = decided(
            self.line,
            CallRequest(
                call_id=call_id,
                started_at_ns=self.clock.at_ns,
                claims=Claims(headers),
                principal=Principal(team=team),
                trace=Trace(f"tr_{self.calls}", "received", "a" * 16),
                shape=CallShape(
                    route, "acompletion", model, stream=False, is_known=route != "unknown"
                ),
            ),
        )
        if admission.admitted:
            event = self.line.open(
                admission,
                an_attempt(opened_at_ns=self.clock.at_ns, request_model=model, provider=provider),
            )
            ended = an_outcome(settled_at_ns=self.clock.at_ns + 1, response_model=model)
            self.line.settle(event, ended)
        return call_id


@contextmanager
def traffic_into(ledger_url: str, policies: Path, spool: Path, begin_ns: int) -> Iterator[Traffic]:
    """Open the gate with these policies; on leaving, everything is drained into the ledger."""
    loaded = load_engine(lambda: read_policies(policies), last_good=None)
    clock = FakeClock(begin_ns)
    segments = SegmentSpool(spool)
    policy = PolicyInForce(
        engine=loaded.engine,
        contract=contract_from_data(loaded.data["contract"]),
        registry=registry_from_data(loaded.data["registry"]),
        is_remembered=True,
    )
    line = RequestLine(policy=policy, spool=segments, clock=clock, new_id=FakeIds())
    try:
        yield Traffic(line, clock)
        line.write_held_refusals(at_end=True)
    finally:
        segments.close()
    report = drain_what_is_there(DrainPlaces(spool=spool, ledger_url=ledger_url, policies=policies))
    if report.conflicts:
        raise TallygateError(f"the ledger has conflicts: {report.conflicts}")
