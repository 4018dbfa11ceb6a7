"""The operators of PromQL: between numbers, between the matching series of two vectors, and over groups of series.

Vectors enter and a vector leaves, for all steps at once; what Prometheus refuses is an `ExecutionError`.
"""
