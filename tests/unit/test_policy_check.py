# ruff: noqa: E501 - the table of faults reads in rows
from __future__ import annotations

import pytest

from fakes.policy_folders import CONTRACT, DOCUMENTS, OVERRIDES, REGISTRY, ROLES
from tallygate.adapters.files.strict_yaml import parse_yaml
from tallygate.application.policy_check import check_patterns, check_policies
from tallygate.errors import Problem

NOW = "2026-11-21T10:00:00Z"


def check(now: str = NOW, **changed: str) -> tuple[Problem, ...]:
    documents = {
        name: parse_yaml(text, f"policies/{name}/data.yaml")
        for name, text in {**DOCUMENTS, **changed}.items()
    }
    return check_policies(documents, now)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_good_policies_have_no_problem() -> None:
    assert check() == ()


def test_only_the_contract_and_the_registry_are_needed() -> None:
    documents = {name: parse_yaml(DOCUMENTS[name], name) for name in ("contract", "registry")}

    assert check_policies(documents, NOW) == ()


CASES = [
    # document, what stands there, what is put in its place, code, part of the message
    ("contract", "modes: {default: report_only}", "modes: {default: enfroce}", "unknown_mode", "Did you mean enforce?"),
    ("contract", "unbound: {mode: report_only", "unbound: {mode: lenient", "unknown_mode", "by_service"),
    ("contract", 'services: ["*"]', "services: [suport-assistant]", "unknown_reference", "Did you mean support-assistant?"),
    ("contract", "fail_open: []", "fail_open: [nobody]", "unknown_reference", "there is no service nobody"),
    ("contract", "default: [owner_team, service, environment]", "default: []", "nothing_required", "Require at least"),
    ("contract", "default: [owner_team, service", "default: [owner_taem, service", "unknown_reference", "Did you mean owner_team?"),
    ("contract", "{prod: [workflow_id]}", "{prdo: [workflow_id]}", "unknown_reference", "Did you mean prod?"),
    ("contract", "services: {}", "services: {nobody: [feature]}", "unknown_reference", "no service nobody"),
    ("contract", "one_of: []", "one_of: [{fields: [tenant_id]}]", "unknown_reference", "Did you mean tenant_id_hash?"),
    ("contract", "one_of: []", "one_of: [{fields: [feature], environments: [qa]}]", "unknown_reference", "no environment qa"),
    ("contract", "feature: {kind: vocabulary}", "feature: {kind: vocabluary}", "unknown_kind", "Did you mean vocabulary?"),
    ("contract", "feature: {kind: vocabulary}", "region: {kind: vocabulary}", "no_vocabulary", "values: {region"),
    ("contract", "feature: {kind: vocabulary}", "feature: {kind: identifier}", "bad_pattern", "needs a pattern"),
    ("contract", "^[a-z0-9-]{1,64}$", "^[a-z0-9-{1,64}$", "bad_pattern", "is not a regular expression"),
    ("contract", "^[a-z0-9-]{1,64}$", "^(?=a)[a-z]+$", "bad_pattern", "RE2 does not have"),
    ("contract", "^[a-z0-9-]{1,64}$", "^(a+)+$", "bad_pattern", "exponential"),
    ("contract", "^[a-z0-9-]{1,64}$", "[a-z0-9-]{1,64}", "open_pattern", "Put ^ before"),
    ("contract", "feature: {kind: vocabulary}", "feature: {kind: vocabulary, headers: [X-Tallygate-Service]}", "alias_taken", "stands for the field service"),
    ("contract", "feature: {kind: vocabulary}", "feature: {kind: vocabulary, metadata: [service]}", "alias_taken", "stands for the field service"),
    ("registry", "owner_team: team-support", "owner_team: team-suport", "unknown_reference", "Did you mean team-support?"),
    ("registry", "prod: enforce", "prod: on-fire", "unknown_mode", "on-fire is not a mode"),
    ("registry", "prod: enforce", "qa: enforce", "unknown_reference", "no environment qa"),
    ("registry", "feature: ticket-triage", "feature: ticket-traige", "unknown_reference", "Did you mean ticket-triage?"),
    ("registry", "defaults: {feature: ticket", "defaults: {featur: ticket", "unknown_reference", "Did you mean feature?"),
    ("registry", "on_violation: reject", "on_violation: reject\n    schedule: [{from: soon, mode: enforce}]", "bad_instant", "soon is not an instant"),
    ("registry", "on_violation: reject", 'on_violation: reject\n    schedule: [{from: "2026-02-30T00:00:00Z", mode: enforce}]', "bad_instant", "2026-02-30"),
    ("registry", "on_violation: reject", 'on_violation: reject\n    schedule: [{from: "2026-12-01T00:00:00Z", mode: strict}]', "unknown_mode", "strict is not a mode"),
    ("registry", "on_violation: reject", 'on_violation: reject\n    schedule: [{from: "2026-12-01T00:00:00Z", mode: enforce, environment: qa}]', "unknown_reference", "no environment qa"),
    ("registry", "on_violation: reject", 'on_violation: reject\n    schedule: [{from: "2026-12-02T00:00:00Z", mode: enforce}, {from: "2026-12-01T00:00:00Z", mode: enforce}]', "dates_out_of_order", "order of their dates"),
    ("registry", 'contact: "#support"', 'contact: x\n    retired_at: "2030-13-01T00:00:00Z"', "bad_instant", "2030-13-01"),
    ("registry", 'contact: "#support"', 'contact: x\n    retired_at: "2026-06-30T00:00:00Z"', "retired_reference", "was retired at"),
    ("registry", "{team: team-support, services", "{team: team-suppotr, services", "unknown_reference", "Did you mean team-support?"),
    ("registry", "services: [support-assistant]", "services: [support-assist]", "unknown_reference", "Did you mean support-assistant?"),
    ("registry", "environments: [prod]", "environments: [porduction]", "unknown_reference", "no environment porduction"),
    ("registry", "environments: [prod]", "may_charge: [team-x]", "unknown_reference", "no team team-x"),
    ("registry", "quarantine: {owner_team: team-platform", "quarantine: {owner_team: team-q", "unknown_reference", "no team team-q"),
    ("registry", "model_groups: [standard]}", "model_groups: [cheap]}", "unknown_reference", "no model group cheap"),
    ("registry", "standard: [gpt-5.4-mini]", "standard: [gpt-5.4]", "model_in_two_groups", "Keep it in one group"),
    ("overrides", "support-assistant:", "support-asistant:", "unknown_reference", "Did you mean support-assistant?"),
    ("overrides", "[ownership_missing]", "[ownership_mising]", "unknown_reference", "Did you mean ownership_missing?"),
    ("overrides", "[ownership_missing]", "[ownership_conflict]", "never_waived", "cannot be waived"),
    ("overrides", "[workflow_id]", "[workflow]", "unknown_reference", "Did you mean workflow_id?"),
    ("overrides", "environments: [prod]", "environments: [live]", "unknown_reference", "no environment live"),
    ("overrides", "2026-12-31T", "2027-12-31T", "override_too_long", "425 days; the contract allows 90"),
    ("overrides", "2026-12-31T", "2026-11-15T", "override_expired", "excuses nothing"),
    ("overrides", "2026-12-31T", "2026-10-31T", "override_never", "before it starts"),
    ("overrides", '"2026-12-31T00:00:00Z"', "next year", "bad_instant", "next year is not an instant"),
    ("overrides", '    expires_at: "2026-12-31T00:00:00Z"\n', "", "bad_instant", "expires_at"),
    ("overrides", "requested_by: support-lead", "requested_by: Finops-Lead", "self_approved", "the same person"),
    ("overrides", "approved_by: finops-lead", "approved_by: eve", "not_an_approver", "may not approve"),
    ("roles", "overrides: [finops-lead]", "overrides: []", "not_an_approver", "it lists nobody"),
    ("contract", "tenant_id_hash: {kind: identifier,", "tenant_id_hash: {kind: identifier, headers: [X-Api-Key],", "credential_header", "carries a credential"),
    ("roles", "teams: [llm-platform]", "teams: [llm-taem-1]", "holder_unknown", "Did you mean llm-team-1?"),
    ("break_glass", "[support-assistant]", "[support-asistant]", "unknown_reference", "Did you mean support-assistant?"),
    ("break_glass", "[ownership_missing]", "[ownership_mising]", "unknown_reference", "Did you mean ownership_missing?"),
    ("break_glass", "[ownership_missing]", "[ownership_conflict]", "never_waived", "cannot be waived"),
    ("break_glass", "[tenant_id_hash]", "[tenant]", "unknown_reference", "Did you mean tenant_id_hash?"),
    ("break_glass", "environments: [prod]", "environments: [live]", "unknown_reference", "no environment live"),
    ("break_glass", "max_hours: 8", "max_hours: 25", "break_glass_too_long", "the contract allows 24"),
    ("break_glass", "requested_by: support-lead", "requested_by: Finops-Lead", "self_approved", "the same person"),
    ("break_glass", "approved_by: finops-lead", "approved_by: eve", "not_an_approver", "may not approve"),
    ("break_glass", "role: incident-commander", "role: incident-comander", "role_without_holders", "Did you mean incident-commander?"),
    ("break_glass", "2026-12-31T", "2026-11-15T", "break_glass_expired", "cannot be activated"),
    ("break_glass", '"2026-12-31T00:00:00Z"', "next year", "bad_instant", "next year is not an instant"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "old", "new", "code", "part"), CASES, ids=[f"{c[3]}: {c[2][:40]}" for c in CASES]
)
def test_each_fault_is_found_where_it_stands(
    document: str, old: str, new: str, code: str, part: str
) -> None:
    text = DOCUMENTS[document]
    assert old in text

    found = [p for p in check(**{document: text.replace(old, new, 1)}) if p.code == code]

    assert found
    assert part in str(found[0])
    assert found[0].remedy
    assert found[0].file.startswith("policies/")
    assert found[0].line


WARNINGS = {
    "open_pattern",
    "retired_reference",
    "override_expired",
    "break_glass_expired",
    "holder_unknown",
}


@pytest.mark.parametrize(
    ("document", "old", "new", "code", "part"), CASES, ids=[f"{c[3]}: {c[2][:40]}" for c in CASES]
)
def test_what_the_policy_bears_is_a_warning_and_all_else_an_error(
    document: str, old: str, new: str, code: str, part: str
) -> None:
    found = check(**{document: DOCUMENTS[document].replace(old, new, 1)})

    severity = {p.severity for p in found if p.code == code}
    assert severity == {"warning" if code in WARNINGS else "error"}


def test_the_line_is_that_of_the_value() -> None:
    text = REGISTRY.replace("owner_team: team-support", "owner_team: team-suport")

    (problem,) = check(registry=text)

    assert problem.line == line_of(text, "owner_team: team-suport")
    assert str(problem).startswith(f"policies/registry/data.yaml:{problem.line}:")
    assert problem.where == "services.support-assistant.owner_team"


def test_an_override_that_expires_this_second_has_expired() -> None:
    found = check(now="2026-12-31T00:00:00Z")

    assert [p.code for p in found] == ["override_expired", "break_glass_expired"]
    assert check(now="2026-12-30T23:59:59Z") == ()


def test_an_override_of_exactly_the_longest_term_is_allowed() -> None:
    exactly = OVERRIDES.replace("2026-12-31T00:00:00Z", "2027-01-30T00:00:00Z")
    longer = OVERRIDES.replace("2026-12-31T00:00:00Z", "2027-01-30T00:00:01Z")

    assert check(overrides=exactly) == ()
    assert [p.code for p in check(overrides=longer)] == ["override_too_long"]


def test_the_contract_says_how_long_an_activation_may_be() -> None:
    shorter = CONTRACT.replace("max_days: 90", "max_days: 90, max_break_glass_hours: 7")

    assert [p.code for p in check(contract=shorter)] == ["break_glass_too_long"]
    assert check(contract=shorter.replace("hours: 7", "hours: 8")) == ()


@pytest.mark.parametrize(
    "roles",
    [
        pytest.param(ROLES[: ROLES.index("holders")], id="no holders"),
        pytest.param(
            ROLES[: ROLES.index("    teams")].replace("commander:", "commander: {}"), id="empty"
        ),
    ],
)
def test_a_role_that_nobody_holds_activates_nothing(roles: str) -> None:
    (problem,) = check(roles=roles)

    assert problem.code == "role_without_holders"
    assert "None exists yet." in problem.remedy


def test_one_override_id_names_one_override() -> None:
    registry = REGISTRY.replace(
        "environments: {prod: {}",
        "  other-service: {owner_team: team-support, modes: {default: enforce}}\n"
        "environments: {prod: {}",
    )
    overrides = OVERRIDES + OVERRIDES.replace("support-assistant:", "other-service:")

    assert [p.code for p in check(registry=registry, overrides=overrides)] == ["id_taken"]


def test_quarantine_needs_an_owner() -> None:
    registry = REGISTRY.replace("on_violation: reject", "on_violation: quarantine").replace(
        "quarantine: {owner_team: team-platform, model_groups: [standard]}\n", ""
    )

    assert [p.code for p in check(registry=registry)] == ["no_quarantine_owner"]


def test_a_field_of_its_own_takes_its_values_from_the_registry() -> None:
    contract = CONTRACT.replace("  feature: {", "  region: {kind: vocabulary}\n  feature: {")
    registry = REGISTRY.replace("defaults: {", "defaults: {region: emae, ")
    with_values = registry + "values: {region: {emea: {}, apac: {}}}\n"

    (problem,) = check(contract=contract, registry=with_values)

    assert "there is no region emae. Did you mean emea?" in str(problem)


def test_two_schedule_steps_may_share_a_date_and_two_cost_centers_may_not() -> None:
    step = '{from: "2026-12-01T00:00:00Z", mode: enforce, percent: 5'
    two = f"[{step}, environment: prod}}, {step}, environment: staging}}]"
    schedule = REGISTRY.replace(
        "on_violation: reject", f"on_violation: reject\n    schedule: {two}"
    )
    entry = '      - {from: "2026-01-01T00:00:00Z", cost_center: CC-1200, business_unit: x}\n'
    centers = REGISTRY.replace('    contact: "#support"', f"{entry}    contact: x")

    assert check(registry=schedule) == ()
    assert [p.code for p in check(registry=centers)] == ["dates_out_of_order"]


def test_a_long_list_of_names_is_cut() -> None:
    many = ", ".join(f"env-{n}: {{}}" for n in range(30))
    registry = REGISTRY.replace(
        "environments: {prod: {}, staging: {}}", f"environments: {{{many}}}"
    )

    problem = next(p for p in check(registry=registry) if p.code == "unknown_reference")

    assert problem.remedy.endswith(", ...")


def test_patterns_are_checked_with_the_contract_alone() -> None:
    broken = parse_yaml(CONTRACT.replace("^[a-z0-9-]{1,64}$", "(", 1), "contract")

    assert [p.code for p in check_patterns(broken)] == ["bad_pattern"]
    assert check_patterns(parse_yaml(CONTRACT, "contract")) == ()
