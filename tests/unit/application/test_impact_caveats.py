from __future__ import annotations

from pathlib import Path

import pytest

from fakes.engines import FakeEngine
from fakes.policy_folders import CONTRACT, small_policies
from tallygate.adapters.files.policies import read_policies
from tallygate.application.impact_caveats import caveats_of
from tallygate.application.replay import PolicyAt
from tallygate.domain.attribution.contract import contract_from_data, registry_from_data
from tallygate.errors import Problem

HASHES = '{kind: identifier, pattern: "^[a-z0-9]{1,16}_[0-9a-f]{32}$"}'
WORKFLOW = '{kind: pattern, pattern: "^[a-z0-9-]{1,64}$"}'


def policy_in(folder: Path, contract: str) -> PolicyAt:
    policies = read_policies(small_policies(folder, contract=contract))
    return PolicyAt(
        name=folder.name,
        commit=None,
        engine=FakeEngine(),
        contract=contract_from_data(policies.data["contract"]),
        registry=registry_from_data(policies.data["registry"]),
        data=policies.data,
        documents=policies.documents,
    )


def caveats(folder: Path, contract: str) -> tuple[Problem, ...]:
    base, head = policy_in(folder / "base", CONTRACT), policy_in(folder / "head", contract)
    return caveats_of(base, head)


@pytest.mark.parametrize(
    ("old", "new", "code", "where", "told"),
    [
        (
            "required:\n",
            "  cost_code: {kind: vocabulary}\nrequired:\n",
            "field_added",
            "fields.cost_code",
            "counts as absent",
        ),
        (WORKFLOW, "{kind: vocabulary}", "kind_changed", "fields.workflow_id.kind", "not kept"),
        (
            HASHES,
            '{kind: pattern, pattern: "^[a-z0-9_]+$"}',
            "kind_changed",
            "fields.tenant_id_hash.kind",
            "only the shape",
        ),
        (
            "[0-9a-f]{32}",
            "[0-9a-f]{40}",
            "pattern_changed",
            "fields.tenant_id_hash.pattern",
            "the pattern of their day",
        ),
        (
            "[a-z0-9-]{1,64}",
            "[a-z0-9.-]{1,64}",
            "pattern_changed",
            "fields.workflow_id.pattern",
            "not accepted were not kept",
        ),
        (
            "service: {kind: vocabulary}",
            "service: {kind: vocabulary, headers: [x-app]}",
            "name_added",
            "fields.service.headers",
            "x-app (headers) was not read",
        ),
        (
            f"tenant_id_hash: {HASHES}",
            f"tenant_id_hash: {HASHES[:-1]}, hash_from: {{baggage: [tenant]}}}}",
            "name_added",
            "fields.tenant_id_hash.hash_from.baggage",
            "tenant (baggage) was not read",
        ),
        ("value_chars: 128", "value_chars: 64", "limit_changed", "limits.value_chars", "not kept"),
    ],
)
def test_what_recorded_calls_cannot_tell_is_said_with_its_place_in_head(
    tmp_path: Path, old: str, new: str, code: str, where: str, told: str
) -> None:
    changed = CONTRACT.replace(old, new, 1)
    assert changed != CONTRACT

    (caveat,) = caveats(tmp_path, changed)

    assert (caveat.code, caveat.where, caveat.severity) == (code, where, "warning")
    assert told in caveat.message
    assert caveat.file == str(tmp_path / "head" / "contract" / "data.yaml")
    line = changed.splitlines()[(caveat.line or 0) - 1]
    assert where.split(".")[1] in line


def test_a_name_that_is_read_no_more_still_counts(tmp_path: Path) -> None:
    named = CONTRACT.replace(
        "service: {kind: vocabulary}", "service: {kind: vocabulary, baggage: [a, b]}"
    )
    base = policy_in(tmp_path / "base", named)
    head = policy_in(tmp_path / "head", named.replace("[a, b]", "[b]"))

    (caveat,) = caveats_of(base, head)

    assert caveat.code == "name_removed"
    assert "a (baggage) is read no more" in caveat.message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("environments: {prod: [workflow_id]}", "environments: {}"),
        ("default: report_only", "default: enforce"),
        ("one_of: []", "one_of: [{fields: [tenant_id_hash, feature]}]"),
        (f"  workflow_id: {WORKFLOW}\n", ""),
    ],
)
def test_what_a_replay_can_tell_needs_no_caveat(tmp_path: Path, old: str, new: str) -> None:
    assert caveats(tmp_path, CONTRACT.replace(old, new, 1)) == ()
