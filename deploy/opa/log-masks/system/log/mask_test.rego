package system.log_test

import data.system.log

contract := {"fields": {
	"service": {"kind": "vocabulary"},
	"workflow_id": {"kind": "pattern"},
	"tenant_id_hash": {"kind": "identifier"},
}}

event(asked, result) := {
	"path": "tallygate/admission/decision",
	"input": asked,
	"result": result,
}

paths(asked, result) := {mask.path |
	some mask in log.mask with input as event(asked, result) with data.contract as contract
}

good := {"violations": [], "waived": []}

test_the_hash_of_a_key_goes if {
	paths({"ownership": {}, "principal": {"team": "t", "key": "abc"}}, good) == {"/input/principal/key"}
}

test_what_was_accepted_stays if {
	paths({"ownership": {"service": "s", "workflow_id": "w"}}, good) == set()
}

test_what_was_not_accepted_goes[name] if {
	some name, result in {
		"violated": {"violations": [{"code": "ownership_malformed", "field": "workflow_id"}], "waived": []},
		"waived": {"violations": [], "waived": [{"code": "ownership_unknown", "field": "workflow_id"}]},
	}
	paths({"ownership": {"service": "s", "workflow_id": "jane"}}, result) == {"/input/ownership/workflow_id"}
}

test_a_conflict_is_about_a_value_that_is_registered if {
	result := {"violations": [{"code": "ownership_conflict", "field": "service"}], "waived": []}
	paths({"ownership": {"service": "s"}}, result) == set()
}

test_identifiers_and_names_of_no_contract_go if {
	asked := {"ownership": {"tenant_id_hash": "acme", "a/b~c": "x", "service": 7}}
	expected := {"tenant_id_hash", "a~1b~0c", "service"}
	paths(asked, good) == {sprintf("/input/ownership/%s", [name]) | some name in expected}
}

test_without_a_decision_all_of_it_goes if {
	"/input/ownership" in paths({"ownership": {"service": "s"}}, null)
}

test_what_is_no_object_goes_whole if {
	paths({"ownership": "jane"}, good) == {"/input/ownership"}
}

test_decisions_of_others_are_not_ours_to_mask if {
	asked := {"ownership": {"x": 1}, "principal": {"key": "abc"}}
	other := object.union(event(asked, good), {"path": "app/allow"})
	log.mask == set() with input as other with data.contract as contract
	not log.drop with input as object.union(other, {"input": {"call_id": "probe"}})
}

test_probes_are_dropped_and_calls_are_not if {
	log.drop with input as event({"call_id": "probe"}, good)
	not log.drop with input as event({"call_id": "call-1"}, good)
}
