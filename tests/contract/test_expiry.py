"""
The very second: what an override or an activation excused is refused at its end, on both engines.

The same call comes a second before and at the end, through the whole line with the policies that
are shipped; the clock is turned by hand, and the answer in between is a remembered one.
"""

from __future__ import annotations

import inspect
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from e2e.proxy_process import ChildProcess, free_port
from fakes.clock import FakeClock, FakeIds
from fakes.policy_folders import real_opa
from fakes.spool import FakeSpool
from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import verify_compiled
from tallygate.adapters.files.policies import PolicySet, read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.application.facts import CallRequest
from tallygate.application.flow import Admission, PolicyInForce, RequestLine
from tallygate.application.ports import PolicyEngine
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


class OpaServer:
    """The real `opa run -s`, asked over HTTP; answers as the port PolicyEngine does."""

    def __init__(self, url: str, revision: str) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=10)
        self.revision = revision

    def decide(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        path = "/v1/data/tallygate/admission/decision?strict-builtin-errors=true"
        answer = self._client.post(path, json={"input": question}).raise_for_status().json()
        decision: Mapping[str, Any] = answer["result"]
        return decision

    def close(self) -> None:
        self._client.close()


@pytest.fixture(scope="module")
def policies() -> PolicySet:
    return read_policies(starter_policies())


@pytest.fixture(scope="module")
def opa_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    opa, folder, port = real_opa(), tmp_path_factory.mktemp("opa"), free_port()
    bundle = str(folder / "bundle.tar.gz")
    build = [str(opa.path), "build", "-b", str(starter_policies()), "-o", bundle]
    build += ["--ignore", "policy.wasm", "--ignore", "*_test.rego"]
    subprocess.run(build, check=True, capture_output=True, timeout=60)
    serve = [str(opa.path), "run", "-s", "-b", bundle, "--addr", f"127.0.0.1:{port}"]
    server = ChildProcess(serve, folder / "opa.log", {})
    server.spawn()
    url = f"http://127.0.0.1:{port}"
    server.wait_until(lambda: _answers(f"{url}/health?bundles"), 30)
    yield url
    server.stop()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=1).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


ENGINES = {
    "embedded, remembered": ("embedded", True),
    "embedded, asked each time": ("embedded", False),
    "OPA server, asked each time": ("opa", False),
    "OPA server, remembered": ("opa", True),
}


@pytest.fixture(params=ENGINES)
def line(request: pytest.FixtureRequest, policies: PolicySet) -> Iterator[RequestLine]:
    kind, is_remembered = ENGINES[request.param]
    with ExitStack() as stack:
        engine: PolicyEngine
        if kind == "opa":
            engine = OpaServer(request.getfixturevalue("opa_url"), policies.revision)
            stack.callback(engine.close)
        else:
            wasm = verify_compiled(policies.rego, policies.wasm, policies.lock)
            engine = EmbeddedEngine(wasm, policies.data, policies.revision)
        yield RequestLine(
            policy=PolicyInForce(
                engine,
                contract_from_data(policies.data["contract"]),
                registry_from_data(policies.data["registry"]),
                is_remembered,
                break_glass_from_data(policies.data),
            ),
            spool=FakeSpool(),
            clock=FakeClock(),
            new_id=FakeIds(),
        )


async def asked(line: RequestLine, at: str, *, without: str, after_ns: int = 0) -> Admission:
    """Make the one call at an instant, without one of its fields."""
    assert isinstance(line.clock, FakeClock)
    line.clock.at_ns = ns_from_text(at) + after_ns
    headers = tuple(
        (f"x-tallygate-{name}".encode(), value.encode())
        for name, value in OWNED.items()
        if name != without
    )
    answer: Any = line.admit(
        CallRequest(
            call_id="call-1",
            started_at_ns=line.clock.at_ns,
            claims=Claims(headers),
            principal=Principal(team="litellm-team-support", key_hash="b" * 64),
            trace=Trace("tr_9f4c", "received", "1" * 32),
            shape=CallShape("/v1/chat/completions", "acompletion", "gpt-5.2", stream=False),
        )
    )
    admission: Admission = await answer if inspect.isawaitable(answer) else answer
    return admission


def told_by(admission: Admission) -> tuple[str, list[str], list[str]]:
    decision = admission.decision
    return (
        decision.action,
        [each["override"] for each in decision.waived],
        [f"{each['code']} {each['field']}" for each in decision.violations],
    )


def is_remembering(line: RequestLine) -> bool:
    return line.policy.is_remembered


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
    engine, memory = line.policy.engine, line.memory
    last = engine.decide({**question, "now": before(END)})
    answer: Any = last
    memory.remember(engine.revision, {**question, "now": before(END)}, answer, last["valid_until"])

    assert last["action"] == "admit"
    assert memory.recall(engine.revision, {**question, "now": before(END)}) is answer
    assert memory.recall(engine.revision, {**question, "now": END}) is None
    assert engine.decide({**question, "now": END})["action"] == "reject"


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
