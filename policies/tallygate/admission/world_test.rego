# METADATA
# title: A small world for the tests
# description: Every test replaces all base documents with these, so shipped data can change freely.
# scope: package
package tallygate.admission.world_test

import data.tallygate.admission

# METADATA
# title: The contract of the tests
contract := {
	"fields": {
		"owner_team": {"kind": "vocabulary"},
		"service": {"kind": "vocabulary"},
		"environment": {"kind": "vocabulary"},
		"feature": {"kind": "vocabulary"},
		"region": {"kind": "vocabulary"},
		"workflow_id": {"kind": "pattern", "pattern": "^[a-z][a-z0-9]*([-_][a-z0-9]+)*$"},
		"tenant_id_hash": {"kind": "identifier", "pattern": "^hk[0-9]+_[0-9a-f]{32}$"},
		"user_id_hash": {"kind": "identifier", "pattern": "^hk[0-9]+_[0-9a-f]{32}$"},
	},
	"required": {
		"default": ["owner_team", "service", "environment"],
		"environments": {"prod": ["workflow_id"]},
		"services": {"ledger": ["tenant_id_hash"]},
	},
	"one_of": [{
		"fields": ["tenant_id_hash", "user_id_hash"],
		"environments": ["prod"],
		"services": ["search", "quarantined"],
	}],
	"modes": {"default": "report_only"},
	"unbound": {"mode": "report_only", "services": ["*"]},
}

# METADATA
# title: The registry of the tests
registry := {
	"teams": {
		"team-a": {"cost_centers": [
			{"from": "2026-01-01T00:00:00Z", "cost_center": "CC-1", "business_unit": "one"},
			{"from": "2026-07-01T00:00:00Z", "cost_center": "CC-2", "business_unit": "two"},
			{"from": "2027-01-01T00:00:00Z", "cost_center": "CC-3", "business_unit": "three"},
		]},
		"team-b": {"cost_centers": [{"from": "2026-01-01T00:00:00Z", "cost_center": "CC-9", "business_unit": "nine"}]},
		"team-old": {"cost_centers": [], "retired_at": "2026-06-01T00:00:00Z"},
		"team-q": {"cost_centers": [{"from": "2026-01-01T00:00:00Z", "cost_center": "CC-Q", "business_unit": "q"}]},
	},
	"services": {
		"search": {"owner_team": "team-a", "modes": {"default": "report_only", "prod": "enforce"}},
		"chat": {"owner_team": "team-a", "modes": {"default": "report_only"}},
		"plain": {"owner_team": "team-a"},
		"quarantined": {"owner_team": "team-a", "modes": {"default": "enforce"}, "on_violation": "quarantine"},
		"ledger": {"owner_team": "team-b", "modes": {"default": "enforce"}},
		"ramp": {"owner_team": "team-a", "modes": {"default": "report_only"}, "schedule": [
			{"from": "2026-10-01T00:00:00Z", "mode": "enforce", "environment": "dev"},
			{"from": "2026-12-01T00:00:00Z", "mode": "enforce", "environment": "prod", "percent": 25},
			{"from": "2027-02-01T00:00:00Z", "mode": "report_only"},
			{"from": "2027-02-01T00:00:00Z", "mode": "enforce"},
			{"from": "2027-03-01T00:00:00Z", "mode": "report_only"},
		]},
		"lenient": {"owner_team": "team-l", "modes": {"default": "report_only"}},
		"shared": {"owner_team": "team-c", "modes": {"default": "enforce"}, "canary": {"default": 10, "prod": 25}},
		"grown": {"owner_team": "team-c", "modes": {"default": "report_only"}, "canary": {"default": 0}, "schedule": [
			{"from": "2026-12-01T00:00:00Z", "mode": "enforce", "canary": 10},
			{"from": "2027-01-01T00:00:00Z", "mode": "enforce", "canary": 50, "percent": 20},
			{"from": "2027-02-01T00:00:00Z", "mode": "enforce"},
			{"from": "2027-03-01T00:00:00Z", "mode": "enforce", "canary": 10},
			{"from": "2027-03-01T00:00:00Z", "mode": "enforce", "canary": 30},
			{"from": "2027-03-01T00:00:00Z", "mode": "report_only"},
		]},
	},
	"environments": {"prod": {}, "dev": {}},
	"features": {"triage": {"retired_at": "2026-12-15T00:00:00Z"}},
	"values": {"region": {"eu": {}}},
	"principals": {
		"teams": {
			"lt-a": {"team": "team-a"},
			"lt-b": {"team": "team-b", "services": ["ledger"], "environments": ["prod"]},
			"lt-shared": {"team": "team-a", "may_charge": ["team-b"]},
			"lt-lenient": {"team": "team-l"},
			"lt-canary": {"team": "team-c"},
			"lt-nothing": {"team": "team-n"},
		},
		"keys": {"k1": {"team": "team-b"}},
	},
	"quarantine": {"owner_team": "team-q", "model_groups": ["standard"]},
}

# METADATA
# title: The overrides of the tests
overrides := {"search": {"ovr-1": override}}

# METADATA
# title: An override that excuses a missing tenant in November
override := {
	"codes": ["ownership_missing"],
	"fields": ["tenant_id_hash"],
	"environments": ["prod"],
	"starts_at": "2026-11-01T00:00:00Z",
	"expires_at": "2026-12-01T00:00:00Z",
	"requested_by": "a-lead",
	"approved_by": "finops-lead",
	"reason": "r",
	"ticket": "T-1",
}

# METADATA
# title: The break-glass entries of the tests
break_glass := {"bg-1": glass}

# METADATA
# title: An entry that excuses missing fields of the service search in prod, until December
glass := {
	"role": "incident-commander",
	"services": ["search", "chat"],
	"codes": ["ownership_missing"],
	"fields": ["workflow_id"],
	"environments": ["prod"],
	"max_hours": 8,
	"requested_by": "a-lead",
	"approved_by": "finops-lead",
	"reason": "r",
	"ticket": "T-2",
	"expires_at": "2026-12-01T00:00:00Z",
}

# METADATA
# title: An activation of it, from nine to five on the day of the question
activation := {"id": "bg-1", "from": "2026-11-21T09:00:00Z", "until": "2026-11-21T17:00:00Z"}

# METADATA
# title: A question that is admitted under enforce
question := {
	"call": {"route": "/v1/chat/completions", "call_type": "acompletion", "model_group": "standard", "stream": false},
	"ownership": {"owner_team": "team-a", "service": "search", "environment": "prod", "workflow_id": "nightly"},
	"sources": {},
	"shapes": {"tenant_id_hash": "ok", "user_id_hash": "absent", "trace_id": "received"},
	"conflicts": [],
	"malformed": [],
	"principal": {"team": "lt-a", "key": ""},
	"bucket": 50,
	"now": "2026-11-21T10:00:00Z",
}

# METADATA
# title: The admitted question with some parts changed
asked(changes) := object.union(question, changes)

# METADATA
# title: The admitted question without some ownership fields
lacking(fields) := object.union(
	object.remove(question, ["ownership"]),
	{"ownership": object.remove(question.ownership, fields)},
)

# METADATA
# title: The decision on a question in this world
decide(asked_now) := decide_in(asked_now, {})

# METADATA
# title: The decision on a question in a world with some documents replaced
decide_in(asked_now, world) := decision if {
	decision := admission.decision with input as asked_now
		with data.contract as object.get(world, "contract", contract)
		with data.registry as object.get(world, "registry", registry)
		with data.overrides as object.get(world, "overrides", overrides)
		with data.break_glass as object.get(world, "break_glass", break_glass)
		with data.roles as {}
}

# METADATA
# title: The violations of a decision as text, code and field
faults(decision) := {sprintf("%s %s", [v.code, v.field]) | some v in decision.violations}
