"""PromQL with the semantics of Prometheus 3: text becomes a plan, the plan names the samples it needs.

Expressions and samples enter; vectors with labels, worked out on numpy's matrices for all steps at once, leave.
"""
