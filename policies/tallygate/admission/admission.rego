# METADATA
# title: Admission decision
# description: |
#   The one question that the gate asks before a call goes to a provider: does the call say who
#   pays for it, and what happens if it does not. It is a pure function of input and data: the
#   time comes in with the question, so a decision can be replayed and remembered.
# scope: package
# schemas:
#   - input: schema.input
#   - data.contract: schema.contract
#   - data.registry: schema.registry
# custom:
#   version: 1.0.0
package tallygate.admission

import data.tallygate.admission.binding
import data.tallygate.admission.break_glass
import data.tallygate.admission.modes
import data.tallygate.admission.overrides
import data.tallygate.admission.ownership
import data.tallygate.admission.payer
import data.tallygate.admission.question
import data.tallygate.admission.validity

# METADATA
# title: The decision on one call
# description: |
#   Never undefined, whatever the input: every part has a default or is a set. It carries codes
#   and names of policy data only, never a caller's text; the host writes the sentences. Lists are
#   sorted here, because engines write sets in different orders.
# entrypoint: true
decision := {
	"action": action,
	"would_action": would_action,
	"mode": modes.mode,
	"mode_source": modes.source,
	"violations": sort(violations),
	"waived": sort(waived),
	"notices": sort(notices),
	"ownership": payer.ownership(would_pay[action]),
	"valid_until": validity.until(would_pay[action]),
}

# METADATA
# title: The violations that are excused now, each with the id of what excuses it
waived := overrides.waived | break_glass.waived

# METADATA
# title: The violations that nothing excuses
violations contains violation if {
	some violation in ownership.violations
	not _pair(violation) in _waived_pairs
}

# METADATA
# title: What enforce does with the call
# description: |
#   Admit needs a positive proof as well as the absence of violations: a rule that nobody wrote,
#   or that came out undefined, must not open the gate.
default would_action := "reject"

would_action := "admit" if {
	_proven
	count(violations) == 0
} else := "quarantine" if _quarantined

# METADATA
# title: What happens to the call
# description: Report-only comes last, so that the record says what would have happened.
default action := "admit"

action := would_action if modes.mode != "report_only"

# METADATA
# title: What people should know, though it changes nothing about this call
# description: An expired or invalid override, an unbound principal, unreadable policy or input.
notices := ((overrides.notices | break_glass.notices) | binding.notices) | question.notices

# METADATA
# title: Who pays, by what happens to the call
# description: A quarantined call goes to the quarantine owner; all others to their team.
would_pay := {
	"admit": payer.team,
	"reject": payer.team,
	"quarantine": payer.quarantine_team,
}

# Every required field holds a good value, or an override excuses what is wrong with it.
_proven if {
	count(question.unreadable) == 0
	count(ownership.required) > 0
	count((ownership.required - ownership.accepted) - _waived_fields) == 0
}

# A call may pass into quarantine when the service asks for it and is who it says it is: nobody
# gets round a refusal by naming a service that is quarantined, or by billing somebody else.
_quarantined if {
	count(question.unreadable) == 0
	binding.inside
	data.registry.services[question.service].on_violation == "quarantine"
	payer.quarantine_team != ""
	count(_conflicts) == 0
	_model_allowed_in_quarantine
}

_model_allowed_in_quarantine if not data.registry.quarantine.model_groups

_model_allowed_in_quarantine if input.call.model_group in data.registry.quarantine.model_groups

_conflicts contains violation.field if {
	some violation in ownership.violations
	violation.code == "ownership_conflict"
}

_waived_pairs contains _pair(entry) if some entry in waived

_waived_fields contains entry.field if some entry in waived

_pair(violation) := [violation.code, violation.field]
