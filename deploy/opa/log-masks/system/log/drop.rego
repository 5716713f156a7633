package system.log

# METADATA
# title: Questions that no call asks
# description: What the gate asks once at its start, and `tallygate doctor`.
drop if {
	_ours
	input.input.call_id == "probe"
}
