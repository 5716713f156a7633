"""A share of a service's calls is enforced, by a stable hash of the call's id."""

from __future__ import annotations

import random
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fakes.clock import FakeClock, FakeIds
from fakes.contracts import CONTRACT, REGISTRY, a_contract, a_registry
from fakes.lines import decided
from fakes.spool import FakeSpool
from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import verify_compiled
from tallygate.adapters.files.policies import PolicySet, read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.application.facts import CallRequest
from tallygate.application.flow import PolicyInForce, RequestLine
from tallygate.domain.attribution.contract import Principal, contract_from_data, registry_from_data
from tallygate.domain.attribution.ownership import Claims, Ownership, Source
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.kernel.ids import uuid7
from tallygate.domain.kernel.instants import ns_from_text
from tallygate.domain.policy.question import (
    CallShape,
    call_bucket_of,
    question_about,
    with_call_bucket,
)

NOW_NS: Final = ns_from_text("2026-11-21T10:00:00Z")
CHAT: Final = CallShape("/v1/chat/completions", "acompletion", "gpt-4.1", stream=False)
TRACE: Final = Trace("tr_9f4c", "received", "1" * 32)


def call_ids(count: int) -> list[str]:
    """Ids as the gate mints them, a tenth of a millisecond apart."""
    dice = random.Random(20261121)
    return [uuid7(NOW_NS + number * 100_000, dice.randbytes(8)) for number in range(count)]


def test_ten_percent_of_the_calls_are_in_a_canary_of_ten() -> None:
    chosen = sum(call_bucket_of(call_id) < 10 for call_id in call_ids(10_000))

    assert 900 <= chosen <= 1_100


def test_the_buckets_of_calls_are_even() -> None:
    counted = [0] * 100
    for call_id in call_ids(20_000):
        counted[call_bucket_of(call_id)] += 1

    assert min(counted) > 120
    assert max(counted) < 280


def test_the_bucket_of_a_call_never_changes_because_replay_stands_on_it() -> None:
    assert call_bucket_of("01938a4e-7f00-7000-8000-000000000001") == 30
    assert call_bucket_of("") == 52


# What the gate asks.

SERVICES: Final = {
    **REGISTRY["services"],
    "support-digest": {
        "owner_team": "team-support",
        "modes": {"default": "enforce"},
        "canary": {"prod": 10},
    },
    "search-api": {
        "owner_team": "team-search",
        "schedule": [{"from": "2026-10-01T00:00:00Z", "mode": "enforce", "canary": 10}],
    },
}
SUPPORT: Final = Principal(team="llm-support")
BY_SERVICE: Final = {"unbound": {"mode": "by_service", "services": ["*"]}}


def asked(
    principal: Principal, contract: dict[str, Any] | None = None, **claims: str
) -> dict[str, Any]:
    ownership = Ownership(claims, dict.fromkeys(claims, Source.HEADER), (), ())
    known, registry = a_contract(**contract or {}), a_registry(services=SERVICES)
    question = question_about(CHAT, ownership, TRACE, principal, known, registry, NOW_NS)
    return with_call_bucket(question, 57, principal, known, registry)


@pytest.mark.parametrize(
    ("principal", "claims", "is_asked"),
    [
        pytest.param(SUPPORT, {"service": "support-digest"}, True, id="its canary service"),
        pytest.param(SUPPORT, {"service": "support-assistant"}, False, id="its other service"),
        pytest.param(SUPPORT, {"service": "search-api"}, True, id="another's service"),
        pytest.param(SUPPORT, {"service": "ghost"}, True, id="a service that nobody registered"),
        pytest.param(SUPPORT, {}, True, id="no service"),
        pytest.param(
            SUPPORT,
            {"service": "support-assistant", "owner_team": "team-search"},
            True,
            id="its other service, in another team's name",
        ),
        pytest.param(
            SUPPORT,
            {"service": "support-assistant", "owner_team": "team-ghost"},
            False,
            id="its other service, in the name of nobody",
        ),
        pytest.param(
            Principal(team="llm-search"), {"service": "search-api"}, True, id="a step's canary"
        ),
        pytest.param(
            Principal(team="llm-search"),
            {"service": "search-api", "environment": "staging"},
            True,
            id="an environment that is not its own",
        ),
        pytest.param(Principal(), {"service": "support-digest"}, False, id="one mode for unbound"),
    ],
)
def test_the_bucket_is_asked_about_only_where_a_canary_can_matter(
    principal: Principal, claims: dict[str, str], *, is_asked: bool
) -> None:
    assert asked(principal, **claims).get("call_bucket") == (57 if is_asked else None)


def test_an_unbound_call_by_service_has_its_service_s_canary() -> None:
    assert asked(Principal(), BY_SERVICE, service="support-digest")["call_bucket"] == 57
    assert "call_bucket" not in asked(Principal(), BY_SERVICE, service="support-assistant")


def test_a_registry_without_canaries_never_asks() -> None:
    contract, registry = a_contract(), a_registry()
    unclaimed = Ownership({}, {}, (), ())
    question = question_about(CHAT, unclaimed, TRACE, SUPPORT, contract, registry, NOW_NS)

    assert registry.canaries == frozenset()
    assert with_call_bucket(question, 57, SUPPORT, contract, registry) == question


# What the policy answers.


@pytest.fixture(scope="module")
def policies() -> PolicySet:
    return read_policies(starter_policies())


@pytest.fixture(scope="module")
def wasm(policies: PolicySet) -> bytes:
    return verify_compiled(policies.rego, policies.wasm, policies.lock)


@pytest.fixture(scope="module")
def engines(wasm: bytes) -> dict[str, EmbeddedEngine]:
    registry = {**REGISTRY, "services": SERVICES}
    return {
        mode: EmbeddedEngine(
            wasm,
            {
                "contract": {**CONTRACT, "unbound": {"mode": mode, "services": ["*"]}},
                "registry": registry,
                "overrides": {},
                "roles": {},
            },
            f"sha256:{mode}",
            deadline_s=10,
        )
        for mode in ("report_only", "by_service")
    }


@hypothesis_settings(max_examples=300)
@given(
    mode=st.sampled_from(["report_only", "by_service"]),
    principal=st.builds(
        Principal,
        team=st.sampled_from([None, "llm-support", "llm-search", "llm-open", "llm-ghost"]),
        key_hash=st.sampled_from([None, "key-platform"]),
    ),
    claims=st.fixed_dictionaries(
        {},
        optional={
            "service": st.sampled_from([*SERVICES, "ghost"]),
            "owner_team": st.sampled_from([*REGISTRY["teams"], "ghost"]),
            "environment": st.sampled_from(["prod", "staging", "moon"]),
        },
    ),
    call_bucket=st.integers(0, 99),
)
def test_leaving_the_bucket_out_where_it_cannot_matter_changes_no_decision(
    engines: dict[str, EmbeddedEngine],
    mode: str,
    principal: Principal,
    claims: dict[str, str],
    call_bucket: int,
) -> None:
    contract = a_contract(unbound={"mode": mode, "services": ["*"]})
    registry = a_registry(services=SERVICES)
    ownership = Ownership(claims, dict.fromkeys(claims, Source.HEADER), (), ())
    question = question_about(CHAT, ownership, TRACE, principal, contract, registry, NOW_NS)

    asked_so = with_call_bucket(question, call_bucket, principal, contract, registry)

    always = {**question, "call_bucket": call_bucket}
    assert engines[mode].decide(asked_so) == engines[mode].decide(always)


# The whole line, on the shipped policies: query-rewriter enforces a tenth of its calls in prod.


def a_line(policies: PolicySet, wasm: bytes, share: int | None = None) -> RequestLine:
    data = dict(policies.data)
    if share is not None:
        rewriter = {**data["registry"]["services"]["query-rewriter"], "canary": {"prod": share}}
        services = {**data["registry"]["services"], "query-rewriter": rewriter}
        data["registry"] = {**data["registry"], "services": services}
    return RequestLine(
        policy=PolicyInForce(
            EmbeddedEngine(wasm, data, f"sha256:{share}", deadline_s=10),
            contract_from_data(data["contract"]),
            registry_from_data(data["registry"]),
            is_remembered=True,
        ),
        spool=FakeSpool(),
        clock=FakeClock(NOW_NS),
        new_id=FakeIds(),
    )


def a_call(call_id: str) -> CallRequest:
    """Make a call that lacks its workflow, which enforce refuses."""
    return CallRequest(
        call_id=call_id,
        started_at_ns=NOW_NS,
        claims=Claims(
            (
                (b"x-tallygate-owner-team", b"team-search"),
                (b"x-tallygate-service", b"query-rewriter"),
                (b"x-tallygate-environment", b"prod"),
            )
        ),
        principal=Principal(team="litellm-team-search"),
        trace=TRACE,
        shape=CHAT,
    )


def refused_of(line: RequestLine, ids: list[str]) -> set[str]:
    return {call_id for call_id in ids if not decided(line, a_call(call_id)).admitted}


def test_a_tenth_of_ten_thousand_calls_is_refused_and_the_same_ones_again(
    policies: PolicySet, wasm: bytes
) -> None:
    ids = call_ids(10_000)

    refused = refused_of(a_line(policies, wasm), ids)

    assert 900 <= len(refused) <= 1_100
    assert refused_of(a_line(policies, wasm), ids) == refused


def test_growing_the_share_keeps_those_enforced_that_were(policies: PolicySet, wasm: bytes) -> None:
    ids = call_ids(2_000)

    by_share = [refused_of(a_line(policies, wasm, share), ids) for share in (0, 10, 25, 100)]

    assert by_share[0] == set()
    assert by_share[0] < by_share[1] < by_share[2] < by_share[3]
    assert by_share[3] == set(ids)


def test_a_spared_call_says_so_and_what_enforce_would_do(policies: PolicySet, wasm: bytes) -> None:
    spared = next(call_id for call_id in call_ids(100) if call_bucket_of(call_id) >= 10)

    decision = decided(a_line(policies, wasm), a_call(spared)).decision

    assert (decision.action, decision.would_action) == ("admit", "reject")
    assert (decision.mode, decision.mode_source) == ("report_only", "canary")
    assert decision.violations == ({"code": "ownership_missing", "field": "workflow_id"},)
