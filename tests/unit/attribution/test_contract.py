from __future__ import annotations

import pytest

from fakes.contracts import a_contract, a_registry
from tallygate.domain.attribution.contract import (
    Binding,
    FieldKind,
    Limits,
    Principal,
    contract_from_data,
    registry_from_data,
)


def test_a_field_can_always_arrive_under_its_own_name_and_under_its_aliases() -> None:
    contract = a_contract()

    names = contract.fields["owner_team"].names
    assert names.headers == ("x-tallygate-owner-team", "x-team-id")
    assert names.baggage == ("owner_team", "team_id")
    assert names.metadata == ("owner_team", "team_id")
    assert contract.fields["owner_team"].header == "x-tallygate-owner-team"


def test_every_arrival_name_leads_to_its_field_and_says_whether_the_value_is_raw() -> None:
    contract = a_contract()
    tenant = contract.fields["tenant_id_hash"]

    assert contract.by_header["x-customer-id-hash"] == (tenant, False)
    assert contract.by_header["x-tallygate-tenant-id"] == (tenant, True)
    assert contract.by_baggage["tenant_id"] == (tenant, True)
    assert contract.by_metadata["customer_id_hash"] == (tenant, False)


def test_a_fields_own_name_goes_before_another_ones_raw_name() -> None:
    contract = a_contract(
        fields={
            "tenant_id": {"kind": "vocabulary"},
            "tenant_id_hash": {"kind": "identifier", "hash_from": {"metadata": ["tenant_id"]}},
        }
    )

    assert contract.by_metadata["tenant_id"] == (contract.fields["tenant_id"], False)


def test_kinds_and_patterns_are_read() -> None:
    fields = a_contract().fields

    assert fields["owner_team"].kind is FieldKind.VOCABULARY
    assert fields["workflow_id"].kind is FieldKind.PATTERN
    assert fields["initiator"].kind is FieldKind.IDENTIFIER
    assert fields["initiator"].pattern is None
    pattern = fields["workflow_id"].pattern
    assert pattern is not None
    assert pattern.fullmatch("nightly-digest")


def test_a_pattern_means_ascii_as_it_does_to_the_policy() -> None:
    pattern = a_contract(fields={"w": {"kind": "pattern", "pattern": r"^\d+$"}}).fields["w"].pattern

    assert pattern is not None
    assert pattern.fullmatch("12")
    assert not pattern.fullmatch("\u0661\u0662")


def test_an_unknown_kind_is_not_taken() -> None:
    with pytest.raises(ValueError, match="number"):
        a_contract(fields={"seats": {"kind": "number"}})


def test_a_contract_of_fields_alone_has_the_cautious_defaults() -> None:
    contract = contract_from_data({"fields": {}})

    assert contract.limits == Limits()
    assert contract.disclose == "own_team"
    assert contract.spool_full == "refuse"
    assert contract.fail_open == frozenset()
    assert contract.default_mode == "report_only"
    assert contract.unbound_mode == "report_only"


def test_an_empty_registry_knows_nobody() -> None:
    registry = registry_from_data({})

    assert registry.values == {"owner_team": (), "service": (), "environment": (), "feature": ()}
    assert registry.binding_of(Principal(team="llm-support", key_hash="key-platform")) is None


def test_the_registry_lists_values_by_field_and_models_by_group() -> None:
    registry = a_registry()

    assert registry.values["owner_team"] == ("team-support", "team-search", "team-platform")
    assert registry.values["region"] == ("eu-west", "us-east")
    assert registry.model_groups == {
        "gpt-5.4": "frontier",
        "gpt-5.4-mini": "standard",
        "claude-haiku": "standard",
    }


@pytest.mark.parametrize(
    ("principal", "team"),
    [
        pytest.param(Principal(), None, id="nobody"),
        pytest.param(Principal(team="llm-unheard-of"), None, id="a team that nothing binds"),
        pytest.param(Principal(key_hash="key-unheard-of"), None, id="a key that nothing binds"),
        pytest.param(Principal(team="llm-support"), "team-support", id="a bound team"),
        pytest.param(
            Principal(team="llm-search", key_hash="key-unheard-of"),
            "team-search",
            id="an unbound key of a bound team",
        ),
        pytest.param(
            Principal(team="llm-search", key_hash="key-platform"),
            "team-platform",
            id="the key's own binding goes before its team's",
        ),
    ],
)
def test_a_principal_is_bound_by_its_key_else_by_its_team(
    principal: Principal, team: str | None
) -> None:
    binding = a_registry().binding_of(principal)

    assert (binding.team if binding else None) == team


@pytest.mark.parametrize(
    ("binding", "shared"),
    [
        pytest.param(Binding(team="team-support"), False, id="one team's"),
        pytest.param(Binding(team="team-platform", may_charge=("team-a",)), True, id="shared"),
    ],
)
def test_a_principal_that_may_charge_others_is_shared(binding: Binding, shared: bool) -> None:
    assert binding.is_shared is shared
