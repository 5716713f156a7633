"""A request line over fakes, and the request that it is asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fakes.clock import FakeClock, FakeIds
from fakes.contracts import a_contract, a_registry, hashed
from fakes.engines import ADMIT, FakeEngine
from fakes.entries import NOON_NS
from fakes.spool import FakeSpool
from tallygate.application.facts import CallRequest
from tallygate.application.flow import Admission, PolicyInForce, RequestLine
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.attribution.ownership import Claims
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.ledger.events import Event, SpoolRecord, Stage
from tallygate.domain.policy.question import CallShape
from tallygate.errors import SpoolUnusable

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]

REJECT: Final = {
    **ADMIT,
    "action": "reject",
    "would_action": "reject",
    "violations": [{"code": "ownership_missing", "field": "feature"}],
}
HEADERS: Final = (
    (b"x-tallygate-owner-team", b"team-support"),
    (b"x-tallygate-service", b"support-assistant"),
    (b"x-tallygate-environment", b"prod"),
    (b"x-tallygate-region", b"eu-west"),
    (b"x-tallygate-tenant-id", b"acme"),
    (b"x-tallygate-parent-call-id", b"0123456789abcdef"),
    (b"x-tallygate-span-id", b"fedcba9876543210"),
)


class BrokenSpool(FakeSpool):
    """Has room, and takes nothing, as a disk that has just died."""

    def append(self, record: SpoolRecord, *, owed: bool | None = None) -> None:
        raise SpoolUnusable("the spool folder takes no record")


def a_line(
    answer: Answer = lambda _: ADMIT,
    *,
    spool: FakeSpool | None = None,
    contract: dict[str, Any] | None = None,
    is_remembered: bool = False,
) -> RequestLine:
    policy = PolicyInForce(
        FakeEngine(answer), a_contract(**contract or {}), a_registry(), is_remembered
    )
    return RequestLine(
        policy=policy,
        spool=spool or FakeSpool(),
        clock=FakeClock(),
        new_id=FakeIds(),
        hasher=hashed,
    )


def a_request(**changes: Any) -> CallRequest:
    facts: dict[str, Any] = {
        "call_id": "call-1",
        "started_at_ns": NOON_NS,
        "claims": Claims(HEADERS),
        "principal": Principal(team="llm-support", key_hash="key-1", org="org-1"),
        "trace": Trace("tr_9f4c", "received", "1" * 32, "a" * 16),
        "shape": CallShape("/v1/chat/completions", "acompletion", "gpt-5.4", stream=False),
        "client_retry_count": 2,
    }
    return CallRequest(**facts | changes)


def decided(line: RequestLine, request: CallRequest | None = None) -> Admission:
    """Have the line decide, here and now: the embedded engine makes nobody wait for a loop."""
    deciding = line.admit(request or a_request())
    try:
        deciding.send(None)
    except StopIteration as done:
        admission: Admission = done.value
        return admission
    finally:
        deciding.close()
    raise AssertionError("the line has waited for something")


def engine_of(line: RequestLine) -> FakeEngine:
    assert isinstance(line.policy.engine, FakeEngine)
    return line.policy.engine


def clock_of(line: RequestLine) -> FakeClock:
    assert isinstance(line.clock, FakeClock)
    return line.clock


def events_in(line: RequestLine) -> list[Event]:
    assert isinstance(line.spool, FakeSpool)
    return [record.event for record in line.spool.records]


def stages_in(line: RequestLine) -> list[Stage]:
    assert isinstance(line.spool, FakeSpool)
    return [record.stage for record in line.spool.records]
