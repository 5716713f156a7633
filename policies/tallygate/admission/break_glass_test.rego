# METADATA
# title: Tests of break-glass
# scope: package
package tallygate.admission.break_glass_test

import data.tallygate.admission.world_test as world

_activated := object.union(world.lacking(["workflow_id"]), {"activations": [world.activation]})

_waived := [{"code": "ownership_missing", "field": "workflow_id", "override": "bg-1"}]

_changed(changes) := {"break_glass": {"bg-1": object.union(world.glass, changes)}}

_activation(changes) := object.union(_activated, {"activations": [object.union(world.activation, changes)]})

test_an_entry_that_nobody_activated_excuses_nothing if {
	decision := world.decide(world.lacking(["workflow_id"]))
	decision.action == "reject"
	decision.waived == []
	decision.valid_until == "2026-12-01T00:00:00Z"
}

test_an_activated_entry_waives_and_is_recorded if {
	decision := world.decide(_activated)
	decision.action == "admit"
	decision.would_action == "admit"
	decision.violations == []
	decision.waived == _waived
	decision.notices == []
}

test_a_decision_holds_to_the_end_of_the_activation if {
	world.decide(_activated).valid_until == "2026-11-21T17:00:00Z"
}

test_a_decision_holds_to_the_start_of_an_activation if {
	world.decide(_activation({"from": "2026-11-21T11:00:00Z"})).valid_until == "2026-11-21T11:00:00Z"
}

test_a_decision_holds_to_the_expiry_of_the_entry if {
	changed := _changed({"expires_at": "2026-11-21T12:00:00Z"})
	world.decide_in(_activated, changed).valid_until == "2026-11-21T12:00:00Z"
}

test_start_and_end_are_exact[name] if {
	some name, case in {
		"a second before it starts": {"now": "2026-11-21T08:59:59Z", "action": "reject"},
		"the second it starts": {"now": "2026-11-21T09:00:00Z", "action": "admit"},
		"a second before it ends": {"now": "2026-11-21T16:59:59Z", "action": "admit"},
		"the second it ends": {"now": "2026-11-21T17:00:00Z", "action": "reject"},
	}
	world.decide(object.union(_activated, {"now": case.now})).action == case.action
}

# Whatever the host says of the activation, it does not outlive the entry.
test_the_expiry_of_the_entry_is_exact[name] if {
	some name, case in {
		"a second before it expires": {"now": "2026-11-30T23:59:59Z", "action": "admit"},
		"the second it expires": {"now": "2026-12-01T00:00:00Z", "action": "reject"},
	}
	asked := object.union(_activation({"until": "2027-01-01T00:00:00Z"}), {"now": case.now})
	world.decide(asked).action == case.action
}

test_it_waives_nothing_else if {
	asked := object.union(world.lacking(["workflow_id"]), {
		"shapes": {"tenant_id_hash": "absent"},
		"activations": [world.activation],
	})
	decision := world.decide_in(asked, {"overrides": {}})
	decision.action == "reject"
	decision.waived == _waived
	world.faults(decision) == {"ownership_missing tenant_id_hash"}
}

test_without_fields_it_is_about_all_of_them if {
	changed := {"break_glass": {"bg-1": object.remove(world.glass, ["fields"])}}
	asked := object.union(world.lacking(["workflow_id"]), {
		"shapes": {"tenant_id_hash": "absent"},
		"activations": [world.activation],
	})
	decision := world.decide_in(asked, object.union({"overrides": {}}, changed))
	decision.action == "admit"
	{entry.field | some entry in decision.waived} == {"tenant_id_hash", "workflow_id"}
}

test_it_covers_its_environments_only if {
	world.decide_in(_activated, _changed({"environments": ["dev"]})).action == "reject"
}

test_without_environments_it_covers_all if {
	changed := {"break_glass": {"bg-1": object.remove(world.glass, ["environments"])}}
	world.decide_in(_activated, changed).action == "admit"
}

test_another_service_gains_nothing if {
	world.decide_in(_activated, _changed({"services": ["chat"]})).waived == []
}

test_an_activation_of_nothing_excuses_nothing if {
	decision := world.decide(_activation({"id": "bg-unheard-of"}))
	decision.action == "reject"
	decision.notices == []
}

test_it_excuses_beside_an_override if {
	asked := object.union(world.lacking(["workflow_id"]), {
		"shapes": {"tenant_id_hash": "absent"},
		"activations": [world.activation],
	})
	decision := world.decide(asked)
	decision.action == "admit"
	{entry.override | some entry in decision.waived} == {"bg-1", "ovr-1"}
}

test_report_only_records_what_it_excuses if {
	asked := world.asked({
		"ownership": {"service": "chat", "owner_team": "nobody"},
		"activations": [world.activation],
	})
	changed := _changed({"codes": ["ownership_unknown"], "fields": ["owner_team"]})
	decision := world.decide_in(asked, changed)
	decision.action == "admit"
	decision.would_action == "admit"
	decision.mode == "report_only"
	decision.waived == [{"code": "ownership_unknown", "field": "owner_team", "override": "bg-1"}]
}

_invalid := {
	"approved by its requester": {"approved_by": "a-lead"},
	"names a conflict": {"codes": ["ownership_missing", "ownership_conflict"]},
	"expiry as a word": {"expires_at": "never"},
	"expiry as a number": {"expires_at": 20271231},
}

test_an_invalid_entry_waives_nothing_and_is_noticed[name] if {
	some name, changes in _invalid
	decision := world.decide_in(_activated, _changed(changes))
	decision.action == "reject"
	decision.waived == []
	decision.notices == [{"code": "override_invalid", "subject": "bg-1"}]
}

test_an_entry_without_a_mandatory_part_waives_nothing[part] if {
	some part in [
		"role", "services", "codes", "max_hours", "requested_by",
		"approved_by", "reason", "ticket", "expires_at",
	]
	changed := {"break_glass": {"bg-1": object.remove(world.glass, [part])}}
	world.decide_in(_activated, changed).action == "reject"
}

# A list that cannot be read is not one that is not there.
test_an_unreadable_list_names_nothing[name] if {
	some part in ["services", "codes", "fields", "environments"]
	some kind, value in {"false": false, "null": null, "number": 7, "text": "prod"}
	name := concat(" as ", [part, kind])
	decision := world.decide_in(_activated, _changed({part: value}))
	decision.action == "reject"
	decision.waived == []
}

test_an_entry_that_is_none_waives_nothing[kind] if {
	some kind, value in {"null": null, "text": "please", "list": [], "empty": {}, "number": 7}
	world.decide_in(_activated, {"break_glass": {"bg-1": value}}).action == "reject"
}

test_activations_that_cannot_be_read_waive_nothing[name] if {
	some name, value in {
		"text": "bg-1",
		"number": 7,
		"null": null,
		"list of ids": ["bg-1"],
		"an activation without its list": world.activation,
		"no end": [object.remove(world.activation, ["until"])],
		"no start": [object.remove(world.activation, ["from"])],
		"end as a word": [object.union(world.activation, {"until": "tomorrow"})],
		"start as a number": [object.union(world.activation, {"from": 0})],
		"id as a number": [object.union(world.activation, {"id": 1})],
	}
	asked := object.union(world.lacking(["workflow_id"]), {"activations": value})
	decision := world.decide(asked)
	decision.action == "reject"
	decision.waived == []
}

# Even if the data says so, and even alone.
test_a_conflict_is_not_waivable[name] if {
	some name, codes in {"alone": ["ownership_conflict"], "among others": ["ownership_conflict", "ownership_missing"]}
	asked := world.asked({"ownership": {"owner_team": "team-b"}, "activations": [world.activation]})
	decision := world.decide_in(asked, _changed({"codes": codes, "fields": ["owner_team"]}))
	decision.action == "reject"
	decision.waived == []
	world.faults(decision) == {"ownership_conflict owner_team"}
}

test_an_unreadable_clock_ends_every_activation if {
	decision := world.decide(object.union(_activated, {"now": ""}))
	decision.action == "reject"
	decision.waived == []
}
