# METADATA
# title: Tests of how long a decision holds
# scope: package
package tallygate.admission.validity_test

import data.tallygate.admission.world_test as world

_plain := world.asked({"principal": {"team": ""}, "ownership": {"service": "lenient", "owner_team": "team-b"}})

_ramp(now) := world.asked({"ownership": {"service": "ramp"}, "now": now})

_search(now) := world.asked({"now": now})

_cases := {
	"nothing to come": {"asked": _plain, "until": "9999-12-31T23:59:59Z"},
	"the start of an override": {"asked": _search("2026-10-31T23:59:59Z"), "until": "2026-11-01T00:00:00Z"},
	"the expiry of an override": {"asked": _search("2026-11-01T00:00:00Z"), "until": "2026-12-01T00:00:00Z"},
	"the next cost center": {"asked": _search("2026-12-01T00:00:00Z"), "until": "2027-01-01T00:00:00Z"},
	"a step of the schedule": {"asked": _ramp("2026-11-21T00:00:00Z"), "until": "2026-12-01T00:00:00Z"},
	"the last step of the schedule": {"asked": _ramp("2027-02-15T00:00:00Z"), "until": "2027-03-01T00:00:00Z"},
	"the end of a value": {
		"asked": object.union(_plain, {"ownership": {"feature": "triage"}}),
		"until": "2026-12-15T00:00:00Z",
	},
	"a step of any service of the principal, when the claimed one is unknown": {
		"asked": world.asked({"ownership": {"service": "ghost"}}),
		"until": "2026-12-01T00:00:00Z",
	},
}

test_the_earliest_instant_to_come[name] if {
	some name, case in _cases
	world.decide(case.asked).valid_until == case.until
}

# What is remembered may be given out again until valid_until: nothing changes before it.
test_the_decision_is_the_same_until_then[name] if {
	some name, case in _cases
	now := world.decide(case.asked)
	object.remove(now, ["valid_until"]) == object.remove(world.decide(object.union(case.asked, {"now": _before[case.until]})), ["valid_until"])
}

_before := {
	"9999-12-31T23:59:59Z": "9999-12-31T23:59:58Z",
	"2026-11-01T00:00:00Z": "2026-10-31T23:59:59Z",
	"2026-12-01T00:00:00Z": "2026-11-30T23:59:59Z",
	"2026-12-15T00:00:00Z": "2026-12-14T23:59:59Z",
	"2027-01-01T00:00:00Z": "2026-12-31T23:59:59Z",
	"2027-03-01T00:00:00Z": "2027-02-28T23:59:59Z",
}
