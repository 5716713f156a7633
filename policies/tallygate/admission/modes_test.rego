# METADATA
# title: Tests of the enforcement mode
# scope: package
package tallygate.admission.modes_test

import data.tallygate.admission.world_test as world

_as(principal, fields) := world.asked({"principal": principal, "ownership": fields})

_service(name, environment) := _as({"team": "lt-a"}, {"service": name, "environment": environment})

_ramp(changes) := object.union(_service("ramp", "prod"), changes)

_cases := {
	"the service's mode in the environment": {
		"asked": world.question,
		"is": "enforce from service_environment",
	},
	"the service's default": {"asked": _service("search", "dev"), "is": "report_only from service"},
	"the contract's default": {"asked": _service("plain", "prod"), "is": "report_only from contract"},
	"before the first step": {
		"asked": _ramp({"now": "2026-11-30T23:59:59Z", "bucket": 0}),
		"is": "report_only from service",
	},
	"in the share, the second the step begins": {
		"asked": _ramp({"now": "2026-12-01T00:00:00Z", "bucket": 24}),
		"is": "enforce from schedule",
	},
	"out of the share": {
		"asked": _ramp({"now": "2026-12-01T00:00:00Z", "bucket": 25}),
		"is": "report_only from service",
	},
	"a step of another environment": {
		"asked": object.union(_service("ramp", "dev"), {"now": "2026-12-01T00:00:00Z", "bucket": 0}),
		"is": "enforce from schedule",
	},
	"two steps with one date: the strict one": {
		"asked": _ramp({"now": "2027-02-01T00:00:00Z"}),
		"is": "enforce from schedule",
	},
	"the newest step": {
		"asked": _ramp({"now": "2027-03-01T00:00:00Z", "bucket": 0}),
		"is": "report_only from schedule",
	},
	"a service that nobody registered": {
		"asked": _service("ghost", "prod"),
		"is": "enforce from strictest",
	},
	"a service that nobody registered, of a lenient principal": {
		"asked": _as({"team": "lt-lenient"}, {"service": "ghost"}),
		"is": "report_only from strictest",
	},
	"no service at all": {"asked": world.lacking(["service"]), "is": "enforce from strictest"},
	"another team's lenient service": {
		"asked": _as({"team": "lt-b"}, {"service": "chat"}),
		"is": "enforce from strictest",
	},
	"another team in the bill": {
		"asked": _as({"team": "lt-a"}, {"service": "chat", "owner_team": "team-b"}),
		"is": "enforce from strictest",
	},
	"an environment that is not the principal's": {
		"asked": _as({"team": "lt-b"}, {"owner_team": "team-b", "service": "ledger", "environment": "dev"}),
		"is": "enforce from strictest",
	},
	"leaving out the environment does not help": {
		"asked": world.lacking(["environment"]),
		"is": "enforce from strictest",
	},
	"inventing an environment does not help": {
		"asked": _service("search", "moon"),
		"is": "enforce from strictest",
	},
	"no environment, of a service that is lenient everywhere": {
		"asked": object.union(world.lacking(["environment"]), {"ownership": {"service": "chat"}}),
		"is": "report_only from strictest",
	},
	"a principal without services": {
		"asked": _as({"team": "lt-nothing"}, {}),
		"is": "report_only from contract",
	},
	"unbound": {"asked": _as({"team": ""}, {}), "is": "report_only from unbound"},
}

_shown(decision) := sprintf("%s from %s", [decision.mode, decision.mode_source])

test_modes[name] if {
	some name, case in _cases
	_shown(world.decide(case.asked)) == case.is
}

_contract(unbound) := {"contract": object.union(object.remove(world.contract, ["unbound"]), {"unbound": unbound})}

test_unbound_principals[name] if {
	some name, case in {
		"enforce": {"unbound": {"mode": "enforce", "services": ["*"]}, "service": "chat", "is": "enforce from unbound"},
		"unreadable": {"unbound": {"mode": "lax", "services": ["*"]}, "service": "chat", "is": "enforce from unbound"},
		"absent": {"unbound": {}, "service": "chat", "is": "enforce from unbound"},
		"by service, lenient": {"unbound": {"mode": "by_service", "services": ["*"]}, "service": "chat", "is": "report_only from service"},
		"by service, strict": {"unbound": {"mode": "by_service", "services": ["*"]}, "service": "search", "is": "enforce from service_environment"},
		"by service, unknown": {"unbound": {"mode": "by_service", "services": ["*"]}, "service": "ghost", "is": "enforce from strictest"},
		"by service, unknown, among lenient ones": {
			"unbound": {"mode": "by_service", "services": ["chat", "lenient"]},
			"service": "ghost",
			"is": "report_only from strictest",
		},
		"by service, not listed": {
			"unbound": {"mode": "by_service", "services": ["ledger"]},
			"service": "chat",
			"is": "enforce from strictest",
		},
	}
	asked := _as({"team": ""}, {"service": case.service})
	_shown(world.decide_in(asked, _contract(case.unbound))) == case.is
}

test_a_mode_that_cannot_be_read_is_enforce[name] if {
	some name, mode in {"null": null, "a word": "off", "a number": 0, "a list": ["report_only"], "false": false}
	registry := object.union(world.registry, {"services": {"chat": {"modes": {"prod": mode}}}})
	_shown(world.decide_in(_service("chat", "prod"), {"registry": registry})) == "enforce from service_environment"
}

test_a_scheduled_mode_that_cannot_be_read_is_enforce[name] if {
	some name, step in {
		"a word": {"from": "2026-11-01T00:00:00Z", "mode": "off"},
		"absent": {"from": "2026-11-01T00:00:00Z"},
	}
	registry := object.union(world.registry, {"services": {"chat": {"schedule": [step]}}})
	_shown(world.decide_in(_service("chat", "prod"), {"registry": registry})) == "enforce from schedule"
}

test_a_contract_without_a_default_mode_is_enforce if {
	decision := world.decide_in(_service("plain", "prod"), {"contract": object.remove(world.contract, ["modes"])})
	_shown(decision) == "enforce from fallback"
}
