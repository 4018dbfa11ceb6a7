"""Every threshold of the monitoring procedures has its rule: how bad, which kind, and the number itself."""

import re

import pytest

from cmg.catalogue.rendering.rendering import rule_files
from cmg.catalogue.routing import INHIBITIONS
from cmg.timeseries.rules.files import AlertingRule, RuleFile

GROUPS = [group for name, text in rule_files().items() for group in RuleFile.parse(text, name).groups]
ALERTS = {rule.alert: rule for group in GROUPS for rule in group.rules if isinstance(rule, AlertingRule)}
RECORDED = {rule.name: rule.expr for group in GROUPS for rule in group.rules if not isinstance(rule, AlertingRule)}
HURTS, CRITICAL, WARNING = "P1", "P2", "P3"
# Alert, the bound in its expression (or in what it is recorded from), severity, category.
THRESHOLDS = (
    # performance, critical
    ("ApiResponseAbove5s", r'le="5\.0"', HURTS, "performance"),
    ("GatewayOverheadAbove5s", r'le="5\.0"', HURTS, "performance"),
    ("FirstTokenAbove5s", r"> 5\b", HURTS, "performance"),
    ("DatabaseQueryAbove10s", r'le="10\.0"', CRITICAL, "performance"),
    ("CacheMissesAbove50Percent", r"< 0\.5\b", CRITICAL, "performance"),
    ("ApiErrorsAbove5Percent", r"> 0\.05\b", HURTS, "performance"),
    ("QueueDepthAbove1000", r"> 1000\b", CRITICAL, "performance"),
    # performance, warning
    ("ApiResponseAbove2s", r'le="2\.0"', WARNING, "performance"),
    ("GatewayOverheadAbove2s", r'le="2\.0"', WARNING, "performance"),
    ("FirstTokenAbove2s", r"> 2\b", WARNING, "performance"),
    ("DatabasePoolAbove80Percent", r"> 0\.8\b", WARNING, "performance"),
    ("CacheHitsBelow80Percent", r"< 0\.8\b", WARNING, "performance"),
    ("MemoryUseAbove85Percent", r"> 0\.85\b", WARNING, "performance"),
    ("CpuUseAbove80Percent", r"> 0\.8\b", WARNING, "performance"),
    # capacity, warning and critical
    ("CpuUseAbove70Percent", r"> 0\.7\b", WARNING, "capacity"),
    ("CpuUseAbove90Percent", r"> 0\.9\b", CRITICAL, "capacity"),
    ("MemoryUseAbove80Percent", r"> 0\.8\b", WARNING, "capacity"),
    ("MemoryUseAbove95Percent", r"> 0\.95\b", CRITICAL, "capacity"),
    ("DiskUseAbove85Percent", r"> 0\.85\b", WARNING, "capacity"),
    ("DiskUseAbove95Percent", r"> 0\.95\b", CRITICAL, "capacity"),
    ("NetworkUseAbove75Percent", r"> 0\.75\b", WARNING, "capacity"),
    ("NetworkUseAbove90Percent", r"> 0\.9\b", CRITICAL, "capacity"),
    ("DatabaseConnectionsAbove80Percent", r"> 0\.8\b", WARNING, "capacity"),
    ("DatabaseConnectionsAbove95Percent", r"> 0\.95\b", CRITICAL, "capacity"),
)
# Where one quantity has several levels: the worst one that fires is the one that is told.
LADDERS = (
    ("CpuUseAbove90Percent", "CpuUseAbove80Percent", "CpuUseAbove70Percent"),
    ("MemoryUseAbove95Percent", "MemoryUseAbove85Percent", "MemoryUseAbove80Percent"),
    ("DiskUseAbove95Percent", "DiskUseAbove85Percent"),
    ("NetworkUseAbove90Percent", "NetworkUseAbove75Percent"),
    ("DatabaseConnectionsAbove95Percent", "DatabaseConnectionsAbove80Percent"),
    ("ApiResponseAbove5s", "ApiResponseAbove2s"),
    ("GatewayOverheadAbove5s", "GatewayOverheadAbove2s"),
    ("FirstTokenAbove5s", "FirstTokenAbove2s"),
    ("CacheMissesAbove50Percent", "CacheHitsBelow80Percent"),
)
TRAFFIC = r">= \d+"  # a ratio of a handful of requests is no incident


def _whole(expr: str) -> str:
    """An expression with what its recorded series are recorded from."""
    return " ".join([expr, *(told for name, told in RECORDED.items() if name in expr)])


@pytest.mark.parametrize(("alert", "bound", "severity", "category"), THRESHOLDS, ids=[one[0] for one in THRESHOLDS])
def test_threshold_has_its_rule(alert: str, bound: str, severity: str, category: str):
    rule = ALERTS[alert]
    assert re.search(bound, _whole(rule.expr)), rule.expr
    assert (rule.labels["severity"].text, rule.labels["category"].text) == (severity, category)
    if re.match("Api|Gateway|FirstToken|Cache", alert):
        assert re.search(TRAFFIC, rule.expr), "it needs a minimum of traffic"


@pytest.mark.parametrize("ladder", LADDERS, ids=[one[0] for one in LADDERS])
def test_the_worst_level_is_told_alone(ladder: tuple[str, ...]):
    silenced = {one.source: set(one.targets) for one in INHIBITIONS}
    for place, worse in enumerate(ladder[:-1]):
        assert set(ladder[place + 1 :]) <= silenced.get(worse, set())
