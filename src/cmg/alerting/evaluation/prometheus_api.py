"""`/api/v1/rules` and `/api/v1/alerts` in Prometheus' shapes, in front of whoever answers everything else."""

from collections.abc import Mapping
from typing import Any

import msgspec

from cmg.alerting.evaluation.evaluator import Evaluated, Evaluator
from cmg.kit.clock import rfc3339
from cmg.timeseries.api.parameters import Form
from cmg.timeseries.api.routes import Prometheus
from cmg.timeseries.rules.alerts import Alert
from cmg.timeseries.rules.evaluation import Outcome
from cmg.timeseries.rules.files import DEFAULT_INTERVAL_MS, AlertingRule, Rule
from cmg.timeseries.rules.templates import Template
from cmg.timeseries.written import sample_value

_NEVER = "0001-01-01T00:00:00Z"
_TYPES = {"alert": "alerting", "record": "recording"}


class WithRules:
    """Answers `rules` and `alerts` from an evaluator, the rest by `other`."""

    def __init__(self, other: Prometheus, evaluator: Evaluator) -> None:
        self._other, self._evaluator = other, evaluator

    async def answer(self, endpoint: str, form: Form) -> tuple[int, bytes]:
        """Status and JSON of one call."""
        if endpoint == "alerts":
            return _good({"alerts": [_alert(one) for one in self._alerts()]})
        if endpoint == "rules":
            wanted = next(iter(form.get("type", ())), "")
            if wanted not in {"", *_TYPES}:
                told = {"status": "error", "errorType": "bad_data", "error": f'not supported value "{wanted}"'}
                return 400, msgspec.json.encode(told)
            groups = [_group(one, _TYPES.get(wanted)) for one in self._evaluator.groups]
            return _good({"groups": [one for one in groups if one["rules"] or not wanted]})
        return await self._other.answer(endpoint, form)

    def _alerts(self) -> list[Alert]:
        outcomes = [outcome for group in self._evaluator.groups for outcome in group.outcomes]
        return [one for outcome in outcomes for one in outcome.alerts if one.state != "resolved"]


def _good(data: Any) -> tuple[int, bytes]:
    return 200, msgspec.json.encode({"status": "success", "data": data})


def _group(group: Evaluated, wanted: str | None) -> dict[str, Any]:
    written = group.evaluation.group
    outcomes: Mapping[int, Outcome] = dict(enumerate(group.outcomes))
    last = rfc3339(group.at_ms / 1000) if group.at_ms else _NEVER
    rules = [_rule(rule, outcomes.get(place), last) for place, rule in enumerate(written.rules)]
    return {
        "name": written.name,
        "file": written.file,
        "interval": (written.interval_ms or DEFAULT_INTERVAL_MS) / 1000,
        "limit": written.limit,
        "rules": [one for one in rules if wanted in {None, one["type"]}],
        "evaluationTime": group.took_s,
        "lastEvaluation": last,
    }


def _rule(rule: Rule, outcome: Outcome | None, last: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": rule.name,
        "query": rule.expr,
        "health": "unknown" if outcome is None else "err" if outcome.error else "ok",
        "lastEvaluation": last,
        "evaluationTime": 0.0,
    }
    if outcome is not None and outcome.error:
        shown["lastError"] = outcome.error
    if not isinstance(rule, AlertingRule):
        return {**shown, "labels": dict(rule.labels), "type": "recording"}
    active = [one for one in outcome.alerts if one.state != "resolved"] if outcome else []
    states = {one.state for one in active}
    return {
        **shown,
        "state": "firing" if "firing" in states else "pending" if states else "inactive",
        "duration": rule.for_ms / 1000,
        "keepFiringFor": rule.keep_firing_for_ms / 1000,
        "labels": _texts(rule.labels),
        "annotations": _texts(rule.annotations),
        "alerts": [_alert(one) for one in active],
        "type": "alerting",
    }


def _texts(templates: Mapping[str, Template]) -> dict[str, str]:
    return {name: one.text for name, one in templates.items()}


def _alert(alert: Alert) -> dict[str, Any]:
    shown = {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": alert.state,
        "activeAt": rfc3339(alert.active_at_ms / 1000),
        "value": sample_value(alert.value),
    }
    return shown if alert.kept_since_ms is None else {**shown, "keepFiringSince": rfc3339(alert.kept_since_ms / 1000)}
