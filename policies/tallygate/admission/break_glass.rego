# METADATA
# title: Break-glass
# description: |
#   An entry approved in advance, which somebody who holds its role activates in an incident. The
#   activation is a fact and comes with the question; what it may excuse is decided here, and it
#   waives as an override does. It ends by itself.
#   How long one may be is the host's to hold, because nothing here counts hours: an activation that
#   is longer than its entry allows never gets into a question.
#   Whatever cannot be read fails toward the violation.
# scope: package
# schemas:
#   - data.break_glass: schema.break_glass
package tallygate.admission.break_glass

import data.tallygate.admission.instants
import data.tallygate.admission.overrides
import data.tallygate.admission.ownership
import data.tallygate.admission.question

# METADATA
# title: What an entry must say
mandatory := {
	"role", "services", "codes", "max_hours", "requested_by",
	"approved_by", "reason", "ticket", "expires_at",
}

# METADATA
# title: The violations that an activated entry excuses now
waived contains {"code": violation.code, "field": violation.field, "override": id} if {
	some id, entry in _sound
	some activation in question.activations
	activation.id == id
	activation.from <= question.now
	question.now < activation.until
	question.now < entry.expires_at
	some violation in ownership.violations
	violation.code in entry.codes
	_names(entry, "fields", violation.field)
}

# METADATA
# title: One notice for each activated entry that excuses nothing, because it is not sound
notices contains {"code": "override_invalid", "subject": id} if {
	some id in (object.keys(_in_scope) - object.keys(_sound))
}

# METADATA
# title: The dates of the activated entries that were looked at
dates contains date if {
	some id, entry in _sound
	some activation in question.activations
	activation.id == id
	some date in [activation.from, activation.until, entry.expires_at]
}

# The activated entries that are about this call, whether or not they hold now.
_in_scope[activation.id] := entry if {
	some activation in question.activations
	entry := data.break_glass[activation.id]
	question.service in entry.services
	_names(entry, "environments", question.environment)
}

_sound[id] := entry if {
	some id, entry in _in_scope
	count(mandatory - object.keys(entry)) == 0
	count({code | some code in entry.codes} - overrides.waivable) == 0
	instants.readable(entry.expires_at)
	entry.approved_by != entry.requested_by
}

# A list that is not there names everything; one that cannot be read names nothing.
_names(entry, list, _) if not list in object.keys(entry)

_names(entry, list, value) if value in entry[list]
