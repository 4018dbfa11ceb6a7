"""How each component is looked at, and the same look at something that is known to be bad.

Ports and addresses enter; probes leave. What a look finds are readings, what it raises is UNHEALTHY.
"""
