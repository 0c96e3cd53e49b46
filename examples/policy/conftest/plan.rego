# What must hold of a plan besides the gates, for `conftest test --policy examples/policy/conftest plan.json`.
package main

import rego.v1

# The shape is Terraform's, so rules written for its plans work here too.
deny contains msg if {
	some change in input.resource_changes
	change.type == "mlflow_registered_model_alias"
	"delete" in change.change.actions
	msg := sprintf("%s: an alias is deleted: services that load it would find nothing", [change.address])
}

deny contains msg if {
	some exhibit in input.evidence.exhibits
	"Production" in exhibit.slots
	exhibit.comparison.signature.compatibility == "breaking"
	msg := sprintf("%s v%d: its signature would break today's callers", [exhibit.model, exhibit.candidate.version])
}

deny contains msg if {
	some verdict in input.verdicts
	verdict.ruling == "overridden"
	verdict.gate == "bias"
	msg := sprintf("%s v%d: nobody overrides the gate %s", [verdict.model, verdict.version, verdict.gate])
}

warn contains msg if {
	some exhibit in input.evidence.exhibits
	some metric in exhibit.comparison.metrics
	metric.trend == "worse"
	msg := sprintf("%s v%d: %s is worse", [exhibit.model, exhibit.candidate.version, metric.name])
}
