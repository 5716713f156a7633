# METADATA
# title: Instants
# description: |
#   Instants are fixed-width UTC text, 2026-12-31T00:00:00Z: text order is time order, a reviewer
#   can read it, and no builtin parses it. What cannot be read is never later than anything.
# scope: package
package tallygate.admission.instants

# METADATA
# title: The end of time, as far as decisions go
forever := "9999-12-31T23:59:59Z"

# METADATA
# title: Whether a value is an instant
readable(value) if {
	is_string(value)
	regex.match(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`, value)
}

# METADATA
# title: Whether a date is still to come
later(date, now) if {
	readable(date)
	date > now
}
