"""A recorded input, asked about again under the same revision, is decided as the call was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.questions import good_questions
from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import verify_compiled
from tallygate.adapters.files.policies import read_cases, read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.application.facts import unaccepted_fields
from tallygate.domain.attribution.contract import (
    Contract,
    Principal,
    Registry,
    contract_from_data,
    registry_from_data,
)
from tallygate.domain.attribution.ownership import (
    Claims,
    Ownership,
    Source,
    ownership_of_proxy,
    resolve_ownership,
    with_registered,
)
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.kernel.instants import ns_from_text
from tallygate.domain.policy.decision import decision_from_answer
from tallygate.domain.policy.question import CallShape, question_about, with_call_bucket
from tallygate.domain.policy.recorded_input import (
    IS_OWN,
    digest_of_input,
    question_from_recorded,
    record_input,
)

POLICIES: Final = read_policies(starter_policies())
CONTRACT: Final[Contract] = contract_from_data(POLICIES.data["contract"])
REGISTRY: Final[Registry] = registry_from_data(POLICIES.data["registry"])
CASES: Final = read_cases(starter_policies())
MARK: Final = "zq"
"""Begins every text that no registry has."""

strangers = st.text(max_size=20).map(lambda text: MARK + text) | st.sampled_from(
    [f"{MARK}-Jane_Doe", f"{MARK}jane@example.com", f"?{MARK}00000", "?1234abcd", MARK]
)
fields = st.sampled_from(sorted(CONTRACT.fields))


def values_of(name: str) -> st.SearchStrategy[str]:
    known = list(REGISTRY.values.get(name, ())) or ["nightly-digest", "hk1_" + "a" * 32, "job:x"]
    return st.sampled_from(known) | st.sampled_from(known) | strangers


claims = fields.flatmap(lambda name: st.tuples(st.just(name), values_of(name)))
headers = st.lists(claims, max_size=8).map(
    lambda sent: tuple(
        (b"x-tallygate-" + name.replace("_", "-").encode(), text.encode("utf-8", "replace"))
        for name, text in sent
    )
)
metadata = st.dictionaries(fields, strangers, max_size=2)
principals = st.builds(
    Principal,
    team=st.none() | st.sampled_from([*REGISTRY.bindings_by_team, "stranger"]),
    key_hash=st.none() | st.sampled_from([*REGISTRY.bindings_by_key, "f" * 64]),
    key_metadata=st.dictionaries(fields, strangers, max_size=1),
)
models = st.none() | st.sampled_from(list(REGISTRY.model_groups)) | strangers
calls = st.builds(
    CallShape,
    route=st.sampled_from(["/v1/chat/completions", "/v1/embeddings"]),
    call_type=st.sampled_from(["acompletion", "aembedding"]),
    model=models,
    stream=st.booleans(),
    other_models=st.lists(models.filter(bool), max_size=20).map(tuple),
)
traces = st.builds(
    Trace,
    trace_id=strangers,
    source=st.sampled_from(["received", "minted"]),
    w3c_trace_id=st.just("1" * 32),
    malformed=st.booleans(),
)
instants = st.sampled_from(
    sorted(
        {
            "2026-11-21T10:00:00Z",
            *(case.question["now"] for case in CASES if isinstance(case.question, Mapping)),
        }
    )
).map(ns_from_text)


@cache
def engine() -> EmbeddedEngine:
    wasm = verify_compiled(POLICIES.rego, POLICIES.wasm, POLICIES.lock)
    return EmbeddedEngine(wasm, POLICIES.data, POLICIES.revision)


def decided(question: Mapping[str, Any]) -> Mapping[str, Any]:
    return engine().decide(question)


def recorded_and_asked_again(
    call: CallShape,
    ownership: Ownership,
    trace: Trace,
    principal: Principal,
    at_ns: int,
    call_bucket: int = 0,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], set[str]]:
    plain = question_about(call, ownership, trace, principal, CONTRACT, REGISTRY, at_ns)
    asked = with_call_bucket(plain, call_bucket, principal, CONTRACT, REGISTRY)
    unaccepted = unaccepted_fields(decision_from_answer(decided(asked)))
    kept = record_input(call, ownership, trace, principal, CONTRACT, REGISTRY, unaccepted)
    stored = orjson.loads(orjson.dumps(kept))
    again = question_from_recorded(stored, CONTRACT, REGISTRY, call_bucket=call_bucket, at_ns=at_ns)
    return asked, again, kept, unaccepted


def texts_in(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, held in value.items():
            yield name
            yield from texts_in(held)
    elif isinstance(value, list):
        for held in value:
            yield from texts_in(held)
    elif isinstance(value, str):
        yield value


@settings(max_examples=400)
@given(calls, headers, metadata, traces, principals, instants, st.integers(0, 99))
def test_a_recorded_call_is_decided_as_it_was(
    call: CallShape,
    sent: tuple[tuple[bytes, bytes], ...],
    said: Mapping[str, str],
    trace: Trace,
    principal: Principal,
    at_ns: int,
    call_bucket: int,
) -> None:
    ownership = resolve_ownership(Claims(sent, said), CONTRACT, REGISTRY, principal, None)

    asked, again, _, unaccepted = recorded_and_asked_again(call, ownership, trace, principal, at_ns)

    assert decided(again) == decided(asked)
    if not unaccepted:
        assert again == asked


@settings(max_examples=400)
@given(calls, headers, metadata, traces, principals, instants)
def test_no_text_that_was_not_accepted_is_kept(
    call: CallShape,
    sent: tuple[tuple[bytes, bytes], ...],
    said: Mapping[str, str],
    trace: Trace,
    principal: Principal,
    at_ns: int,
) -> None:
    ownership = resolve_ownership(Claims(sent, said), CONTRACT, REGISTRY, principal, None)

    _, _, kept, unaccepted = recorded_and_asked_again(call, ownership, trace, principal, at_ns)

    accepted = {ownership.values[name] for name in ownership.values if name not in unaccepted}
    marked = {text.lstrip("?") for text in texts_in(kept) if MARK in text}
    assert marked <= {text.lstrip("?") for text in accepted}
    assert "@" not in str(kept)
    for name in {*ownership.conflicts, *ownership.malformed}:
        assert name not in kept["claims"]


@given(calls, traces, principals, instants)
def test_what_the_proxy_does_on_its_own_account_is_decided_as_it_was(
    call: CallShape, trace: Trace, principal: Principal, at_ns: int
) -> None:
    ownership = ownership_of_proxy(REGISTRY)
    asked = question_about(call, ownership, trace, principal, CONTRACT, REGISTRY, at_ns)

    kept = record_input(call, ownership, trace, principal, CONTRACT, REGISTRY, ()) | {IS_OWN: True}
    again = question_from_recorded(kept, CONTRACT, REGISTRY, call_bucket=None, at_ns=at_ns)

    assert kept["claims"] == {}
    assert again == asked


QUESTIONS: Final[dict[str, Mapping[str, Any]]] = {
    **{f"good-{number}": each for number, each in enumerate(good_questions(POLICIES.data))},
    **{case.name: case.question for case in CASES if case.question.get("ownership")},
}


@pytest.mark.parametrize("question", list(QUESTIONS.values()), ids=list(QUESTIONS))
def test_each_case_is_decided_again_as_it_was(question: Mapping[str, Any]) -> None:
    values = {name: text for name, text in question["ownership"].items() if text}
    shapes = question["shapes"]
    values |= {name: "hk1" for name, shape in shapes.items() if shape == "ok"}
    malformed = {name for name, shape in shapes.items() if shape == "malformed"}
    group = question["call"]["model_group"]
    named = [name for name, held in REGISTRY.model_groups.items() if held == group]

    claimed = Ownership(
        values,
        dict.fromkeys(values, Source.HEADER),
        tuple(question["conflicts"]),
        tuple(sorted(malformed.difference(question["conflicts"]) | {*question["malformed"]})),
    )
    principal = Principal(*(question["principal"][name] or None for name in ("team", "key")))

    asked, again, _, _ = recorded_and_asked_again(
        CallShape("/v1/chat/completions", "acompletion", (named or ["x"])[0], stream=False),
        with_registered(claimed, CONTRACT, REGISTRY, principal),
        Trace("tr_1", shapes.get("trace_id", "minted"), "1" * 32),
        principal,
        ns_from_text(question["now"]),
    )

    assert decided(again) == decided(asked)


def test_the_digest_follows_what_was_said_and_nothing_else() -> None:
    def digest(trace_id: str, **said: str) -> str:
        values = {"service": "billing-bot", **said}
        ownership = Ownership(values, dict.fromkeys(values, Source.HEADER), (), ())
        trace, nobody = Trace(trace_id, "minted", trace_id), Principal()
        call = CallShape("/v1/chat/completions", "acompletion", "gpt-5.4", stream=False)
        kept = record_input(call, ownership, trace, nobody, CONTRACT, REGISTRY, ())
        return digest_of_input(kept)

    assert digest("1" * 32) == digest("2" * 32)
    assert digest("1" * 32, tenant_id_hash="hk1_1") == digest("1" * 32, tenant_id_hash="hk1_2")
    assert digest("1" * 32) != digest("1" * 32, environment="prod")
