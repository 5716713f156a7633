package system.authz_test

import data.system.authz

runtime := {"env": {"TALLYGATE_OPA_TOKEN": "tok-1"}}

no_token := {"env": {}}

question := {
	"method": "POST",
	"path": ["v1", "data", "tallygate", "admission", "decision"],
	"identity": "tok-1",
}

test_the_gate_may_ask_its_question if {
	authz.allow with input as question with opa.runtime as runtime
}

test_nobody_else_may[name] if {
	some name, changed in {
		"another token": {"identity": "tok-2"},
		"no token": {"identity": ""},
		"another question": {"path": ["v1", "data", "registry"]},
		"a policy to be written": {"method": "PUT", "path": ["v1", "policies", "x"]},
	}
	not authz.allow with input as object.union(question, changed) with opa.runtime as runtime
}

test_without_a_token_in_the_environment_nobody_may if {
	asked := object.union(question, {"identity": ""})
	not authz.allow with input as asked with opa.runtime as no_token
}

test_probes_need_no_token if {
	authz.allow with input as {"method": "GET", "path": ["health"]} with opa.runtime as no_token
}
