"""The request that makes the gate ask a given question, and the gate that it is put to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fakes.clock import FakeClock, FakeIds
from fakes.contracts import hashed
from fakes.spool import FakeSpool
from tallygate.adapters.files.policies import PolicySet
from tallygate.application.facts import CallRequest
from tallygate.application.flow import PolicyInForce, RequestLine
from tallygate.application.ports import PolicyEngine
from tallygate.domain.attribution.contract import (
    Contract,
    Principal,
    contract_from_data,
    registry_from_data,
)
from tallygate.domain.attribution.ownership import Claims
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.kernel.instants import ns_from_text
from tallygate.domain.policy.break_glass import Activation, break_glass_from_data
from tallygate.domain.policy.pattern_samples import sample_of
from tallygate.domain.policy.question import CallShape


def line_over(
    policies: PolicySet, engine: PolicyEngine, question: Mapping[str, Any]
) -> RequestLine:
    """Build the gate's half over real policies, at the question's own instant."""
    return RequestLine(
        policy=PolicyInForce(
            engine,
            contract_from_data(policies.data["contract"]),
            registry_from_data(policies.data["registry"]),
            is_remembered=False,
            break_glass=break_glass_from_data(policies.data),
        ),
        spool=FakeSpool(),
        clock=FakeClock(ns_from_text(question["now"])),
        new_id=FakeIds(),
        hasher=hashed,
        activations=lambda: activations_of(question),
    )


def activations_of(question: Mapping[str, Any]) -> list[Activation]:
    """Return what somebody must have activated for the gate to ask this."""
    return [
        Activation(
            override_id=told["id"],
            role="incident-commander",
            activated_by="a" * 64,
            reason="needed by the tests",
            ticket="T-1",
            from_ns=ns_from_text(told["from"]),
            until_ns=ns_from_text(told["until"]),
        )
        for told in question.get("activations", ())
    ]


def request_of(
    question: Mapping[str, Any], line: RequestLine, sent: Mapping[str, str] | None = None
) -> CallRequest:
    """Say over HTTP what the question says, and `sent` in place of whatever it said of those."""
    contract, registry = line.policy.contract, line.policy.registry
    headers: list[tuple[str, str]] = []
    for name, spec in contract.fields.items():
        values = _said_of(name, question, contract)
        if sent and name in sent:
            values = [sent[name]]
        headers.extend((spec.header, value) for value in values)
    groups = {group: model for model, group in registry.model_groups.items()}
    principal = question["principal"]
    call = question["call"]
    return CallRequest(
        call_id="call-1",
        started_at_ns=ns_from_text(question["now"]),
        claims=Claims(tuple((name.encode(), value.encode()) for name, value in headers)),
        principal=Principal(team=principal["team"] or None, key_hash=principal["key"] or None),
        trace=Trace("tr_9f4c", question["shapes"]["trace_id"], "1" * 32),
        shape=CallShape(
            call["route"],
            call["call_type"],
            groups.get(call["model_group"], "unheard-of"),
            stream=call["stream"],
        ),
    )


def _said_of(name: str, question: Mapping[str, Any], contract: Contract) -> list[str]:
    if name in question["conflicts"]:
        return ["one", "another"] if name not in question["shapes"] else _two(contract, name)
    if question["shapes"].get(name) == "malformed" or name in question["malformed"]:
        return ["jane.doe@example.com"]
    if question["shapes"].get(name) == "ok":
        pattern = contract.fields[name].pattern
        assert pattern is not None, name
        sample = sample_of(pattern.pattern)
        assert sample is not None, name
        return [sample]
    is_sent = question["sources"].get(name) not in ("binding", "default")
    return [question["ownership"][name]] if name in question["ownership"] and is_sent else []


def _two(contract: Contract, name: str) -> list[str]:
    pattern = contract.fields[name].pattern
    assert pattern is not None, name
    return [f"hk1_{digit * 32}" for digit in "ab"]
