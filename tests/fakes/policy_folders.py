"""A policies folder small enough to break one line at a time."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

from tallygate.adapters.engines.opa import Opa, find_opa, write_compiled
from tallygate.adapters.files.policies import read_policies

ADMISSION: Final = """\
package tallygate.admission

# METADATA
# entrypoint: true
decision := {
	"action": action,
	"would_action": action,
	"mode": "enforce",
	"mode_source": "service",
	"violations": violations,
	"waived": [],
	"notices": [],
	"ownership": {},
	"valid_until": "9999-12-31T23:59:59Z",
}

default action := "reject"

action := "admit" if count(violations) == 0

violations contains {"code": "ownership_missing", "field": field} if {
	some field in data.contract.required.default
	object.get(input, ["ownership", field], "") == ""
}
"""

CONTRACT: Final = """\
fields:
  owner_team: {kind: vocabulary}
  service: {kind: vocabulary}
  environment: {kind: vocabulary}
  feature: {kind: vocabulary}
  workflow_id: {kind: pattern, pattern: "^[a-z0-9-]{1,64}$"}
  tenant_id_hash: {kind: identifier, pattern: "^[a-z0-9]{1,16}_[0-9a-f]{32}$"}
required:
  default: [owner_team, service, environment]
  environments: {prod: [workflow_id]}
  services: {}
one_of: []
modes: {default: report_only}
unbound: {mode: report_only, services: ["*"]}
disclose: own_team
fail_open: []
spool_full: refuse
overrides: {max_days: 90}
limits: {value_chars: 128, baggage_bytes: 8192, header_bytes: 8192}
"""

REGISTRY: Final = """\
teams:
  team-support:
    name: Support
    cost_centers:
      - {from: "2026-01-01T00:00:00Z", cost_center: CC-1200, business_unit: customer-experience}
    contact: "#support"
  team-platform:
    name: Platform
    cost_centers:
      - {from: "2026-01-01T00:00:00Z", cost_center: CC-1300, business_unit: engineering}
    contact: "#platform"
services:
  support-assistant:
    owner_team: team-support
    modes: {default: report_only, prod: enforce}
    on_violation: reject
    defaults: {feature: ticket-triage}
environments: {prod: {}, staging: {}}
features: {ticket-triage: {}}
model_groups: {frontier: [gpt-5.4], standard: [gpt-5.4-mini]}
principals:
  teams:
    llm-team-1: {team: team-support, services: [support-assistant], environments: [prod]}
  keys: {}
quarantine: {owner_team: team-platform, model_groups: [standard]}
"""

OVERRIDES: Final = """\
support-assistant:
  ovr-2026-0007:
    codes: [ownership_missing]
    fields: [workflow_id]
    environments: [prod]
    starts_at: "2026-11-01T00:00:00Z"
    expires_at: "2026-12-31T00:00:00Z"
    requested_by: support-lead
    approved_by: finops-lead
    reason: The old client cannot send it yet.
    ticket: SUP-7
"""

ROLES: Final = """\
approvers:
  overrides: [finops-lead]
  rates: [finops-lead]
  adjustments: [finops-lead]
  close: [finops-lead]
holders:
  incident-commander:
    teams: [llm-platform]
    keys: ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
"""

BREAK_GLASS: Final = """\
bg-support-outage:
  role: incident-commander
  services: [support-assistant]
  codes: [ownership_missing]
  fields: [tenant_id_hash]
  environments: [prod]
  max_hours: 8
  requested_by: support-lead
  approved_by: finops-lead
  reason: An outage must not silence the agents.
  ticket: SUP-8
  expires_at: "2026-12-31T00:00:00Z"
"""

DOCUMENTS: Final = {
    "contract": CONTRACT,
    "registry": REGISTRY,
    "overrides": OVERRIDES,
    "roles": ROLES,
    "break_glass": BREAK_GLASS,
}
REGO_PATH: Final = "tallygate/admission/admission.rego"


def small_policies(folder: Path, **changed: str | None) -> Path:
    """Write the folder; a document given as None is left out."""
    for name, text in {**DOCUMENTS, **changed}.items():
        if text is not None:
            path = folder / name / "data.yaml"
            path.parent.mkdir(parents=True)
            path.write_text(text, encoding="utf-8")
    rego = folder / REGO_PATH
    rego.parent.mkdir(parents=True)
    rego.write_text(ADMISSION, encoding="utf-8")
    return folder


def real_opa() -> Opa:
    """Find the real opa; without one the test is skipped, and fails where CI=true."""
    opa = find_opa()
    if opa is None and os.environ.get("CI") == "true":
        pytest.fail("there is no opa on the PATH, and CI must have one (scripts/install-opa)")
    if opa is None:
        pytest.skip("there is no opa on the PATH (scripts/install-opa puts one there)")
    return opa


def compile_folder(folder: Path) -> Path:
    """Put policy.wasm and policy.lock into the folder, with the real opa."""
    write_compiled(folder, read_policies(folder).rego, real_opa())
    return folder


def path_without_opa(folder: Path) -> str:
    """Make a PATH on which there is no opa."""
    folder.mkdir(exist_ok=True)
    assert shutil.which("opa", path=str(folder)) is None
    return str(folder)
