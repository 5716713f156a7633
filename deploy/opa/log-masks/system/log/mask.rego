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
	found.field in object.keys(input.input.ownership)
	path := sprintf("/input/ownership/%s", [_escaped(found.field)])
}

# METADATA
# title: What the gate never sends
# description: Identifiers of people and tenants go as a shape; other names are in no contract.
mask contains {"op": "remove", "path": path} if {
	_ours
	some name, value in input.input.ownership
	not _is_sent(name, value)
	path := sprintf("/input/ownership/%s", [_escaped(name)])
}

_is_sent(name, value) if {
	name in _sent_as_text
	is_string(value)
}

_sent_as_text contains name if {
	some name, field in data.contract.fields
	field.kind in {"pattern", "vocabulary"}
}

# METADATA
# title: All of it, when no decision says which values are good
mask contains {"op": "remove", "path": "/input/ownership"} if {
	_ours
	_unjudged
}

_unjudged if not is_object(input.input.ownership)

_unjudged if not input.result.violations

# As JSON pointers (RFC 6901) write it.
_escaped(name) := replace(replace(name, "~", "~0"), "/", "~1")
