# METADATA
# title: Ownership contract
# description: |
#   Every call names who pays for it, in fields whose values the registry knows.
#   Fields are compared as sets: a set is never undefined, so an absent, null or mistyped field
#   cannot make a violation vanish.
# scope: package
# schemas:
#   - data.contract: schema.contract
#   - data.registry: schema.registry
package tallygate.admission.ownership

import data.tallygate.admission.binding
import data.tallygate.admission.instants
import data.tallygate.admission.question

# METADATA
# title: The fields that the contract asks of this call
# description: The layers add up; none of them can take a field away.
required contains field if some field in data.contract.required["default"]

required contains field if {
	some field in data.contract.required.environments[question.environment]
}

required contains field if some field in data.contract.required.services[question.service]

# Without a contract there is still something to ask for, so that a refusal names it.
required contains field if {
	"contract" in question.unreadable
	some field in ["environment", "owner_team", "service"]
}

# METADATA
# title: The fields that the call filled in, rightly or wrongly
present := ((object.keys(question.claims) | question.well_shaped) | question.malformed) | question.conflicting

# METADATA
# title: The registry's entry for each value that it knows
# description: One lookup by key for each field, however large the registry is.
entries[field] := data.registry[collection][value] if {
	some field, collection in _collections
	value := _vocabulary[field]
}

entries[field] := data.registry.values[field][value] if {
	some field, value in _vocabulary
	not field in object.keys(_collections)
}

# METADATA
# title: The fields whose registry entry has ended
# description: A date that cannot be read has passed.
retired contains field if {
	some field, entry in entries
	date := entry.retired_at
	not instants.later(date, question.now)
}

# METADATA
# title: The end dates that were looked at
dates contains entry.retired_at if some entry in entries

# METADATA
# title: The pattern fields whose value does not match
unmatched := object.keys(_patterned) - _matched

# METADATA
# title: The fields whose value is proven good
accepted := ((((object.keys(entries) - retired) | _matched) | _identified) - question.malformed) - question.conflicting

# METADATA
# title: One violation for each fault
# description: A field with two values, or with one that could not be accepted, is not missing.
violations contains {"code": "ownership_missing", "field": field} if {
	some field in (required - present)
}

violations contains {"code": "ownership_missing", "field": group.fields[0]} if {
	some group in data.contract.one_of
	_applies(group)
	count({field | some field in group.fields} & present) == 0
}

violations contains {"code": "ownership_unknown", "field": field} if {
	some field in (object.keys(_vocabulary) - object.keys(entries))
}

# A required field that is there and that no rule can prove: the contract does not describe it.
violations contains {"code": "ownership_unknown", "field": field} if {
	some field in ((required & present) - _described)
}

# Without a contract no value can be proven.
violations contains {"code": "ownership_unknown", "field": field} if {
	"contract" in question.unreadable
	some field in (required & present)
}

violations contains {"code": "ownership_retired", "field": field} if some field in retired

violations contains {"code": "ownership_malformed", "field": field} if {
	some field in (question.malformed | unmatched)
}

violations contains {"code": "ownership_conflict", "field": field} if {
	some field in (question.conflicting | binding.breaches)
}

# Where the registry keeps the values of the fields that it has a collection for.
_collections := {
	"owner_team": "teams",
	"service": "services",
	"environment": "environments",
	"feature": "features",
}

_vocabulary[field] := value if {
	some field, value in question.claims
	data.contract.fields[field].kind == "vocabulary"
}

_patterned[field] := value if {
	some field, value in question.claims
	data.contract.fields[field].kind == "pattern"
}

_matched contains field if {
	some field, value in _patterned
	regex.match(data.contract.fields[field].pattern, value)
}

_identified contains field if {
	some field in question.well_shaped
	data.contract.fields[field].kind == "identifier"
}

# The fields that some other rule judges: what is left has no usable entry in the contract.
_described := (((object.keys(_vocabulary) | object.keys(_patterned)) | _identified) | question.malformed) | question.conflicting

# A group counts everywhere, unless it names environments or services.
_applies(group) if {
	_covers(group, "environments", question.environment)
	_covers(group, "services", question.service)
}

_covers(group, filter, _) if not group[filter]

_covers(group, filter, value) if value in group[filter]
