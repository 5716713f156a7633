# METADATA
# title: Tests of the binding of principals
# scope: package
package tallygate.admission.binding_test

import data.tallygate.admission.world_test as world

_as(principal, fields) := world.asked({"principal": principal, "ownership": fields})

_cases := {
	"own team": {"asked": world.question, "faults": set()},
	"another team": {
		"asked": _as({"team": "lt-a"}, {"owner_team": "team-b"}),
		"faults": {"ownership_conflict owner_team"},
	},
	"another team's service": {
		"asked": _as({"team": "lt-a"}, {"service": "ledger"}),
		"faults": {"ownership_conflict service"},
	},
	"a service that nobody registered": {
		"asked": _as({"team": "lt-a"}, {"service": "ghost"}),
		"faults": {"ownership_unknown service"},
	},
	"a team that nobody registered": {
		"asked": _as({"team": "lt-a"}, {"owner_team": "ghost"}),
		"faults": {"ownership_unknown owner_team"},
	},
	"a listed service in a listed environment": {
		"asked": _as({"team": "lt-b"}, {"owner_team": "team-b", "service": "ledger"}),
		"faults": set(),
	},
	"a service that is not listed": {
		"asked": _as({"team": "lt-b"}, {"owner_team": "team-b", "service": "chat"}),
		"faults": {"ownership_conflict service"},
	},
	"an environment that is not listed": {
		"asked": _as({"team": "lt-b"}, {"owner_team": "team-b", "service": "ledger", "environment": "dev"}),
		"faults": {"ownership_conflict environment"},
	},
	"shared, for the other team": {
		"asked": _as({"team": "lt-shared"}, {"owner_team": "team-b", "service": "ledger"}),
		"faults": set(),
	},
	"shared, its own service billed to the other team": {
		"asked": _as({"team": "lt-shared"}, {"owner_team": "team-b", "service": "search"}),
		"faults": set(),
	},
	"shared, for a third team": {
		"asked": _as({"team": "lt-shared"}, {"owner_team": "team-q", "service": "search"}),
		"faults": {"ownership_conflict owner_team"},
	},
	"the key goes before its team": {
		"asked": _as({"team": "lt-a", "key": "k1"}, {"service": "ledger", "owner_team": "team-b"}),
		"faults": set(),
	},
	"the key's binding alone counts": {
		"asked": _as({"team": "lt-a", "key": "k1"}, {}),
		"faults": {"ownership_conflict owner_team", "ownership_conflict service"},
	},
	"a key that nothing binds falls to its team": {
		"asked": _as({"team": "lt-a", "key": "k2"}, {}),
		"faults": set(),
	},
	"unbound, any service": {"asked": _as({"team": ""}, {}), "faults": set()},
}

test_claims_within_and_outside_the_binding[name] if {
	some name, case in _cases
	world.faults(world.decide(case.asked)) == case.faults
}

test_an_unbound_principal_is_noticed if {
	decision := world.decide(_as({"team": "stranger"}, {}))
	decision.notices == [{"code": "principal_unbound", "subject": "principal"}]
	decision.ownership.owner_team == "team-a"
}

test_an_unbound_principal_may_claim_listed_services_only[name] if {
	some name, case in {
		"listed": {"service": "search", "faults": set()},
		"not listed": {"service": "chat", "faults": {"ownership_conflict service"}},
		"not registered": {"service": "ghost", "faults": {"ownership_unknown service"}},
	}
	contract := object.union(world.contract, {"unbound": {"services": ["search"]}})
	decision := world.decide_in(_as({"team": ""}, {"service": case.service}), {"contract": contract})
	world.faults(decision) == case.faults
}

# An entry that cannot be read allows nothing.
test_an_unreadable_binding_allows_nothing[name] if {
	some name, entry in {"null": null, "text": "team-a", "a list": ["team-a"], "empty": {}}
	registry := object.union(
		object.remove(world.registry, ["principals"]),
		{"principals": {"teams": {"lt-a": entry}}},
	)
	decision := world.decide_in(world.question, {"registry": registry})
	world.faults(decision) == {"ownership_conflict owner_team", "ownership_conflict service"}
}
