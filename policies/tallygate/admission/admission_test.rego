# METADATA
# title: Tests of the decision as a whole
# scope: package
package tallygate.admission_test

import data.tallygate.admission.world_test as world

_keys := {
	"action", "mode", "mode_source", "notices", "ownership",
	"valid_until", "violations", "waived", "would_action",
}

# Whatever the answer, it has these parts, from these lists.
_whole(decision) if {
	object.keys(decision) == _keys
	decision.action in {"admit", "quarantine", "reject"}
	decision.would_action in {"admit", "quarantine", "reject"}
	decision.mode in {"report_only", "enforce"}
	is_array(decision.violations)
	is_array(decision.waived)
	is_array(decision.notices)
	is_object(decision.ownership)
	is_string(decision.mode_source)
	is_string(decision.valid_until)
}

test_a_complete_call_is_admitted if {
	world.decide(world.question) == {
		"action": "admit",
		"would_action": "admit",
		"mode": "enforce",
		"mode_source": "service_environment",
		"violations": [],
		"waived": [],
		"notices": [],
		"ownership": {"owner_team": "team-a", "cost_center": "CC-2", "business_unit": "two"},
		"valid_until": "2026-12-01T00:00:00Z",
	}
}

test_a_violation_under_enforce_is_rejected if {
	decision := world.decide(world.lacking(["workflow_id"]))
	decision.action == "reject"
	decision.would_action == "reject"
	world.faults(decision) == {"ownership_missing workflow_id"}
}

test_report_only_admits_and_says_what_enforce_would_do if {
	decision := world.decide(world.asked({"ownership": {"service": "chat", "owner_team": "nobody"}}))
	decision.action == "admit"
	decision.would_action == "reject"
	decision.mode == "report_only"
}

# Each part of the question, replaced by each kind of junk, one at a time.
_junk := {
	"null": null,
	"false": false,
	"number": 7,
	"text": "junk",
	"array": [1, null, ["x"], {"a": 1}],
	"object": {"a": {"b": [null]}},
}

test_any_part_may_be_junk[name] if {
	some part, _ in world.question
	some kind, value in _junk
	name := concat(" as ", [part, kind])
	asked := object.union(object.remove(world.question, [part]), {part: value})
	_whole(world.decide(asked))
}

test_any_part_may_be_absent[part] if {
	some part, _ in world.question
	_whole(world.decide(object.remove(world.question, [part])))
}

test_any_ownership_field_may_be_junk[name] if {
	some field in ["owner_team", "service", "environment", "workflow_id", "feature", "nonsense"]
	some kind, value in _junk
	name := concat(" as ", [field, kind])
	_whole(world.decide(world.asked({"ownership": object.union(
		object.remove(world.question.ownership, [field]),
		{field: value},
	)})))
}

test_any_principal_shape_or_model_may_be_junk[name] if {
	some path in ["principal/team", "principal/key", "shapes/tenant_id_hash", "call/model_group"]
	some kind, value in _junk
	name := concat(" as ", [path, kind])
	[part, key] := split(path, "/")
	inner := object.union(object.remove(world.question[part], [key]), {key: value})
	_whole(world.decide(object.union(object.remove(world.question, [part]), {part: inner})))
}

test_the_whole_input_may_be_junk[kind] if {
	some kind, value in _junk
	decision := world.decide(value)
	_whole(decision)
	decision.action == "reject"
	decision.mode_source == "fallback"
}

test_no_data_rejects_and_names_the_contract if {
	decision := world.decide_in(world.question, {"contract": {}, "registry": {}, "overrides": {}})
	_whole(decision)
	decision.action == "reject"
	decision.mode_source == "fallback"
	decision.notices == [
		{"code": "policy_unreadable", "subject": "contract"},
		{"code": "principal_unbound", "subject": "principal"},
	]
	world.faults(decision) == {
		"ownership_unknown environment",
		"ownership_unknown owner_team",
		"ownership_unknown service",
	}
}

test_any_document_may_be_junk[name] if {
	some document in ["contract", "registry", "overrides"]
	some kind, value in _junk
	name := concat(" as ", [document, kind])
	_whole(world.decide_in(world.question, {document: value}))
}

# A contract that asks for nothing proves nothing.
test_an_empty_contract_rejects[name] if {
	some name, required in {"no field": {"default": []}, "no list": {}, "text": {"default": "all"}}
	contract := object.union(object.remove(world.contract, ["required"]), {"required": required})
	decision := world.decide_in(world.question, {"contract": contract})
	decision.action == "reject"
	decision.mode_source == "fallback"
	count(decision.violations) > 0
}

test_an_unreadable_clock_or_bucket_rejects[name] if {
	some name, changes in {
		"now absent": {"now": null},
		"now without Z": {"now": "2026-11-21T10:00:00"},
		"now with fractions": {"now": "2026-11-21T10:00:00.5Z"},
		"bucket as text": {"bucket": "50"},
		"bucket too high": {"bucket": 100},
		"bucket negative": {"bucket": -1},
	}
	decision := world.decide(world.asked(changes))
	decision.action == "reject"
	decision.mode_source == "fallback"
}

# Each half of the pair that admit needs closes the gate by itself.
test_a_violation_rejects_a_proven_call if {
	decision := world.decide(world.question) with data.tallygate.admission.ownership.violations as {{"code": "any", "field": "any"}}
	decision.action == "reject"
}

test_no_violation_without_proof_rejects if {
	decision := world.decide(world.lacking(["workflow_id"])) with data.tallygate.admission.ownership.violations as set()
	decision.action == "reject"
}

_nameless := {"ownership": {"service": "quarantined", "owner_team": "nobody"}}

test_a_violation_of_a_quarantine_service_is_quarantined if {
	decision := world.decide(world.asked(_nameless))
	decision.action == "quarantine"
	decision.would_action == "quarantine"
	decision.ownership == {"owner_team": "team-q", "cost_center": "CC-Q", "business_unit": "q"}
}

test_a_model_outside_the_quarantine_groups_is_rejected if {
	asked := object.union(world.asked(_nameless), {"call": {"model_group": "frontier"}})
	world.decide(asked).action == "reject"
}

test_quarantine_without_model_groups_takes_all if {
	asked := object.union(world.asked(_nameless), {"call": {"model_group": "frontier"}})
	registry := object.union(object.remove(world.registry, ["quarantine"]), {"quarantine": {"owner_team": "team-q"}})
	world.decide_in(asked, {"registry": registry}).action == "quarantine"
}

test_quarantine_without_an_owner_rejects[name] if {
	some name, registry in {
		"no quarantine": object.remove(world.registry, ["quarantine"]),
		"no owner": object.union(object.remove(world.registry, ["quarantine"]), {"quarantine": {}}),
	}
	world.decide_in(world.asked(_nameless), {"registry": registry}).action == "reject"
}

test_a_conflict_is_never_quarantined[name] if {
	some name, changes in {
		"outside the binding": {"ownership": {"service": "quarantined", "owner_team": "team-b"}},
		"two values": object.union(_nameless, {"conflicts": ["feature"]}),
	}
	world.decide(world.asked(changes)).action == "reject"
}
