# ruff: noqa: E501 - the table of changes reads in rows
from __future__ import annotations

import pytest

from fakes.policy_folders import DOCUMENTS
from tallygate.adapters.files.strict_yaml import parse_yaml
from tallygate.application.policy_history import compare_with_base
from tallygate.errors import Problem

NOW = "2026-11-21T10:00:00Z"
PAST, LATER = "2026-06-30T00:00:00Z", "2027-06-30T00:00:00Z"
CENTER = '      - {from: "2026-01-01T00:00:00Z", cost_center: CC-1200, business_unit: customer-experience}\n'
ENDED = f'contact: "#support"\n    retired_at: "{PAST}"'
ENDS = f'contact: "#support"\n    retired_at: "{LATER}"'
LIVES = 'contact: "#support"'
MORE = CENTER.replace("2026-01-01", "2027-01-01").replace("CC-1200", "CC-1210")
BACKDATED = MORE.replace("2027-01-01", "2026-09-01")
RENAMED = CENTER.replace("CC-1200", "CC-7777")
SERVICE = "on_violation: reject"


def compare(
    base: dict[str, tuple[str, str]], head: dict[str, tuple[str, str]]
) -> tuple[Problem, ...]:
    documents = {
        name: parse_yaml(changed(name, head), f"policies/{name}/data.yaml") for name in DOCUMENTS
    }
    values = {name: parse_yaml(changed(name, base), name).value for name in DOCUMENTS}
    return compare_with_base(documents, values, NOW)


def changed(name: str, changes: dict[str, tuple[str, str]]) -> str:
    old, new = changes.get(name, ("", ""))
    assert old in DOCUMENTS[name]
    return DOCUMENTS[name].replace(old, new, 1) if old else DOCUMENTS[name]


def test_the_same_documents_have_the_same_history() -> None:
    assert compare({}, {}) == ()


CHANGES = [
    # what differs at base, what differs now, code, where, severity
    pytest.param({}, {"registry": ("team-support:", "team-helpdesk:")}, "id_removed", "teams", "error", id="a team renamed by its id"),
    pytest.param({}, {"registry": ("support-assistant:", "assistant:")}, "id_removed", "services", "error", id="a service renamed"),
    pytest.param({}, {"registry": ("prod: {}, ", "")}, "id_removed", "environments", "error", id="an environment deleted"),
    pytest.param({}, {"registry": ("{ticket-triage: {}}", "{}")}, "id_removed", "features", "error", id="a feature deleted"),
    pytest.param({"registry": ("quarantine:", "values: {region: {emea: {}}}\nquarantine:")}, {"registry": ("quarantine:", "values: {region: {}}\nquarantine:")}, "id_removed", "values.region", "error", id="another value deleted"),
    pytest.param({"registry": ("quarantine:", "values: {region: {emea: {}}}\nquarantine:")}, {}, "id_removed", "values.region", "error", id="all values of a field deleted"),
    pytest.param({"registry": (LIVES, ENDED)}, {}, "team_id_reused", "teams.team-support", "error", id="a retired team lives again"),
    pytest.param({"registry": (LIVES, ENDED)}, {"registry": (LIVES, ENDS)}, "team_id_reused", "teams.team-support", "error", id="a retired team lives for a while"),
    pytest.param({}, {"registry": (f"name: Support\n    cost_centers:\n{CENTER}", f"name: Logistics\n    cost_centers:\n{RENAMED}")}, "team_id_reused", "teams.team-support", "error", id="another name and another history"),
    pytest.param({"registry": (SERVICE, f'retired_at: "{PAST}"')}, {}, "id_reused", "services.support-assistant", "error", id="a retired service lives again"),
    pytest.param({"registry": (LIVES, ENDED)}, {"registry": (LIVES, ENDED.replace("2026-06", "2026-05"))}, "history_rewritten", "teams.team-support.retired_at", "error", id="an end that has passed is moved"),
    pytest.param({}, {"registry": (CENTER, RENAMED)}, "history_rewritten", "teams.team-support.cost_centers.0", "error", id="a cost center that has begun is edited"),
    pytest.param({"registry": (CENTER, CENTER + MORE.replace("2027", "2026").replace("01-01", "03-01"))}, {}, "history_rewritten", "teams.team-support.cost_centers.1", "error", id="one that has begun is taken out"),
    pytest.param({}, {"registry": (CENTER, CENTER + BACKDATED)}, "history_rewritten", "teams.team-support.cost_centers.1", "warning", id="a new one is backdated"),
    pytest.param({}, {"registry": (LIVES, ENDED)}, "retired_in_the_past", "teams.team-support.retired_at", "warning", id="a team ends before today"),
    pytest.param({}, {"overrides": ("2026-12-31T", "2027-01-20T")}, "override_extended", "support-assistant.ovr-2026-0007.expires_at", "warning", id="an override is extended"),
    pytest.param({}, {"overrides": ("[ownership_missing]", "[ownership_missing, ownership_malformed]")}, "override_widened", "support-assistant.ovr-2026-0007.codes", "warning", id="an override gets another code"),
    pytest.param({}, {"overrides": ("    environments: [prod]\n", "")}, "override_widened", "support-assistant.ovr-2026-0007.environments", "warning", id="an override gets every environment"),
    pytest.param({}, {"break_glass": ("services: [support-assistant]", "services: [support-assistant, billing-bot]")}, "override_widened", "bg-support-outage.services", "warning", id="break-glass gets another service"),
    pytest.param({}, {"break_glass": ("2026-12-31T", "2027-03-31T")}, "override_extended", "bg-support-outage.expires_at", "warning", id="break-glass is extended"),
    pytest.param({}, {"contract": ("default: report_only", "default: enforce")}, "contract_changed_silently", "version", "error", id="the contract changes without a version"),
    pytest.param({"contract": ("fields:", "version: 3\nfields:")}, {"contract": ("fields:", "version: 3\nspool_full_: x\nfields:")}, "contract_changed_silently", "version", "error", id="the version stays"),
    pytest.param({"contract": ("fields:", "version: 3\nfields:")}, {"contract": ("max_days: 90", "max_days: 91")}, "contract_changed_silently", "version", "error", id="the version is taken out"),
]  # fmt: skip


@pytest.mark.parametrize(("base", "head", "code", "where", "severity"), CHANGES)
def test_what_was_promised_never_to_change_is_found(
    base: dict[str, tuple[str, str]],
    head: dict[str, tuple[str, str]],
    code: str,
    where: str,
    severity: str,
) -> None:
    found = {problem.code: problem for problem in compare(base, head)}

    assert (found[code].where, found[code].severity) == (where, severity)
    assert found[code].remedy
    assert found[code].line


PLANS = [
    pytest.param({}, {"registry": (LIVES, ENDS)}, id="a team will end"),
    pytest.param({"registry": (LIVES, ENDS)}, {}, id="an end to come is called off"),
    pytest.param({"registry": (LIVES, ENDED)}, {"registry": (LIVES, ENDED)}, id="an end that stays"),
    pytest.param({}, {"registry": ("name: Support", "name: Customer Care")}, id="a team gets another name"),
    pytest.param({}, {"registry": (CENTER, CENTER + MORE)}, id="a cost center is appended"),
    pytest.param({"registry": (CENTER, CENTER + MORE)}, {"registry": (CENTER, CENTER + MORE.replace("CC-1210", "CC-1220"))}, id="one to come is edited"),
    pytest.param({"registry": (CENTER, CENTER + MORE)}, {}, id="one to come is called off"),
    pytest.param({}, {"registry": ("{prod: {}", "{qa: {}, prod: {}")}, id="an environment more"),
    pytest.param({}, {"overrides": ("2026-12-31T", "2026-12-01T")}, id="an override ends sooner"),
    pytest.param({}, {"overrides": ('expires_at: "2026-12-31T00:00:00Z"\n    requested_by: support-lead\n    approved_by: finops-lead\n    reason: The old client cannot send it yet.\n    ticket: SUP-7', 'expires_at: "2027-01-20T00:00:00Z"\n    requested_by: support-lead\n    approved_by: finops-lead\n    reason: It takes longer.\n    ticket: SUP-9')}, id="an extension with a ticket of its own"),
    pytest.param({}, {"contract": ("modes: {default: report_only}", "version: 1\nmodes: {default: enforce}")}, id="the contract gets its first version"),
    pytest.param({"contract": ("fields:", "version: 3\nfields:")}, {"contract": ("fields:", "version: 4\nspool_full_: x\nfields:")}, id="the version rises"),
    pytest.param({}, {"contract": ("fields:", "version: 1\nfields:")}, id="a version and no change"),
]  # fmt: skip


@pytest.mark.parametrize(("base", "head"), PLANS)
def test_plans_and_additions_are_in_order(
    base: dict[str, tuple[str, str]], head: dict[str, tuple[str, str]]
) -> None:
    assert compare(base, head) == ()


def test_a_base_that_had_no_documents_promised_nothing() -> None:
    documents = {name: parse_yaml(text, name) for name, text in DOCUMENTS.items()}

    assert compare_with_base(documents, {}, NOW) == ()
    assert compare_with_base(documents, {"registry": None, "overrides": ["x"]}, NOW) == ()
