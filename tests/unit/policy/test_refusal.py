from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.contracts import REGISTRY, a_contract, a_registry
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.attribution.ownership import BAGGAGE, Ownership, Source
from tallygate.domain.policy.decision import Action, Decision, Mode, Violation
from tallygate.domain.policy.refusal import (
    Refusal,
    no_room,
    refusal_of,
    route_unknown,
    unavailable,
)

BOUND: Final = Principal(team="llm-support")
MISSING: Final = ("ownership_missing", "feature")


def refused(
    *violations: tuple[str, str],
    claims: dict[str, str] | None = None,
    conflicts: tuple[str, ...] = (),
    principal: Principal = BOUND,
    contract: dict[str, Any] | None = None,
    registry: dict[str, Any] | None = None,
) -> Refusal:
    values = claims or {}
    known = a_registry(**registry or {})
    return refusal_of(
        Decision(
            action=Action.REJECT,
            would_action=Action.REJECT,
            mode=Mode.ENFORCE,
            mode_source="service",
            violations=tuple(Violation(code, field) for code, field in violations),
        ),
        "dec-1",
        Ownership(values, dict.fromkeys(values, Source.HEADER), conflicts, ()),
        a_contract(**contract or {}),
        known,
        known.binding_of(principal),
    )


def sentences(refusal: Refusal) -> str:
    """Return what stands between the first words and the decision's id, which are always there."""
    start, end = "tallygate refused this call before it reached a provider: ", " Decision dec-1."
    assert refusal.message.startswith(start)
    assert refusal.message.endswith(end)
    return refusal.message.removeprefix(start).removesuffix(end)


@pytest.mark.parametrize(
    ("violation", "expected"),
    [
        pytest.param(
            MISSING,
            "feature is missing; send it in the header x-tallygate-feature, "
            "one of ticket-triage, ticket-search.",
            id="missing",
        ),
        pytest.param(
            ("ownership_missing", "workflow_id"),
            "workflow_id is missing; send it in the header x-tallygate-workflow-id.",
            id="missing where no values are listed",
        ),
        pytest.param(
            ("ownership_missing", "owner_team"),
            "owner_team is missing; send it in the header x-tallygate-owner-team, "
            "for example team-support.",
            id="missing with one value to send",
        ),
        pytest.param(
            ("ownership_unknown", "environment"),
            "environment is not a registered value; send it in the header "
            "x-tallygate-environment, one of prod, staging.",
            id="unknown",
        ),
        pytest.param(
            ("ownership_retired", "region"),
            "region names a retired entry; send one in use, one of eu-west, us-east.",
            id="retired",
        ),
        pytest.param(
            ("ownership_malformed", "user_id_hash"),
            "user_id_hash was not accepted; expected a value that matches "
            "^hk[0-9]{1,6}_[0-9a-f]{32}$, never a name, an e-mail address or another raw "
            "identifier.",
            id="malformed identifier",
        ),
        pytest.param(
            ("ownership_malformed", "feature"),
            "feature was not accepted; expected an id of at most 64 printable characters, "
            "without blanks or @.",
            id="malformed vocabulary",
        ),
        pytest.param(
            ("ownership_malformed", "workflow_id"),
            "workflow_id was not accepted; expected an id of at most 64 printable characters, "
            "without blanks or @ that match ^[a-z][a-z0-9-]{0,63}$.",
            id="malformed pattern field",
        ),
        pytest.param(
            ("ownership_malformed", "initiator"),
            "initiator was not accepted; expected an id of at most 64 printable characters, "
            "without blanks or @.",
            id="malformed identifier without a pattern",
        ),
        pytest.param(
            ("ownership_malformed", "trace_id"),
            "trace_id was not accepted; expected one opaque id of at most 128 characters, "
            "without spaces.",
            id="malformed trace",
        ),
        pytest.param(
            ("ownership_malformed", BAGGAGE),
            "baggage was not accepted; at most 512 bytes of W3C baggage are read.",
            id="malformed baggage",
        ),
        pytest.param(
            ("ownership_missing", "trace_id"),
            "trace_id is missing; send it in the header x-tallygate-trace-id.",
            id="a missing trace",
        ),
        pytest.param(
            ("ownership_missing", "seat"),
            "seat is missing; send it.",
            id="a field that the contract does not have",
        ),
        pytest.param(
            ("quota_reached", "feature"), "feature: quota_reached.", id="a code of somebody's own"
        ),
        pytest.param(
            ("ownership_conflict", "owner_team"),
            "owner_team is outside what this API key may claim (team-support); use the right key, "
            "or have the platform team extend the key's binding in the registry.",
            id="a conflict with the binding",
        ),
        pytest.param(
            ("ownership_conflict", "environment"),
            "environment is outside what this API key may claim (prod, staging); use the right "
            "key, or have the platform team extend the key's binding in the registry.",
            id="an environment outside the binding",
        ),
    ],
)
def test_a_sentence_names_the_field_and_what_to_do(
    violation: tuple[str, str], expected: str
) -> None:
    assert sentences(refused(violation)) == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        pytest.param(
            "feature",
            "feature was given two different values; send one, in the header x-tallygate-feature.",
            id="a field of the contract",
        ),
        pytest.param(
            "seat", "seat was given two different values; send one.", id="one without a header"
        ),
    ],
)
def test_two_values_for_one_field_are_told_as_such(field: str, expected: str) -> None:
    refusal = refused(("ownership_conflict", field), conflicts=(field,))

    assert sentences(refusal) == expected


@pytest.mark.parametrize(
    ("violations", "status", "code", "param"),
    [
        pytest.param([MISSING], 400, "ownership_missing", "feature", id="a missing field"),
        pytest.param(
            [MISSING, ("ownership_conflict", "workflow_id")],
            403,
            "ownership_conflict",
            "workflow_id",
            id="a conflict stands first and decides the status",
        ),
        pytest.param(
            [("ownership_unknown", "zzz"), ("ownership_unknown", "feature"), MISSING],
            400,
            "ownership_missing",
            "feature",
            id="then the contract's order, then code",
        ),
        pytest.param(
            [("ownership_malformed", "trace_id"), ("ownership_malformed", "baggage")],
            400,
            "ownership_malformed",
            "baggage",
            id="what the contract does not list stands last, by name",
        ),
    ],
)
def test_the_first_violation_gives_status_code_and_param(
    violations: list[tuple[str, str]], status: int, code: str, param: str
) -> None:
    refusal = refused(*violations)

    assert (refusal.http_status, refusal.code, refusal.param) == (status, code, param)
    assert len(refusal.violations) == len(violations)
    assert sentences(refusal).count(". ") == len(violations) - 1


def test_a_rejection_without_a_reason_is_a_gate_that_cannot_decide() -> None:
    assert refused() == unavailable("dec-1")


@pytest.mark.parametrize(
    ("disclose", "expected"),
    [
        pytest.param("own_team", ", one of support-assistant, support-digest", id="own team"),
        pytest.param(
            "registry", ", one of support-assistant, support-digest, search-api", id="registry"
        ),
        pytest.param("none", "", id="none"),
        pytest.param("what?", "", id="unreadable discloses nothing"),
    ],
)
def test_values_are_listed_as_far_as_the_contract_discloses(disclose: str, expected: str) -> None:
    refusal = refused(("ownership_unknown", "service"), contract={"disclose": disclose})

    assert sentences(refusal).endswith(f"x-tallygate-service{expected}.")


@pytest.mark.parametrize(
    ("principal", "field", "expected"),
    [
        pytest.param(Principal(), "service", "", id="services to nobody"),
        pytest.param(Principal(), "owner_team", "", id="teams to nobody"),
        pytest.param(
            Principal(),
            "environment",
            ", one of prod, staging",
            id="a vocabulary that all share to anybody",
        ),
        pytest.param(
            Principal(team="llm-open"),
            "service",
            ", one of support-assistant, support-digest",
            id="a team's services where the binding lists none",
        ),
        pytest.param(
            Principal(key_hash="key-platform"),
            "owner_team",
            ", one of team-platform, team-support",
            id="a shared key's teams",
        ),
    ],
)
def test_own_team_discloses_what_the_callers_binding_reaches(
    principal: Principal, field: str, expected: str
) -> None:
    refusal = refused(("ownership_missing", field), principal=principal)

    header = f"x-tallygate-{field.replace('_', '-')}"
    assert sentences(refusal).endswith(f"{header}{expected}.")


@pytest.mark.parametrize(
    ("principal", "disclose", "field"),
    [
        pytest.param(Principal(), "registry", "owner_team", id="a principal that nothing binds"),
        pytest.param(BOUND, "none", "owner_team", id="a contract that discloses nothing"),
        pytest.param(Principal(team="llm-open"), "own_team", "environment", id="no list"),
    ],
)
def test_a_conflict_lists_nothing_where_nothing_may_be_told(
    principal: Principal, disclose: str, field: str
) -> None:
    refusal = refused(
        ("ownership_conflict", field), principal=principal, contract={"disclose": disclose}
    )

    assert sentences(refusal).startswith(f"{field} is outside what this API key may claim; use")


def test_close_matches_are_named_first_and_a_long_list_is_cut() -> None:
    features = {f"feature-{letter}": {} for letter in "abcdefghij"} | {"ticket-triage": {}}

    refusal = refused(
        ("ownership_unknown", "feature"),
        claims={"feature": "tickets-triage"},
        registry={"features": features},
    )

    assert "one of ticket-triage, feature-a, " in refusal.message
    assert sentences(refusal).endswith("feature-g and 3 more.")


def test_the_openai_body_is_an_error_object_with_all_violations_for_programs() -> None:
    refusal = refused(MISSING, ("ownership_conflict", "service"))

    assert refusal.as_openai() == {
        "message": refusal.message,
        "type": "permission_error",
        "param": "service",
        "code": "ownership_conflict",
        "tallygate": {
            "decision_id": "dec-1",
            "violations": [
                {"code": "ownership_conflict", "field": "service"},
                {"code": "ownership_missing", "field": "feature"},
            ],
        },
    }


@pytest.mark.parametrize(
    ("refusal", "status", "openai", "anthropic"),
    [
        pytest.param(
            refused(MISSING), 400, "invalid_request_error", "invalid_request_error", id="missing"
        ),
        pytest.param(
            refused(("ownership_conflict", "service")),
            403,
            "permission_error",
            "permission_error",
            id="conflict",
        ),
        pytest.param(route_unknown("d"), 403, "permission_error", "permission_error", id="route"),
        pytest.param(unavailable("d"), 503, "server_error", "api_error", id="blind"),
        pytest.param(no_room("d"), 503, "server_error", "api_error", id="no room"),
    ],
)
def test_each_dialect_has_its_own_word_for_a_status(
    refusal: Refusal, status: int, openai: str, anthropic: str
) -> None:
    body = refusal.as_anthropic()

    assert refusal.http_status == status
    assert refusal.as_openai()["type"] == openai
    assert body["type"] == "error"
    assert body["error"]["type"] == anthropic
    assert body["error"]["message"] == refusal.message
    assert body["error"]["tallygate"] == refusal.extension
    assert not refusal.retriable


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        pytest.param(unavailable("dec-7"), "decision_unavailable", id="blind"),
        pytest.param(no_room("dec-7"), "spool_full", id="no room"),
        pytest.param(route_unknown("dec-7"), "route_unknown", id="unknown route"),
    ],
)
def test_a_refusal_that_is_not_the_callers_fault_names_no_field(
    refusal: Refusal, code: str
) -> None:
    assert refusal.code == code
    assert refusal.param is None
    assert refusal.violations == ()
    assert refusal.message.endswith("Decision dec-7.")


MARK: Final = "\N{SNOWMAN}"
FIELDS: Final = sorted(a_contract().fields)
CODES: Final = [
    f"ownership_{why}" for why in ["missing", "unknown", "retired", "malformed", "conflict"]
]


@given(
    values=st.dictionaries(
        st.sampled_from(FIELDS),
        st.builds(
            lambda known, more: MARK + known + more,
            st.sampled_from(["", *REGISTRY["teams"], *REGISTRY["services"], "ticket-triage"]),
            st.text(max_size=8),
        ),
    ),
    violations=st.lists(
        st.tuples(st.sampled_from(CODES), st.sampled_from([*FIELDS, BAGGAGE, "trace_id"])),
        min_size=1,
        max_size=6,
    ),
    disclose=st.sampled_from(["own_team", "registry", "none"]),
    principal=st.sampled_from([Principal(), BOUND, Principal(key_hash="key-platform")]),
    is_twice=st.booleans(),
)
def test_a_refusal_never_holds_what_the_caller_sent(
    values: dict[str, str],
    violations: list[tuple[str, str]],
    disclose: str,
    principal: Principal,
    is_twice: bool,
) -> None:
    refusal = refused(
        *violations,
        claims=values,
        conflicts=tuple(values) if is_twice else (),
        principal=principal,
        contract={"disclose": disclose},
    )

    assert MARK not in str(refusal.as_openai())
    assert MARK not in str(refusal.as_anthropic())
    assert refusal.http_status in {400, 403}


@given(field=st.sampled_from(FIELDS), code=st.sampled_from(CODES))
def test_own_team_never_names_another_teams_services_or_another_team(field: str, code: str) -> None:
    message = refused((code, field), claims={field: "team-search"}).message

    assert "team-search" not in message
    assert "search-api" not in message
