# METADATA
# title: Expiring overrides
# description: |
#   An override excuses one service from named codes on named fields until it expires.
#   Waive, never skip: the violation is still found, and recorded with the override's id.
#   Overrides are kept by service: one lookup, and no scan of other services' overrides.
#   Whatever cannot be read fails toward the violation.
# scope: package
# schemas:
#   - data.overrides: schema.overrides
package tallygate.admission.overrides

import data.tallygate.admission.instants
import data.tallygate.admission.ownership
import data.tallygate.admission.question

# METADATA
# title: The codes that an override may name
# description: A conflict is never excused; it would let one team bill another.
waivable := {"ownership_missing", "ownership_unknown", "ownership_retired", "ownership_malformed"}

# METADATA
# title: What an override must say
mandatory := {"codes", "fields", "starts_at", "expires_at", "requested_by", "approved_by", "reason", "ticket"}

# METADATA
# title: The violations that an override excuses now
waived contains {"code": violation.code, "field": violation.field, "override": id} if {
	some id, override in _sound
	override.starts_at <= question.now
	question.now < override.expires_at
	some violation in _named_by(override)
}

# METADATA
# title: One notice for each override that people should look at
# description: |
#   An expired one is mentioned where it would have excused something, an invalid one always.
notices contains {"code": "override_expired", "subject": id} if {
	some id, override in _sound
	override.expires_at <= question.now
	count(_named_by(override)) > 0
}

notices contains {"code": "override_invalid", "subject": id} if {
	some id in (object.keys(_in_scope) - object.keys(_sound))
}

# METADATA
# title: The dates of the overrides that were looked at
dates contains date if {
	some override in _sound
	some date in [override.starts_at, override.expires_at]
}

_in_scope[id] := override if {
	some id, override in data.overrides[question.service]
	_covers(override)
}

_covers(override) if not override.environments

_covers(override) if question.environment in override.environments

_sound[id] := override if {
	some id, override in _in_scope
	is_object(override)
	count(mandatory - object.keys(override)) == 0
	count({code | some code in override.codes} - waivable) == 0
	instants.readable(override.starts_at)
	instants.readable(override.expires_at)
	override.approved_by != override.requested_by
}

_named_by(override) := {violation |
	some violation in ownership.violations
	violation.code in override.codes
	violation.field in override.fields
}
