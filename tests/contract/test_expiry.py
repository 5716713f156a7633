"""
The very second: what an override or an activation excused is refused at its end, on both engines.

The same call comes a second before and at the end, through the whole line with the policies that
are shipped; the clock is turned by hand, and the answer in between is a remembered one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest

from fakes.clock import FakeClock, FakeIds
from fakes.opa_servers import RunningOpa, write_bundle
from fakes.spool import FakeSpool
from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import verify_compiled
from tallygate.adapters.engines.opa_server import OpaServer
from tallygate.adapters.files.policies import PolicySet, read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.application.facts import CallRequest
from tallygate.application.flow import Admission, PolicyInForce, RequestLine
from tallygate.domain.attribution.contract import (
    Principal,
    contract_from_data,
    registry_from_data,
)
from tallygate.domain.attribution.ownership import Claims
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.kernel.instants import NS_PER_SECOND, ns_from_text, text_from_ns
from tallygate.domain.policy.break_glass import Activation, break_glass_from_data
from tallygate.domain.policy.question import CallShape

TENANT = "hk1_0123456789abcdef0123456789abcdef"
OWNED = {
    "owner-team": "team-support",
    "service": "support-assistant",
    "environment": "prod",
    "feature": "ticket-triage",
    "workflow-id": "refund-triage",
    "tenant-id-hash": TENANT,
}
BEGIN = "2026-11-21T23:10:00Z"
END = "2026-11-22T07:10:00Z"
NIGHT = Activation(
    override_id="bg-support-outage",
    role="incident-commander",
    activated_by="a" * 64,
    reason="the flag service is down",
    ticket="INC-7",
    from_ns=ns_from_text(BEGIN),
    until_ns=ns_from_text(END),
)


@pytest.fixture(scope="module")
def policies() -> PolicySet:
    return read_policies(starter_policies())


@pytest.fixture(scope="module")
def opa(policies: PolicySet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOpa]:
    folder = tmp_path_factory.mktemp("opa")
    with RunningOpa(folder, "-b", str(write_bundle(folder, policies))) as running:
        yield running


ENGINES = {
    "embedded, remembered": ("embedded", True),
    "embedded, asked each time": ("embedded", False),
    "OPA server": ("opa", True),
}


@pytest.fixture(params=ENGINES)
async def line(request: pytest.FixtureRequest, policies: PolicySet) -> AsyncIterator[RequestLine]:
    kind, is_remembered = ENGINES[request.param]
    wasm = verify_compiled(policies.rego, policies.wasm, policies.lock)
    line = RequestLine(
        policy=PolicyInForce(
            EmbeddedEngine(wasm, policies.data, policies.revision),
            contract_from_data(policies.data["contract"]),
            registry_from_data(policies.data["registry"]),
            is_remembered,
            break_glass_from_data(policies.data),
        ),
        spool=FakeSpool(),
        clock=FakeClock(),
        new_id=FakeIds(),
    )
    if kind == "embedded":
        yield line
        return
    server = OpaServer(request.getfixturevalue("opa").url, timeout_s=5)
    line.server = server
    yield line
    await server.close()


async def asked(line: RequestLine, at: str, *, without: str, after_ns: int = 0) -> Admission:
    """Make the one call at an instant, without one of its fields."""
    assert isinstance(line.clock, FakeClock)
    line.clock.at_ns = ns_from_text(at) + after_ns
    headers = tuple(
        (f"x-tallygate-{name}".encode(), value.encode())
        for name, value in OWNED.items()
        if name != without
    )
    return await line.admit(
        CallRequest(
            call_id="call-1",
            started_at_ns=line.clock.at_ns,
            claims=Claims(headers),
            principal=Principal(team="litellm-team-support", key_hash="b" * 64),
            trace=Trace("tr_9f4c", "received", "1" * 32),
            shape=CallShape("/v1/chat/completions", "acompletion", "gpt-5.2", stream=False),
        )
    )


def told_by(admission: Admission) -> tuple[str, list[str], list[str]]:
    decision = admission.decision
    return (
        decision.action,
        [each["override"] for each in decision.waived],
        [f"{each['code']} {each['field']}" for each in decision.violations],
    )


def is_remembering(line: RequestLine) -> bool:
    """Whether the line answers from memory; never for an OPA server."""
    return line.policy.is_remembered and line.server is None


def before(end: str) -> str:
    return text_from_ns(ns_from_text(end) - NS_PER_SECOND)


async def test_an_override_ends_at_its_second(line: RequestLine) -> None:
    end, without = "2027-01-31T00:00:00Z", "tenant-id-hash"
    excused = ("admit", ["ovr-2026-0007"], [])

    first = await asked(line, before(end), without=without)
    again = await asked(line, before(end), without=without, after_ns=NS_PER_SECOND - 1)
    ended = await asked(line, end, without=without)

    assert told_by(first) == told_by(again) == excused
    assert again.decision.status == ("remembered" if is_remembering(line) else "decided")
    assert told_by(ended) == ("reject", [], ["ownership_missing tenant_id_hash"])
    assert ended.decision.status == "decided"
    assert ended.refusal is not None
    assert ended.refusal.http_status == 400


async def test_an_activation_ends_at_its_second(line: RequestLine) -> None:
    line.activations = lambda: [NIGHT]
    without = "workflow-id"
    refused = ("reject", [], ["ownership_missing workflow_id"])
    excused = ("admit", ["bg-support-outage"], [])

    early = await asked(line, before(BEGIN), without=without)
    first = await asked(line, BEGIN, without=without)
    again = await asked(line, before(END), without=without, after_ns=NS_PER_SECOND - 1)
    ended = await asked(line, END, without=without)

    assert told_by(early) == told_by(ended) == refused
    assert told_by(first) == told_by(again) == excused
    assert again.decision.status == ("remembered" if is_remembering(line) else "decided")


async def test_the_policy_itself_ends_it_whatever_the_host_says_of_it(line: RequestLine) -> None:
    """The question stays the same one, so only `valid_until` keeps memory from answering it."""
    question = {
        "call": {
            "route": "/v1/chat/completions",
            "call_type": "acompletion",
            "model_group": "standard",
            "stream": False,
        },
        "ownership": {
            "owner_team": "team-support",
            "service": "support-assistant",
            "environment": "prod",
            "feature": "ticket-triage",
        },
        "sources": {},
        "shapes": {"tenant_id_hash": "ok", "trace_id": "received"},
        "conflicts": [],
        "malformed": [],
        "principal": {"team": "litellm-team-support", "key": ""},
        "bucket": 17,
        "activations": [{"id": "bg-support-outage", "from": BEGIN, "until": END}],
    }

    async def decide(at: str) -> Mapping[str, Any]:
        asking = {**question, "now": at}
        if line.server is None:
            return line.policy.engine.decide(asking)
        return (await line.server.ask(asking, "call-1")).decision

    revision, memory = line.policy.engine.revision, line.memory
    last = await decide(before(END))
    answer: Any = last
    memory.remember(revision, {**question, "now": before(END)}, answer, last["valid_until"])

    assert last["action"] == "admit"
    assert memory.recall(revision, {**question, "now": before(END)}) is answer
    assert memory.recall(revision, {**question, "now": END}) is None
    assert (await decide(END))["action"] == "reject"


async def test_ending_it_early_refuses_the_next_call(line: RequestLine) -> None:
    active = [NIGHT]
    line.activations = lambda: active
    excused = await asked(line, BEGIN, without="workflow-id")

    active.clear()
    after = await asked(line, BEGIN, without="workflow-id")

    assert excused.admitted
    assert not after.admitted


async def test_an_activation_longer_than_its_entry_allows_excuses_nothing(
    line: RequestLine,
) -> None:
    long_ns = NIGHT.until_ns + NS_PER_SECOND
    longer = Activation(
        **{name: getattr(NIGHT, name) for name in NIGHT.__slots__} | {"until_ns": long_ns}
    )
    line.activations = lambda: [longer]

    assert not (await asked(line, BEGIN, without="workflow-id")).admitted
