# METADATA
# title: Who may ask this server what
# description: |
#   For `opa run --authentication=token --authorization=basic`. It is given to OPA as a file and not in
#   the bundle, because it has to hold before there is one. Nobody may write policies or data here.
package system.authz

default allow := false

# METADATA
# title: The gate and `tallygate doctor`, with TALLYGATE_OPA_TOKEN
allow if {
	input.method == "POST"
	input.path == ["v1", "data", "tallygate", "admission", "decision"]
	input.identity == opa.runtime().env.TALLYGATE_OPA_TOKEN
}

# METADATA
# title: Probes of the platform, and Prometheus
allow if {
	input.method == "GET"
	input.path in {["health"], ["metrics"]}
}
