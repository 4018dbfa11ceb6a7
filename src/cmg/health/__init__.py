"""The health of a machine: probes run in the background, levels, and what became of them over time.

Probes of this machine's parts and of what it depends on enter; out come `application/health+json` (draft-inadarei-06),
levels as metrics, and a history of transitions from which uptime is computed. Whoever answers reads the last report,
so an answer never waits for what it tells about.
"""
