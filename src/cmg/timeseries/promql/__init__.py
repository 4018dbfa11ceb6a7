"""PromQL with the semantics of Prometheus 3: text becomes a plan, a plan names the samples it needs, and samples
become values for all steps at once on numpy's matrices. Expressions and samples enter; vectors with labels leave.
"""
