# METADATA
# title: Tests of the ownership contract
# scope: package
package tallygate.admission.ownership_test

import data.tallygate.admission.world_test as world

_with(fields) := world.asked({"ownership": fields})

# Each case changes an admitted call; `faults` are all the violations that it may bring.
_cases := {
	"nothing wrong": {"asked": world.question, "faults": set()},
	"absent": {"asked": world.lacking(["environment"]), "faults": {"ownership_missing environment"}},
	"empty": {"asked": _with({"workflow_id": ""}), "faults": {"ownership_missing workflow_id"}},
	"null": {"asked": _with({"workflow_id": null}), "faults": {"ownership_missing workflow_id"}},
	"a number": {"asked": _with({"workflow_id": 7}), "faults": {"ownership_missing workflow_id"}},
	"no workflow outside prod": {
		"asked": object.union(world.lacking(["workflow_id", "environment"]), {"ownership": {"environment": "dev"}}),
		"faults": set(),
	},
	"asked for by the service": {
		"asked": object.union(
			_with({"service": "ledger", "owner_team": "team-b"}),
			{"principal": {"team": "lt-b"}, "shapes": {"tenant_id_hash": "absent"}},
		),
		"faults": {"ownership_missing tenant_id_hash"},
	},
	"not in the registry": {"asked": _with({"owner_team": "nobody"}), "faults": {"ownership_unknown owner_team"}},
	"not required, and not in the registry": {"asked": _with({"feature": "juggling"}), "faults": {"ownership_unknown feature"}},
	"in a collection of values": {"asked": _with({"region": "eu"}), "faults": set()},
	"not in a collection of values": {"asked": _with({"region": "mars"}), "faults": {"ownership_unknown region"}},
	"not a field of the contract": {"asked": _with({"colour": "red"}), "faults": set()},
	"retired": {
		"asked": object.union(_with({"owner_team": "team-old"}), {"principal": {"team": ""}}),
		"faults": {"ownership_retired owner_team"},
	},
	"a second before it retires": {
		"asked": object.union(_with({"feature": "triage"}), {"now": "2026-12-14T23:59:59Z"}),
		"faults": set(),
	},
	"the second it retires": {
		"asked": object.union(_with({"feature": "triage"}), {"now": "2026-12-15T00:00:00Z"}),
		"faults": {"ownership_retired feature"},
	},
	"an e-mail address": {"asked": _with({"workflow_id": "jane.doe@example.com"}), "faults": {"ownership_malformed workflow_id"}},
	"a person's name": {"asked": _with({"workflow_id": "Jane Doe"}), "faults": {"ownership_malformed workflow_id"}},
	"malformed for the host, so not missing": {
		"asked": object.union(world.lacking(["workflow_id"]), {"malformed": ["workflow_id"]}),
		"faults": {"ownership_malformed workflow_id"},
	},
	"a malformed identifier": {
		"asked": world.asked({"shapes": {"user_id_hash": "malformed"}}),
		"faults": {"ownership_malformed user_id_hash"},
	},
	"malformed baggage, which is no field": {
		"asked": world.asked({"malformed": ["baggage"]}),
		"faults": {"ownership_malformed baggage"},
	},
	"two values, so not missing and not malformed": {
		"asked": world.asked({"shapes": {"tenant_id_hash": "malformed"}, "conflicts": ["tenant_id_hash"]}),
		"faults": {"ownership_conflict tenant_id_hash"},
	},
	"none of a group": {
		"asked": object.union(_with({"service": "quarantined"}), {"shapes": {"tenant_id_hash": "absent"}}),
		"faults": {"ownership_missing tenant_id_hash"},
	},
	"the other one of a group": {
		"asked": object.union(_with({"service": "quarantined"}), {"shapes": {"tenant_id_hash": "absent", "user_id_hash": "ok"}}),
		"faults": set(),
	},
	"none of a group elsewhere": {
		"asked": object.union(_with({"service": "quarantined", "environment": "dev"}), {"shapes": {"tenant_id_hash": "absent"}}),
		"faults": set(),
	},
	"none of a group, of another service": {
		"asked": object.union(_with({"service": "chat"}), {"shapes": {"tenant_id_hash": "absent"}}),
		"faults": set(),
	},
}

_outcomes := {0: {"admit"}, 1: {"reject", "quarantine"}}

test_violations[name] if {
	some name, case in _cases
	decision := world.decide(case.asked)
	world.faults(decision) == case.faults
	decision.would_action in _outcomes[count(case.faults)]
}

_contract(changes) := {"contract": object.union(world.contract, changes)}

test_a_group_without_filters_counts_everywhere if {
	asked := object.union(_with({"service": "chat", "environment": "dev"}), {"shapes": {"tenant_id_hash": "absent"}})
	decision := world.decide_in(asked, _contract({"one_of": [{"fields": ["user_id_hash", "tenant_id_hash"]}]}))
	world.faults(decision) == {"ownership_missing user_id_hash"}
}

# Fields that nothing can prove are never good, however full they are.
test_a_required_field_that_the_contract_does_not_describe_is_unknown[name] if {
	some name, case in {
		"no entry": {"field": "colour", "fields": {}},
		"no kind": {"field": "colour", "fields": {"colour": {}}},
		"another kind": {"field": "colour", "fields": {"colour": {"kind": "magic"}}},
		"text under an identifier": {"field": "colour", "fields": {"colour": {"kind": "identifier"}}},
	}
	contract := _contract({"fields": case.fields, "required": {"default": ["owner_team", "colour"]}})
	decision := world.decide_in(_with({"colour": "red"}), contract)
	world.faults(decision) == {"ownership_unknown colour"}
	decision.action == "reject"
}

test_a_pattern_field_without_a_pattern_is_malformed if {
	decision := world.decide_in(_with({"colour": "red"}), _contract({"fields": {"colour": {"kind": "pattern"}}}))
	world.faults(decision) == {"ownership_malformed colour"}
}

test_a_retirement_that_cannot_be_read_has_happened[name] if {
	some name, date in {"null": null, "false": false, "a day": "2030-01-01", "a word": "soon", "a number": 2030}
	registry := object.union(
		object.remove(world.registry, ["features"]),
		{"features": {"triage": {"retired_at": date}}},
	)
	decision := world.decide_in(_with({"feature": "triage"}), {"registry": registry})
	world.faults(decision) == {"ownership_retired feature"}
}
