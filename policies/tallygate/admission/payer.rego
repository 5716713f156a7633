# METADATA
# title: Who pays
# description: |
#   The team whose ledger the call is booked on, and the cost center and business unit that it
#   had at that instant. These two are derived from the registry and never claimed.
# scope: package
# schemas:
#   - data.registry: schema.registry
package tallygate.admission.payer

import data.tallygate.admission.binding
import data.tallygate.admission.ownership
import data.tallygate.admission.question

# METADATA
# title: The team that pays, empty when nobody is known
default team := ""

team := question.owner_team if {
	data.registry.teams[question.owner_team]
	count(ownership.violations & {{"code": "ownership_conflict", "field": "owner_team"}}) == 0
} else := binding.entry.team if is_string(binding.entry.team)

# METADATA
# title: The team that pays for quarantined calls, empty when there is no quarantine
default quarantine_team := ""

quarantine_team := data.registry.quarantine.owner_team if {
	is_string(data.registry.quarantine.owner_team)
}

# METADATA
# title: The derived fields of a paying team
ownership(paying) := {key: value |
	entry := _latest(paying)
	some key, value in {
		"owner_team": paying,
		"cost_center": object.get(entry, "cost_center", ""),
		"business_unit": object.get(entry, "business_unit", ""),
	}
	is_string(value)
	value != ""
}

# METADATA
# title: The dates of the paying team's entries
dates(paying) := {entry.from | some entry in data.registry.teams[paying].cost_centers}

_latest(paying) := entry if {
	newest := max({date | some date in dates(paying); date <= question.now})
	entry := [entry | some entry in data.registry.teams[paying].cost_centers; entry.from == newest][0]
} else := {}
