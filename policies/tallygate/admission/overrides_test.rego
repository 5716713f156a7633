# METADATA
# title: Tests of expiring overrides
# scope: package
package tallygate.admission.overrides_test

import data.tallygate.admission.world_test as world

_no_tenant := world.asked({"shapes": {"tenant_id_hash": "absent"}})

_waived := [{"code": "ownership_missing", "field": "tenant_id_hash", "override": "ovr-1"}]

_changed(changes) := {"overrides": {"search": {"ovr-1": object.union(world.override, changes)}}}

test_an_active_override_waives_and_is_recorded if {
	decision := world.decide(_no_tenant)
	decision.action == "admit"
	decision.would_action == "admit"
	decision.violations == []
	decision.waived == _waived
	decision.notices == []
}

test_an_override_waives_nothing_else if {
	decision := world.decide(object.union(
		world.lacking(["workflow_id"]),
		{"shapes": {"tenant_id_hash": "absent"}},
	))
	decision.action == "reject"
	decision.waived == _waived
	world.faults(decision) == {"ownership_missing workflow_id"}
}

test_an_override_waives_a_required_field if {
	world.decide_in(world.lacking(["workflow_id"]), _changed({"fields": ["workflow_id"]})).action == "admit"
}

test_start_and_expiry_are_exact[name] if {
	some name, case in {
		"a second before it starts": {"now": "2026-10-31T23:59:59Z", "action": "reject", "notices": []},
		"the second it starts": {"now": "2026-11-01T00:00:00Z", "action": "admit", "notices": []},
		"a second before it expires": {"now": "2026-11-30T23:59:59Z", "action": "admit", "notices": []},
		"the second it expires": {"now": "2026-12-01T00:00:00Z", "action": "reject", "notices": [{"code": "override_expired", "subject": "ovr-1"}]},
	}
	decision := world.decide(object.union(_no_tenant, {"now": case.now}))
	decision.action == case.action
	decision.notices == case.notices
}

test_an_expired_override_is_not_mentioned_when_nothing_was_wrong if {
	world.decide(world.asked({"now": "2026-12-05T00:00:00Z"})).notices == []
}

test_an_override_covers_its_environments_only if {
	decision := world.decide_in(_no_tenant, _changed({"environments": ["dev"]}))
	decision.action == "reject"
	decision.valid_until == "2027-01-01T00:00:00Z"
}

test_an_override_without_environments_covers_all if {
	override := object.remove(world.override, ["environments"])
	world.decide_in(_no_tenant, {"overrides": {"search": {"ovr-1": override}}}).action == "admit"
}

test_another_service_gains_nothing if {
	asked := object.union(_no_tenant, {"ownership": {"service": "quarantined"}})
	world.decide(asked).waived == []
}

test_two_overrides_are_both_recorded if {
	overrides := {"search": {"ovr-1": world.override, "ovr-2": world.override}}
	decision := world.decide_in(_no_tenant, {"overrides": overrides})
	{entry.override | some entry in decision.waived} == {"ovr-1", "ovr-2"}
}

_invalid := {
	"approved by its requester": _changed({"approved_by": "a-lead"}),
	"names a conflict": _changed({"codes": ["ownership_missing", "ownership_conflict"]}),
	"expiry as a word": _changed({"expires_at": "never"}),
	"expiry as a number": _changed({"expires_at": 20271231}),
	"start as null": _changed({"starts_at": null}),
	"null": {"overrides": {"search": {"ovr-1": null}}},
	"text": {"overrides": {"search": {"ovr-1": "please"}}},
	"empty": {"overrides": {"search": {"ovr-1": {}}}},
}

test_an_invalid_override_waives_nothing_and_is_noticed[name] if {
	some name, changed in _invalid
	decision := world.decide_in(_no_tenant, changed)
	decision.action == "reject"
	decision.waived == []
	decision.notices == [{"code": "override_invalid", "subject": "ovr-1"}]
}

test_an_override_without_a_mandatory_part_is_invalid[part] if {
	some part in [
		"codes", "fields", "starts_at", "expires_at",
		"requested_by", "approved_by", "reason", "ticket",
	]
	override := object.remove(world.override, [part])
	decision := world.decide_in(_no_tenant, {"overrides": {"search": {"ovr-1": override}}})
	decision.action == "reject"
	decision.notices == [{"code": "override_invalid", "subject": "ovr-1"}]
}

# Even if the data says so, and even alone.
test_a_conflict_is_not_waivable[name] if {
	some name, codes in {"alone": ["ownership_conflict"], "among others": ["ownership_conflict", "ownership_missing"]}
	asked := world.asked({"ownership": {"owner_team": "team-b"}})
	decision := world.decide_in(asked, _changed({"codes": codes, "fields": ["owner_team"]}))
	decision.action == "reject"
	decision.waived == []
	world.faults(decision) == {"ownership_conflict owner_team"}
}

test_an_unreadable_clock_expires_every_override if {
	decision := world.decide(object.union(_no_tenant, {"now": ""}))
	decision.action == "reject"
	decision.waived == []
}
