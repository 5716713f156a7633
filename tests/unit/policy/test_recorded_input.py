from __future__ import annotations

import copy
import hashlib
from typing import Any

import orjson
import pytest

from fakes.contracts import CONTRACT, HASHED, REGISTRY, a_contract, a_registry
from tallygate.domain.attribution.contract import Contract, Principal, Registry
from tallygate.domain.attribution.ownership import Ownership, Source, with_registered
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.kernel.instants import ns_from_text
from tallygate.domain.policy.question import CallShape, bucket_of, question_about
from tallygate.domain.policy.recorded_input import (
    IS_OWN,
    digest_of_input,
    question_from_recorded,
    record_input,
)

NOW_NS = ns_from_text("2026-11-21T10:00:00Z")
CHAT = CallShape("/v1/chat/completions", "acompletion", "gpt-5.4", stream=True)
TRACE = Trace("tr_9f4c", "received", "1" * 32)
SUPPORT = Principal(team="llm-support", key_hash="key-unbound")


def token(text: str) -> str:
    return "?" + hashlib.sha256(text.encode()).hexdigest()[:8]


def owned(claims: dict[str, str], **more: Any) -> Ownership:
    return Ownership(
        claims,
        dict.fromkeys(claims, Source.HEADER),
        more.get("conflicts", ()),
        more.get("malformed", ()),
    )


def recorded(claims: dict[str, str], *unaccepted: str, **changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "call": CHAT,
        "ownership": owned(claims),
        "trace": TRACE,
        "principal": SUPPORT,
        "contract": a_contract(),
        "registry": a_registry(),
        "unaccepted": unaccepted,
    }
    kept: dict[str, Any] = orjson.loads(orjson.dumps(record_input(**parts | changes)))
    return kept


def asked(
    kept: dict[str, Any],
    contract: Contract | None = None,
    registry: Registry | None = None,
) -> dict[str, Any]:
    return question_from_recorded(
        kept,
        contract or a_contract(),
        registry or a_registry(),
        call_bucket=None,
        at_ns=NOW_NS,
    )


def with_field(name: str, **spec: Any) -> Contract:
    return a_contract(fields=copy.deepcopy(CONTRACT["fields"]) | {name: spec})


def test_a_recorded_input_holds_what_was_said_and_by_whom() -> None:
    claims = {"service": "support-assistant", "workflow_id": "nightly", "tenant_id_hash": HASHED}
    ownership = with_registered(
        owned(claims, conflicts=("feature",), malformed=("user_id_hash",)),
        a_contract(),
        a_registry(),
        SUPPORT,
    )

    assert recorded({}, ownership=ownership) == {
        "call": {
            "route": "/v1/chat/completions",
            "call_type": "acompletion",
            "stream": True,
            "models": ["gpt-5.4"],
        },
        "claims": {"service": "support-assistant", "workflow_id": "nightly"},
        "sources": {"service": "header", "workflow_id": "header"},
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
        "principal": {"team": "llm-support", "key": "key-unbound"},
    }


def test_asked_again_under_the_same_revision_it_is_the_same_question() -> None:
    claims = {"service": "support-assistant", "environment": "prod", "tenant_id_hash": HASHED}
    contract, registry = a_contract(), a_registry()
    ownership = with_registered(owned(claims), contract, registry, SUPPORT)
    question = question_about(CHAT, ownership, TRACE, SUPPORT, contract, registry, NOW_NS)

    assert question["sources"]["owner_team"] == "binding"
    assert question["sources"]["feature"] == "default"
    assert asked(recorded({}, ownership=ownership)) == question


# What follows from the registry of the revision that answers.


def test_a_new_binding_counts_for_a_key_that_nothing_bound_then() -> None:
    registry = copy.deepcopy(REGISTRY)
    registry["principals"]["keys"]["key-unbound"] = {
        "team": "team-search",
        "services": ["search-api"],
        "environments": ["staging"],
    }

    question = asked(recorded({}), registry=a_registry(**registry))

    assert question["principal"] == {"team": "llm-support", "key": "key-unbound"}
    assert question["ownership"] == {
        "owner_team": "team-search",
        "service": "search-api",
        "environment": "staging",
    }
    assert asked(recorded({}))["principal"]["key"] == ""


def test_a_changed_default_of_a_service_counts() -> None:
    kept = recorded({"service": "support-assistant", "initiator": "job-1"})
    registry = copy.deepcopy(REGISTRY)
    registry["services"]["support-assistant"]["defaults"] = {"region": "eu-west"}

    question = asked(kept, registry=a_registry(**registry))

    assert question["ownership"]["region"] == "eu-west"
    assert question["sources"]["region"] == "default"
    assert "feature" not in question["ownership"]
    assert asked(kept)["ownership"]["feature"] == "ticket-triage"


def test_an_identifier_that_was_a_default_is_absent_where_it_is_none_any_more() -> None:
    registry = copy.deepcopy(REGISTRY)
    registry["services"]["support-assistant"]["defaults"] = {"initiator": "job-1"}
    filling = a_registry(**registry)
    claims = owned({"service": "support-assistant"})
    ownership = with_registered(claims, a_contract(), filling, SUPPORT)

    kept = recorded({}, ownership=ownership)

    assert kept["shapes"]["initiator"] == "absent"
    assert asked(kept, registry=filling)["shapes"]["initiator"] == "ok"
    assert asked(kept)["shapes"]["initiator"] == "absent"


def test_the_group_of_a_model_is_the_registrys_of_the_day() -> None:
    kept = recorded({})
    moved = a_registry(model_groups={"standard": ["gpt-5.4"]})

    assert asked(kept)["call"]["model_group"] == "frontier"
    assert asked(kept, registry=moved)["call"]["model_group"] == "standard"


def test_a_model_that_nobody_listed_is_found_by_a_registry_that_lists_it() -> None:
    call = CallShape("/v1/chat/completions", "acompletion", "acme-next", stream=False)
    kept = recorded({}, call=call)
    lists_it = a_registry(model_groups={"frontier": ["acme-next"]})

    assert kept["call"]["models"] == [token("acme-next")]
    assert asked(kept)["call"]["model_group"] == "other"
    assert asked(kept, registry=lists_it)["call"]["model_group"] == "frontier"


@pytest.mark.parametrize(
    ("others", "group"),
    [
        pytest.param(("gpt-5.4",) * 40, "frontier", id="one name again and again"),
        pytest.param(tuple(f"acme-{n}" for n in range(40)), "other", id="many unknown"),
    ],
)
def test_models_stand_there_once_and_few(others: tuple[str, ...], group: str) -> None:
    call = CallShape("/v1/chat/completions", "acompletion", "gpt-5.4", False, others)

    kept = recorded({}, call=call)

    assert len(kept["call"]["models"]) <= 16
    assert asked(kept)["call"]["model_group"] == group


def test_the_one_model_of_another_group_is_never_cut_off() -> None:
    many = {"frontier": [f"acme-{n}" for n in range(40)], "standard": ["odd"]}
    registry = a_registry(model_groups=many)
    call = CallShape("/v1/r", "acompletion", "acme-0", False, (*many["frontier"], "odd"))

    kept = recorded({}, call=call, registry=registry)

    assert "odd" in kept["call"]["models"]
    assert asked(kept, registry=registry)["call"]["model_group"] == "other"


def test_a_call_without_a_model_stays_one() -> None:
    kept = recorded({}, call=CallShape("/v1/files", "afile_list", None, stream=False))

    assert kept["call"]["models"] == [""]
    assert asked(kept)["call"]["model_group"] == "other"


def test_own_calls_are_paid_by_whom_the_registry_of_the_day_names() -> None:
    kept = recorded({}) | {IS_OWN: True}

    question = asked(kept, registry=a_registry(own_calls={"owner_team": "team-search"}))

    assert question["ownership"] == {"owner_team": "team-search"}


# Values that were not accepted.


def test_a_value_that_was_not_accepted_stands_as_a_token_that_many_texts_share() -> None:
    kept = recorded({"service": "Jane-Doe", "owner_team": "team-support"}, "service")

    assert kept["claims"] == {"service": token("Jane-Doe"), "owner_team": "team-support"}
    assert "Jane" not in str(kept)
    assert asked(kept)["ownership"]["service"] == token("Jane-Doe")


def test_a_registry_that_knows_the_value_by_now_finds_it() -> None:
    kept = recorded({"service": "new-service", "workflow_id": "nightly"}, "service")
    registry = copy.deepcopy(REGISTRY)
    registry["services"]["new-service"] = {
        "owner_team": "team-support",
        "defaults": {"feature": "ticket-search"},
    }

    question = asked(kept, registry=a_registry(**registry))

    assert question["ownership"]["service"] == "new-service"
    assert question["ownership"]["feature"] == "ticket-search"
    assert question["bucket"] == bucket_of("new-service", "nightly")


def test_a_pattern_that_was_not_met_is_not_met_again() -> None:
    kept = recorded({"service": "support-assistant", "workflow_id": "Not A Slug"}, "workflow_id")

    question = asked(kept)

    assert question["malformed"] == ["workflow_id"]
    assert question["bucket"] == bucket_of("support-assistant", "Not A Slug")
    assert "Slug" not in str(kept)


def test_text_that_looks_like_a_token_is_text() -> None:
    claims = {"region": token("eu-west"), "workflow_id": "??"}
    call = CallShape("/v1/r", "acompletion", "?model", stream=False)
    registry = a_registry(
        values={"region": {token("eu-west"): {}, "eu-west": {}}},
        model_groups={"small": ["?model"]},
    )

    question = asked(recorded(claims, registry=registry, call=call), registry=registry)

    assert question["ownership"]["region"] == token("eu-west")
    assert question["ownership"]["workflow_id"] == "??"
    assert question["malformed"] == []
    assert question["call"]["model_group"] == "small"


# Another contract.


def test_a_field_that_the_contract_has_no_more_is_left_out() -> None:
    ownership = owned({"region": "eu-west"}, conflicts=("feature",), malformed=("user_id_hash",))
    fields = {name: CONTRACT["fields"][name] for name in ("owner_team", "service")}

    question = asked(
        recorded({}, ownership=ownership, principal=Principal()), a_contract(fields=fields)
    )

    assert question["ownership"] == {}
    assert (question["conflicts"], question["malformed"]) == ([], [])
    assert question["shapes"] == {"trace_id": "received"}


def test_baggage_and_a_trace_that_could_not_be_read_stay_unreadable() -> None:
    trace = Trace("1" * 32, "minted", "1" * 32, malformed=True)
    kept = recorded({}, ownership=owned({}, malformed=("baggage",)), trace=trace)

    assert asked(kept)["malformed"] == ["baggage", "trace_id"]
    assert asked(kept)["shapes"]["trace_id"] == "minted"


def test_a_value_that_became_too_long_is_malformed() -> None:
    kept = recorded({"region": "eu-west"})

    question = asked(kept, a_contract(limits={"value_chars": 3}))

    assert "region" not in question["ownership"]
    assert question["malformed"] == ["region"]


@pytest.mark.parametrize(
    ("text", "unaccepted", "shape"),
    [
        pytest.param("eu-west", (), "ok", id="it fits the pattern"),
        pytest.param("mars", (), "malformed", id="it does not"),
        pytest.param("eu-west", ("region",), "malformed", id="it was not accepted then"),
    ],
)
def test_a_field_that_became_an_identifier_is_shown_as_its_shape(
    text: str, unaccepted: tuple[str, ...], shape: str
) -> None:
    contract = with_field("region", kind="identifier", pattern="^[a-z]{2}-[a-z]+$")

    question = asked(recorded({"region": text}, *unaccepted), contract)

    assert "region" not in question["ownership"]
    assert question["shapes"]["region"] == shape


def test_an_identifier_that_became_a_word_is_there_and_nobody_knows_what_it_was() -> None:
    kept = recorded({"initiator": "job-1"})

    question = asked(kept, with_field("initiator", kind="vocabulary"))

    assert question["ownership"]["initiator"] == "?"


def test_half_of_a_surrogate_pair_has_a_token_in_a_models_name_and_no_digest_elsewhere() -> None:
    broken = CallShape("/v1/r", "acompletion", "\ud800", stream=False)
    kept = recorded({}, call=broken)

    assert digest_of_input(kept).startswith("sha256:")
    with pytest.raises(TypeError):
        digest_of_input(kept | {"principal": {"team": "\ud800", "key": ""}})


def test_a_canary_that_a_revision_adds_meets_the_bucket_of_the_call() -> None:
    kept = recorded({"service": "support-assistant", "environment": "prod"})
    services = copy.deepcopy(REGISTRY["services"])
    services["support-assistant"]["canary"] = {"prod": 10}

    before = question_from_recorded(kept, a_contract(), a_registry(), call_bucket=37, at_ns=NOW_NS)
    after = question_from_recorded(
        kept, a_contract(), a_registry(services=services), call_bucket=37, at_ns=NOW_NS
    )

    assert "call_bucket" not in before
    assert after == {**before, "call_bucket": 37}
