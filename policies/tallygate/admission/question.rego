# METADATA
# title: The question, read safely
# description: |
#   Input comes from a host that may be wrong, so every part is read once, here, behind a guard of
#   its type. The other packages read these names and never meet an absent or mistyped value.
# scope: package
# schemas:
#   - input: schema.input
#   - data.contract: schema.contract
package tallygate.admission.question

import data.tallygate.admission.instants

# METADATA
# title: The ownership fields that the call filled in with text
claims[field] := value if {
	is_object(input.ownership)
	some field, value in input.ownership
	is_string(value)
	value != ""
}

# METADATA
# title: The claimed service
default service := ""

service := claims.service

# METADATA
# title: The claimed environment
default environment := ""

environment := claims.environment

# METADATA
# title: The claimed owner team
default owner_team := ""

owner_team := claims.owner_team

# METADATA
# title: The fields that came with two different values
conflicting contains field if {
	some field in input.conflicts
	is_string(field)
}

# METADATA
# title: The fields whose value the host could not accept
# description: |
#   An identifier with two values has the shape "malformed" as well; that is one fault, the
#   conflict, and not two.
malformed contains field if {
	some field in input.malformed
	is_string(field)
	not field in conflicting
}

malformed contains field if {
	some field, "malformed" in input.shapes
	not field in conflicting
}

# METADATA
# title: The identifiers that were sent in good shape
well_shaped contains field if some field, "ok" in input.shapes

# METADATA
# title: The call's place in a share, 0 to 99
# description: |
#   A stable hash of service and workflow, so that a refused client cannot retry until it passes.
default bucket := 0

bucket := input.bucket if {
	is_number(input.bucket)
	input.bucket >= 0
	input.bucket < 100
}

# METADATA
# title: The call's own place in a share, 0 to 99
# description: |
#   A stable hash of the call's id, for canaries. The host leaves it out where no canary can
#   matter; 0 is in every canary, so a call without one is enforced.
default call_bucket := 0

call_bucket := input.call_bucket if {
	is_number(input.call_bucket)
	input.call_bucket >= 0
	input.call_bucket < 100
}

# METADATA
# title: The instant of the call
# description: The end of time when it cannot be read, so that every override has expired.
default now := "9999-12-31T23:59:59Z" # instants.forever; a default is a literal

now := input.now if instants.readable(input.now)

# METADATA
# title: The activations of break-glass entries that the host knows of
activations contains activation if {
	some activation in input.activations
	is_string(activation.id)
	instants.readable(activation.from)
	instants.readable(activation.until)
}

# METADATA
# title: What cannot be read, though nothing can be decided without it
# description: Anything in this set means enforce and refuse.
unreadable := ({"contract", "input.bucket", "input.now"} - _readable) | _misread

# METADATA
# title: One notice for each thing that cannot be read
notices contains {"code": "policy_unreadable", "subject": subject} if some subject in unreadable

_readable contains "input.bucket" if bucket == input.bucket

_readable contains "input.now" if now == input.now

_readable contains "contract" if {
	is_object(data.contract.fields)
	some _ in data.contract.required["default"]
}

# It may be absent, but what is there must be one.
_misread contains "input.call_bucket" if {
	some "call_bucket", value in input
	value != call_bucket
}
