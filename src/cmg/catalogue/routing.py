"""Severities, who hears of them how fast, and which alert makes another one superfluous."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Severity:
    """One level: the time to answer, how long alerts are gathered, and how often one that goes on is told again."""

    name: str
    title: str
    response: str
    group_wait: str
    group_interval: str
    repeat: str


@dataclass(frozen=True)
class Inhibition:
    """While `source` fires, `targets` about the same thing (`equal` labels, which all must have) are not told."""

    source: str
    targets: tuple[str, ...]
    equal: tuple[str, ...]


SEVERITIES = (
    Severity("P1", "critical", "5 minutes", "10s", "1m", "1h"),
    Severity("P2", "high", "30 minutes", "30s", "5m", "4h"),
    Severity("P3", "medium", "2 hours", "2m", "10m", "12h"),
    Severity("P4", "low", "the next business day", "10m", "1h", "24h"),
)
CATEGORIES = (
    "availability",
    "budget",
    "cache",
    "capacity",
    "database",
    "dependency",
    "freshness",
    "jobs",
    "logs",
    "performance",
    "security",
    "slo",
    "upstream",
)
_MACHINE = ("job", "instance")
INHIBITIONS = (
    Inhibition("CpuUseAbove90Percent", ("CpuUseAbove80Percent", "CpuUseAbove70Percent"), _MACHINE),
    Inhibition("CpuUseAbove80Percent", ("CpuUseAbove70Percent",), _MACHINE),
    Inhibition("MemoryUseAbove95Percent", ("MemoryUseAbove85Percent", "MemoryUseAbove80Percent"), _MACHINE),
    Inhibition("MemoryUseAbove85Percent", ("MemoryUseAbove80Percent",), _MACHINE),
    Inhibition("DiskUseAbove95Percent", ("DiskUseAbove85Percent", "DiskFullInFourDays"), (*_MACHINE, "volume")),
    Inhibition("NetworkUseAbove90Percent", ("NetworkUseAbove75Percent",), _MACHINE),
    Inhibition("DatabaseConnectionsAbove95Percent", ("DatabaseConnectionsAbove80Percent",), ()),
    Inhibition("ApiResponseAbove5s", ("ApiResponseAbove2s",), ("route",)),
    Inhibition("GatewayOverheadAbove5s", ("GatewayOverheadAbove2s",), ()),
    Inhibition("FirstTokenAbove5s", ("FirstTokenAbove2s",), ("upstream", "model")),
    Inhibition("CacheMissesAbove50Percent", ("CacheHitsBelow80Percent",), ()),
    Inhibition("UpstreamErrorsAbove50Percent", ("UpstreamErrorsAbove10Percent", "CircuitBreakerOpen"), ("upstream",)),
    Inhibition(
        "AvailabilityBurnFast", ("AvailabilityBurnHigh", "AvailabilityBurnSteady", "AvailabilityBurnSlow"), ("slo",)
    ),
    Inhibition("LatencyBurnFast", ("LatencyBurnHigh", "LatencyBurnSteady", "LatencyBurnSlow"), ("slo",)),
    Inhibition("ServiceCritical", ("ServiceUnhealthy", "ComponentDegraded"), _MACHINE),
    Inhibition("ServiceUnhealthy", ("ComponentDegraded",), _MACHINE),
    Inhibition("PostgresDown", ("DatabaseAway",), ()),
    Inhibition("RedisDown", ("RedisAway", "CacheAway"), ()),
)
