# METADATA
# title: Tests of who pays
# scope: package
package tallygate.admission.payer_test

import data.tallygate.admission.world_test as world

_as(principal, fields) := world.asked({"principal": principal, "ownership": fields})

_cases := {
	"the claimed team": {
		"asked": world.question,
		"pays": {"owner_team": "team-a", "cost_center": "CC-2", "business_unit": "two"},
	},
	"the claimed team of a shared principal": {
		"asked": _as({"team": "lt-shared"}, {"owner_team": "team-b", "service": "ledger"}),
		"pays": {"owner_team": "team-b", "cost_center": "CC-9", "business_unit": "nine"},
	},
	"the second before a cost center changes": {
		"asked": world.asked({"now": "2026-06-30T23:59:59Z"}),
		"pays": {"owner_team": "team-a", "cost_center": "CC-1", "business_unit": "one"},
	},
	"the second a cost center changes": {
		"asked": world.asked({"now": "2026-07-01T00:00:00Z"}),
		"pays": {"owner_team": "team-a", "cost_center": "CC-2", "business_unit": "two"},
	},
	"before the first cost center": {
		"asked": world.asked({"now": "2025-12-31T23:59:59Z"}),
		"pays": {"owner_team": "team-a"},
	},
	"the principal's team, when the claim is outside its binding": {
		"asked": _as({"team": "lt-a"}, {"owner_team": "team-b"}),
		"pays": {"owner_team": "team-a", "cost_center": "CC-2", "business_unit": "two"},
	},
	"the principal's team, when two teams were claimed": {
		"asked": object.union(world.lacking(["owner_team"]), {"conflicts": ["owner_team"]}),
		"pays": {"owner_team": "team-a", "cost_center": "CC-2", "business_unit": "two"},
	},
	"the principal's team, when nobody is claimed": {
		"asked": world.lacking(["owner_team"]),
		"pays": {"owner_team": "team-a", "cost_center": "CC-2", "business_unit": "two"},
	},
	"the principal's team, though the registry has no such team": {
		"asked": _as({"team": "lt-lenient"}, {"owner_team": "ghost"}),
		"pays": {"owner_team": "team-l"},
	},
	"a retired team still pays": {
		"asked": _as({"team": ""}, {"owner_team": "team-old"}),
		"pays": {"owner_team": "team-old"},
	},
	"nobody, when an unbound principal claims a stranger": {
		"asked": _as({"team": ""}, {"owner_team": "ghost"}),
		"pays": {},
	},
}

test_who_pays[name] if {
	some name, case in _cases
	world.decide(case.asked).ownership == case.pays
}

test_parts_that_cannot_be_read_are_left_out if {
	cost_centers := [
		{"from": "2026-01-01T00:00:00Z", "cost_center": 1200, "business_unit": "one"},
		"nonsense",
	]
	registry := object.union(world.registry, {"teams": {"team-a": {"cost_centers": cost_centers}}})
	decision := world.decide_in(world.question, {"registry": registry})
	decision.ownership == {"owner_team": "team-a", "business_unit": "one"}
}
