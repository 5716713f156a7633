# METADATA
# title: How long the decision holds
# description: |
#   The earliest of all instants to come that the decision was compared with. Until then the same
#   question has the same answer, so it may be remembered; a date that turned out not to matter
#   only shortens that.
# scope: package
package tallygate.admission.validity

import data.tallygate.admission.break_glass
import data.tallygate.admission.instants
import data.tallygate.admission.modes
import data.tallygate.admission.overrides
import data.tallygate.admission.ownership
import data.tallygate.admission.payer
import data.tallygate.admission.question

# METADATA
# title: The first instant at which the answer may be another one
until(paying) := min({instants.forever} | {date |
	some date in (_dates | payer.dates(paying))
	date > question.now
})

_dates := ((overrides.dates | break_glass.dates) | modes.dates) | ownership.dates
