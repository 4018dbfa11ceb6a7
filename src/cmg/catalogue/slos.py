"""The service's objectives; the burn rates of rules/slo.yml follow them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """A promise over 30 days: which share of calls is good, and what good means."""

    name: str
    title: str
    objective: float
    good: str
    days: int = 30

    @property
    def budget(self) -> float:
        """The share of calls that may be bad."""
        return round(1 - self.objective, 6)


@dataclass(frozen=True)
class BurnRate:
    """How fast a budget may be used up before somebody is told: over a long window, and still over a short one."""

    rate: float
    long: str
    short: str
    severity: str


OBJECTIVES = (
    Objective("availability", "Calls are answered", 0.999, "A request below /v1/ is answered without a 5xx."),
    Objective("latency", "The gateway adds little", 0.99, "A model call spends at most 0.25 s in the gateway itself."),
)
# Google's SRE workbook, chapter 5, table 5-8.
BURN_RATES = (
    BurnRate(14.4, "1h", "5m", "P1"),
    BurnRate(6, "6h", "30m", "P2"),
    BurnRate(3, "1d", "2h", "P3"),
    BurnRate(1, "3d", "6h", "P4"),
)
