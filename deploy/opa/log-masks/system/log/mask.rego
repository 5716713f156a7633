# METADATA
# title: What leaves a decision before it is logged
# description: |
#   The input has no identifiers and no prompts. What it can have is the hash of a key, and text
#   that the policy did not accept: somebody's name in the place of a workflow, say. The ledger keeps
#   neither, so the decision log does not either. Which field it was stays, as a violation.
# related_resources:
#   - https://www.openpolicyagent.org/docs/management-decision-logs#masking-sensitive-data
package system.log

_ours if input.path == "tallygate/admission/decision"

_not_accepted := {"ownership_malformed", "ownership_unknown"}

# METADATA
# title: The hash of the key that called
mask contains {"op": "remove", "path": "/input/principal/key"} if {
	_ours
	input.input.principal.key
}

# METADATA
# title: Values that the policy did not accept
mask contains {"op": "remove", "path": path} if {
	_ours
	some part in {"violations", "waived"}
	some found in input.result[part]
	found.code in _not_accepted
	_ = input.input.ownership[found.field]
	path := sprintf("/input/ownership/%s", [_escaped(found.field)])
}

# METADATA
# title: All values, when no decision says which of them are good
mask contains {"op": "remove", "path": "/input/ownership"} if {
	_ours
	not input.result.violations
	input.input.ownership
}

# As JSON pointers (RFC 6901) write it.
_escaped(name) := replace(replace(name, "~", "~0"), "/", "~1")
