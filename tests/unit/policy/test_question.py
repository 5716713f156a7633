from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.contracts import HASHED, a_contract, a_registry
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.attribution.ownership import Ownership, Source
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.kernel.instants import ns_from_text
from tallygate.domain.policy.question import CallShape, bucket_of, question_about

NOW = "2026-11-21T10:00:00Z"
CHAT = CallShape("/v1/chat/completions", "acompletion", "gpt-5.4", stream=True)
TRACE = Trace("tr_9f4c", "received", "1" * 32)
OWNERSHIP = Ownership(
    values={
        "owner_team": "team-support",
        "service": "support-assistant",
        "workflow_id": "nightly-digest",
        "tenant_id_hash": HASHED,
    },
    sources={
        "owner_team": Source.HEADER,
        "service": Source.BAGGAGE,
        "workflow_id": Source.METADATA,
        "tenant_id_hash": Source.HEADER,
    },
    conflicts=("feature",),
    malformed=("user_id_hash",),
)


def asked(**changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "call": CHAT,
        "ownership": OWNERSHIP,
        "trace": TRACE,
        "principal": Principal(team="llm-support", key_hash="key-platform"),
        "contract": a_contract(),
        "registry": a_registry(),
        "at_ns": ns_from_text(NOW) + 999_999_999,
    }
    return question_about(**parts | changes)


def test_the_question_is_the_document_that_the_schema_describes() -> None:
    assert asked() == {
        "call": {
            "route": "/v1/chat/completions",
            "call_type": "acompletion",
            "model_group": "frontier",
            "stream": True,
        },
        "ownership": {
            "owner_team": "team-support",
            "service": "support-assistant",
            "workflow_id": "nightly-digest",
        },
        "sources": {"owner_team": "header", "service": "baggage", "workflow_id": "metadata"},
        "shapes": {
            "tenant_id_hash": "ok",
            "user_id_hash": "malformed",
            "initiator": "absent",
            "parent_call_id": "absent",
            "span_id": "absent",
            "trace_id": "received",
        },
        "conflicts": ["feature"],
        "malformed": ["user_id_hash"],
        "principal": {"team": "llm-support", "key": "key-platform"},
        "bucket": bucket_of("support-assistant", "nightly-digest"),
        "now": NOW,
    }


def test_an_identifier_enters_as_a_shape_and_nowhere_as_text() -> None:
    assert HASHED not in str(asked())


def test_the_trace_id_enters_by_its_source_alone() -> None:
    question = asked(trace=Trace("0" * 32, "minted", "0" * 32))

    assert question["shapes"]["trace_id"] == "minted"
    assert "0" * 32 not in str(question)


def test_a_trace_id_that_could_not_be_taken_is_malformed() -> None:
    question = asked(trace=Trace("0" * 32, "minted", "0" * 32, malformed=True))

    assert question["malformed"] == ["trace_id", "user_id_hash"]


@pytest.mark.parametrize(
    ("model", "group"),
    [
        pytest.param("gpt-5.4", "frontier", id="listed"),
        pytest.param("gpt-5.4-mini", "standard", id="listed in another group"),
        pytest.param("my-secret-model", "other", id="not listed"),
        pytest.param("frontier", "other", id="a group is not a model"),
        pytest.param("", "other", id="empty"),
        pytest.param(None, "other", id="none"),
    ],
)
def test_a_model_enters_as_its_group(model: str | None, group: str) -> None:
    shape = CallShape("/v1/chat/completions", "acompletion", model, stream=False)

    assert asked(call=shape)["call"]["model_group"] == group


@pytest.mark.parametrize(
    ("model", "others", "group"),
    [
        pytest.param("gpt-5.4", (), "frontier", id="no others"),
        pytest.param("gpt-5.4", ("gpt-5.4",), "frontier", id="the same again"),
        pytest.param("gpt-5.4-mini", ("claude-haiku",), "standard", id="another of its group"),
        pytest.param("gpt-5.4-mini", ("gpt-5.4",), "other", id="another group's may answer"),
        pytest.param("gpt-5.4", ("gpt-5.4-mini",), "other", id="and the other way round"),
        pytest.param("gpt-5.4", ("my-secret-model",), "other", id="one that is not listed"),
        pytest.param("gpt-5.4", ("?",), "other", id="one that could not be read"),
        pytest.param(None, ("gpt-5.4",), "other", id="no model first"),
        pytest.param("a", ("b", "c"), "other", id="none is listed"),
    ],
)
def test_models_of_several_groups_enter_as_no_group(
    model: str | None, others: tuple[str, ...], group: str
) -> None:
    shape = CallShape(
        "/v1/chat/completions", "acompletion", model, stream=False, other_models=others
    )
    question = asked(call=shape)

    assert question["call"]["model_group"] == group
    assert "secret" not in str(question)


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        pytest.param(Principal(), {"team": "", "key": ""}, id="nobody"),
        pytest.param(
            Principal(team="llm-unheard-of", key_hash="key-unheard-of"),
            {"team": "llm-unheard-of", "key": ""},
            id="a key that the registry does not bind stays out",
        ),
        pytest.param(
            Principal(key_hash="key-platform"), {"team": "", "key": "key-platform"}, id="a key"
        ),
    ],
)
def test_a_principal_enters_as_far_as_the_registry_knows_it(
    principal: Principal, expected: dict[str, str]
) -> None:
    assert asked(principal=principal)["principal"] == expected


@given(service=st.text(max_size=20), workflow=st.text(max_size=20))
def test_a_bucket_is_one_of_a_hundred(service: str, workflow: str) -> None:
    assert 0 <= bucket_of(service, workflow) < 100


def test_a_bucket_never_changes_because_rollouts_stand_on_it() -> None:
    assert bucket_of("support-assistant", "nightly-digest") == 24
    assert bucket_of("", "") == 92


def test_service_and_workflow_do_not_run_into_each_other() -> None:
    pairs = {bucket_of("a" * n, "a" * (40 - n)) for n in range(41)}

    assert len(pairs) > 20


def test_buckets_are_even_enough_for_shares() -> None:
    counted = [0] * 100
    for number in range(20_000):
        counted[bucket_of("service", f"wf-{number}")] += 1

    assert min(counted) > 120
    assert max(counted) < 280
