# METADATA
# title: Enforcement mode
# description: |
#   report_only lets every call pass and records what would have happened; enforce acts on it.
#   A service's dated steps go before its fixed modes, so a rollout is merged in advance and
#   starts without a deployment. Nobody reaches a lenient mode by naming a service, or leaving
#   out an environment, that is not theirs: then the strictest mode they could be under counts.
#   A canary enforces a share of the calls that would all be enforced, and spares the rest.
#   A mode that cannot be read is enforce, and a canary that cannot be read spares nobody.
# scope: package
# schemas:
#   - data.contract: schema.contract
#   - data.registry: schema.registry
package tallygate.admission.modes

import data.tallygate.admission.binding
import data.tallygate.admission.question

# METADATA
# title: The mode of this call
default mode := "enforce"

mode := "report_only" if _resolved.mode == "report_only"

# METADATA
# title: Which entry the mode comes from
source := _resolved.source

_resolved := {"mode": "enforce", "source": "fallback"} if {
	count(question.unreadable) > 0
} else := {"mode": _unbound_mode, "source": "unbound"} if {
	_fixed_for_unbound
} else := of_service(question.service, question.environment) if {
	binding.inside
	_environment_known
} else := {"mode": "report_only", "source": "strictest"} if {
	_possible == {"report_only"}
} else := {"mode": "enforce", "source": "strictest"} if {
	count(_possible) > 0
} else := _contract_mode

# METADATA
# title: The mode of one service in one environment
# description: |
#   The canary is looked at last. A call's bucket is its own, so that growing the share keeps
#   enforced what was enforced; a retry is another call, and may be spared.
of_service(service, environment) := _shared(planned, service, environment) if {
	planned := _planned(service, environment)
}

# METADATA
# title: The services whose modes this call could be under
# description: The claimed one when it is the principal's own, else all of the principal's.
in_question contains question.service if binding.inside

in_question contains service if {
	not binding.inside
	not _fixed_for_unbound
	some service in binding.services
}

# METADATA
# title: The dates of the schedules that were looked at
dates contains step.from if {
	some service in in_question
	some step in data.registry.services[service].schedule
}

# Principals that nothing binds have one mode for all, unless the contract says by_service.
_fixed_for_unbound if {
	not binding.bound
	_unbound_mode != "by_service"
}

default _unbound_mode := "enforce"

_unbound_mode := data.contract.unbound.mode

_shared(planned, service, environment) := {"mode": "report_only", "source": "canary"} if {
	planned.mode == "enforce"
	question.call_bucket >= _canary(service, environment)
} else := planned

# What the entries say before the canary.
_planned(service, environment) := {"mode": mode, "source": "schedule"} if {
	steps := _steps(service, environment)
	mode := _strictest({step.mode | some step in steps})
} else := {"mode": mode, "source": "service_environment"} if {
	mode := data.registry.services[service].modes[environment]
} else := {"mode": mode, "source": "service"} if {
	mode := data.registry.services[service].modes["default"]
} else := _contract_mode

# The percent of calls that are enforced where the mode is enforce. A scheduled mode has its step's
# own canary, any other the service's; of two steps with one date the strict one counts.
_canary(service, environment) := max({_enforced(step) | some step in steps}) if {
	steps := _steps(service, environment)
} else := _percent(share) if {
	share := data.registry.services[service].canary[environment]
} else := _percent(share) if {
	share := data.registry.services[service].canary["default"]
} else := 100

_enforced(step) := 0 if {
	step.mode == "report_only"
} else := _percent(step.canary) if {
	step.mode == "enforce"
} else := 100

_percent(share) := share if {
	is_number(share)
	share >= 0
} else := 100

_contract_mode := {"mode": mode, "source": "contract"} if {
	mode := data.contract.modes["default"]
} else := {"mode": "enforce", "source": "fallback"}

_environment_known if data.registry.environments[question.environment]

# Every mode that the call could be under. An environment that is unknown or not the principal's
# could be any of the principal's.
_possible contains of_service(service, environment).mode if {
	some service in in_question
	some environment in _environments
}

_environments := {question.environment} if {
	_environment_known
	binding.environment_allowed
} else := binding.environments

# The steps that decide, the newest that have started; undefined without any.
_steps(service, environment) := [step | some step in started; step.from == newest] if {
	started := [step |
		some step in data.registry.services[service].schedule
		_started(step)
		_covers(step, environment)
	]
	newest := max([step.from | some step in started])
}

_strictest(modes) := "report_only" if {
	modes == {"report_only"}
} else := "enforce"

_started(step) if {
	is_string(step.from)
	step.from <= question.now
}

_covers(step, environment) if {
	object.get(step, "environment", environment) == environment
	question.bucket < object.get(step, "percent", 100)
}
