"""Pure data about what the service shows of itself: every metric, declared once.

`telemetry` builds instruments from it; rules and dashboards will name only what stands here.
"""
