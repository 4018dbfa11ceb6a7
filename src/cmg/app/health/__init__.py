"""Health of one process and of its machine, and the metrics of all its processes, over HTTP.

Resources with their probes and observations enter; a level for strangers and `application/health+json` for operators
leave.
"""
