# METADATA
# title: Tests of canaries
# scope: package
package tallygate.admission.canary_test

import data.tallygate.admission.world_test as world

_asked(service, environment, changes) := object.union(
	world.asked({
		"principal": {"team": "lt-canary"},
		"ownership": {"owner_team": "team-c", "service": service, "environment": environment},
	}),
	changes,
)

_shown(decision) := sprintf("%s from %s", [decision.mode, decision.mode_source])

_shared(changes) := _asked("shared", "prod", changes)

_grown(now, call_bucket) := _asked("grown", "prod", {"now": now, "call_bucket": call_bucket})

_cases := {
	"the last bucket of the environment's share": {
		"asked": _shared({"call_bucket": 24}),
		"is": "enforce from service",
	},
	"the first bucket outside": {"asked": _shared({"call_bucket": 25}), "is": "report_only from canary"},
	"the default share, in it": {
		"asked": _asked("shared", "dev", {"call_bucket": 9}),
		"is": "enforce from service",
	},
	"the default share, out of it": {
		"asked": _asked("shared", "dev", {"call_bucket": 10}),
		"is": "report_only from canary",
	},
	"no bucket is in every canary": {"asked": _shared({}), "is": "enforce from service"},
	"before the step the service's own mode counts": {
		"asked": _grown("2026-11-30T23:59:59Z", 0),
		"is": "report_only from service",
	},
	"a step's share, in it": {"asked": _grown("2026-12-01T00:00:00Z", 9), "is": "enforce from schedule"},
	"a step's share, out of it": {
		"asked": _grown("2026-12-01T00:00:00Z", 10),
		"is": "report_only from canary",
	},
	"a step that does not cover the workflow has no say": {
		"asked": _grown("2027-01-01T00:00:00Z", 49),
		"is": "report_only from canary",
	},
	"a step that covers the workflow, in the share": {
		"asked": object.union(_grown("2027-01-01T00:00:00Z", 49), {"bucket": 19}),
		"is": "enforce from schedule",
	},
	"a step without a canary enforces all, whatever the service's canary": {
		"asked": _grown("2027-02-01T00:00:00Z", 99),
		"is": "enforce from schedule",
	},
	"two steps with one date: the larger share": {
		"asked": _grown("2027-03-01T00:00:00Z", 29),
		"is": "enforce from schedule",
	},
	"two steps with one date: outside of both": {
		"asked": _grown("2027-03-01T00:00:00Z", 30),
		"is": "report_only from canary",
	},
	"the strictest mode is found with the same bucket, in a share": {
		"asked": _asked("ghost", "prod", {"call_bucket": 24}),
		"is": "enforce from strictest",
	},
	"the strictest mode is found with the same bucket, outside of all": {
		"asked": _asked("ghost", "prod", {"call_bucket": 25}),
		"is": "report_only from strictest",
	},
	"the strictest of several environments": {
		"asked": _asked("ghost", "moon", {"call_bucket": 24}),
		"is": "enforce from strictest",
	},
	"a service without a canary does not look at the bucket": {
		"asked": world.asked({"call_bucket": 99}),
		"is": "enforce from service_environment",
	},
}

test_canaries[name] if {
	some name, case in _cases
	_shown(world.decide(case.asked)) == case.is
}

_told(canary) := {"registry": object.union(world.registry, {"services": {"search": {"canary": canary}}})}

test_a_canary_that_cannot_be_read_spares_nobody[name] if {
	some name, canary in {
		"null": {"prod": null},
		"false": {"prod": false},
		"text": {"prod": "10"},
		"below 0": {"prod": -1},
		"above 100": {"prod": 101},
		"another environment's": {"dev": 0},
		"not by environment": 10,
	}
	decision := world.decide_in(world.asked({"call_bucket": 99}), _told(canary))
	_shown(decision) == "enforce from service_environment"
}

test_a_step_that_cannot_be_read_spares_nobody[name] if {
	some name, step in {
		"canary is null": {"mode": "enforce", "canary": null},
		"canary is false": {"mode": "enforce", "canary": false},
		"canary is text": {"mode": "enforce", "canary": "10"},
		"canary is below 0": {"mode": "enforce", "canary": -1},
		"mode is a word": {"mode": "off", "canary": 0},
		"mode is absent": {"canary": 0},
	}
	steps := [object.union(step, {"from": "2026-11-01T00:00:00Z"})]
	registry := object.union(world.registry, {"services": {"chat": {"schedule": steps}}})
	asked := world.asked({"ownership": {"service": "chat"}, "call_bucket": 99})
	_shown(world.decide_in(asked, {"registry": registry})) == "enforce from schedule"
}

test_a_mode_that_cannot_be_read_is_not_spared if {
	changed := {"modes": {"prod": "off"}, "canary": {"prod": 0}}
	registry := object.union(world.registry, {"services": {"chat": changed}})
	asked := world.asked({"ownership": {"service": "chat"}, "call_bucket": 99})
	_shown(world.decide_in(asked, {"registry": registry})) == "enforce from service_environment"
}

test_a_canary_counts_for_the_contracts_default_mode_too if {
	world_now := {
		"contract": object.union(world.contract, {"modes": {"default": "enforce"}}),
		"registry": object.union(world.registry, {"services": {"plain": {"canary": {"default": 10}}}}),
	}
	asked := world.asked({"ownership": {"service": "plain"}, "call_bucket": 10})
	_shown(world.decide_in(asked, world_now)) == "report_only from canary"
	_shown(world.decide_in(object.union(asked, {"call_bucket": 9}), world_now)) == "enforce from contract"
}

test_growing_a_share_keeps_what_was_enforced if {
	every bucket in numbers.range(0, 99) {
		asked := world.asked({"call_bucket": bucket})
		modes := [world.decide_in(asked, _told({"prod": percent})).mode | some percent in [0, 10, 25, 100]]
		modes == [_mode(bucket, percent) | some percent in [0, 10, 25, 100]]
	}
}

_mode(bucket, percent) := "enforce" if bucket < percent

_mode(bucket, percent) := "report_only" if bucket >= percent

# Nobody leaves the share by garbling the number: it comes from the host, so this is the host's own
# fault, and that is the strict side.
test_a_bucket_that_cannot_be_read_is_refused[name] if {
	some name, bucket in {
		"null": null,
		"false": false,
		"true": true,
		"text": "50",
		"below 0": -1,
		"100": 100,
		"large": 1e300,
		"array": [50],
		"object": {},
	}
	decision := world.decide(_shared({"call_bucket": bucket}))
	_shown(decision) == "enforce from fallback"
	decision.action == "reject"
	{"code": "policy_unreadable", "subject": "input.call_bucket"} in decision.notices
}

test_a_spared_call_says_what_enforce_would_do if {
	decision := world.decide(_shared({"call_bucket": 60}))
	decision.action == "admit"
	decision.would_action == "reject"
	count(decision.violations) > 0
}
