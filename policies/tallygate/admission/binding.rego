# METADATA
# title: Binding of principals
# description: |
#   LiteLLM proves who is calling (a key, a team); the registry says for whom that principal may
#   speak. A claim within the binding is right, also on a shared principal; a registered value
#   outside it is a conflict. So a team cannot bill another one by typing its name.
# scope: package
# schemas:
#   - input: schema.input
#   - data.contract: schema.contract
#   - data.registry: schema.registry
package tallygate.admission.binding

import data.tallygate.admission.question

# METADATA
# title: The principal's entry in the registry
# description: The key's own entry goes before its team's.
entry := by_key if {
	by_key := data.registry.principals.keys[input.principal.key]
} else := by_team if {
	by_team := data.registry.principals.teams[input.principal.team]
}

# METADATA
# title: Whether the registry knows the principal
# description: An entry that cannot be read binds too, and allows nothing.
default bound := false

bound if entry != false

# METADATA
# title: The teams that the principal may charge
payers contains entry.team

payers contains team if some team in entry.may_charge

# METADATA
# title: The claims that name something real outside the binding
# description: A value that nobody registered is unknown instead; it can bill nobody.
breaches contains "owner_team" if {
	bound
	data.registry.teams[question.owner_team]
	not question.owner_team in payers
}

breaches contains "service" if {
	data.registry.services[question.service]
	not service_allowed
}

breaches contains "environment" if {
	data.registry.environments[question.environment]
	not environment_allowed
}

# METADATA
# title: The claimed service is one that the principal may speak for
default service_allowed := false

service_allowed if question.service in entry.services

service_allowed if {
	bound
	not _lists_services
	data.registry.services[question.service].owner_team in payers
}

service_allowed if {
	not bound
	some allowed in data.contract.unbound.services
	allowed in {"*", question.service}
}

# METADATA
# title: The claimed environment is one that the principal may speak for
default environment_allowed := false

environment_allowed if question.environment in entry.environments

environment_allowed if not _lists_environments

# METADATA
# title: The claim is within the binding and names a registered service
default inside := false

inside if {
	data.registry.services[question.service]
	count(breaches) == 0
}

# METADATA
# title: All services that the principal may speak for
# description: Only asked when the claimed one is not among them.
services contains service if {
	some service in entry.services
	data.registry.services[service]
}

services contains service if {
	bound
	not _lists_services
	some service, registered in data.registry.services
	registered.owner_team in payers
}

services contains service if {
	not bound
	some service in data.contract.unbound.services
	data.registry.services[service]
}

services contains service if {
	not bound
	"*" in data.contract.unbound.services
	some service, _ in data.registry.services
}

# METADATA
# title: All environments that the principal may speak for
environments contains environment if some environment in entry.environments

environments contains environment if {
	not _lists_environments
	some environment, _ in data.registry.environments
}

# METADATA
# title: A notice on a principal that no registry entry binds
# description: What such a call claims is recorded as unproven.
notices contains {"code": "principal_unbound", "subject": "principal"} if not bound

_lists_services if entry.services

_lists_environments if entry.environments
