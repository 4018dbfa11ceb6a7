"""Rules that are ready to be taken: about budgets, errors and what calls cost."""

from collections.abc import Mapping
from dataclasses import dataclass

from cmg.alerting.setup.documents import AlertRule
from cmg.kit.errors import InvalidRequest
from cmg.timeseries.written import number


@dataclass(frozen=True)
class RuleTemplate:
    """A rule with one number that people choose; `expr` has it as `$threshold`."""

    name: str
    told: str
    threshold: float
    expr: str
    summary: str
    severity: str
    for_seconds: int

    def rule(self, threshold: float | None = None) -> AlertRule:
        """The rule itself."""
        chosen = number(self.threshold if threshold is None else threshold)
        return AlertRule.model_validate(
            {
                "expr": self.expr.replace("$threshold", chosen),
                "for_seconds": self.for_seconds,
                "severity": self.severity,
                "summary": self.summary,
            }
        )


TEMPLATES: tuple[RuleTemplate, ...] = (
    RuleTemplate(
        "budget",
        "A key has used more than this share of its budget.",
        0.8,
        "cmg_workspace_key_budget_used_ratio > $threshold",
        "{{ $value | humanizePercentage }} of a key's budget is used",
        "P3",
        0,
    ),
    RuleTemplate(
        "error-rate",
        "More than this share of the calls of ten minutes failed or were cut, of at least 20.",
        0.1,
        'sum(increase(cmg_workspace_calls_total{outcome=~"error|cut"}[10m]))'
        " / sum(increase(cmg_workspace_calls_total[10m])) > $threshold"
        " and sum(increase(cmg_workspace_calls_total[10m])) >= 20",
        "{{ $value | humanizePercentage }} of the calls fail",
        "P2",
        120,
    ),
    RuleTemplate(
        "spend-spike",
        "The last hour cost so many times what an hour of the day before did, and more than a dollar.",
        4,
        "sum(increase(cmg_workspace_cost_usd_total[1h]))"
        " > $threshold * sum(increase(cmg_workspace_cost_usd_total[1d] offset 1h)) / 24"
        " and sum(increase(cmg_workspace_cost_usd_total[1h])) > 1",
        'Calls cost {{ $value | printf "%.2f" }} USD in an hour, far more than usual',
        "P3",
        300,
    ),
)
_BY_NAME: Mapping[str, RuleTemplate] = {one.name: one for one in TEMPLATES}


def template(name: str) -> RuleTemplate:
    """Raises `InvalidRequest`."""
    if name not in _BY_NAME:
        raise InvalidRequest(
            f"`template`: there is no {name[:64]!r}; there are {', '.join(_BY_NAME)}", param="template"
        )
    return _BY_NAME[name]
