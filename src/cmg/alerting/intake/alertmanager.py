"""Alertmanager's webhook, version 4, and Grafana's, which has its shape and a version of its own."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from cmg.alerting.intake.cleaning import MOST_ALERTS, cleaned, known_moment
from cmg.alerting.models import Report

# Go writes a map that was never filled as null.
Texts = Annotated[dict[str, str], BeforeValidator(lambda value: {} if value is None else value)]


class SentAlert(BaseModel):
    """One alert as both systems send it; what is not read here is theirs."""

    model_config = ConfigDict(extra="ignore")

    status: Literal["firing", "resolved"]
    labels: Texts = {}
    annotations: Texts = {}
    starts_at: str = Field("", alias="startsAt")
    ends_at: str = Field("", alias="endsAt")
    generator_url: str = Field("", alias="generatorURL")


class AlertmanagerWebhook(BaseModel):
    """The body. Leave `max_alerts` of Alertmanager's webhook at 0, so that it leaves none away."""

    model_config = ConfigDict(extra="ignore")

    version: Literal["4"]
    receiver: str = ""
    group_key: str = Field("", alias="groupKey")
    truncated: int = Field(0, alias="truncatedAlerts")
    alerts: Annotated[list[SentAlert], Field(max_length=MOST_ALERTS)]


class GrafanaWebhook(BaseModel):
    """Grafana's body: Alertmanager's with fields of its own."""

    model_config = ConfigDict(extra="ignore")

    alerts: Annotated[list[SentAlert], Field(max_length=MOST_ALERTS)]


def of_alertmanager(sent: AlertmanagerWebhook) -> list[Report]:
    """What it says of each alert, and of those that it left away: whoever set `max_alerts` has to hear of it."""
    labels = {"alertname": "AlertmanagerLeavesAlertsAway", "severity": "warning", "component": "alerting"}
    told = f"Alertmanager left {sent.truncated} alerts away: set `max_alerts` of the receiver's webhook to 0"
    left = Report(
        labels={**labels, "receiver": sent.receiver, "group_key": sent.group_key},
        annotations={"summary": told},
        firing=sent.truncated > 0,
        source="alertmanager",
    )
    return [*reports(sent.alerts, "alertmanager"), cleaned(left)]


def reports(sent: list[SentAlert], source: str) -> list[Report]:
    """What a webhook says of each alert."""
    return [_report(one, source) for one in sent]


def _report(sent: SentAlert, source: str) -> Report:
    firing = sent.status == "firing"
    fields: dict[str, Any] = {"firing": firing, "source": source, "generator_url": sent.generator_url}
    ends = _moment(sent.ends_at)
    return cleaned(
        Report(
            labels=sent.labels,
            annotations=sent.annotations,
            starts_at=_moment(sent.starts_at),
            ends_at=None if firing else ends,  # of a firing one it is a guess that is renewed with every report
            **fields,
        )
    )


def _moment(text: str) -> float | None:
    """Epoch seconds; None for what is no time, and for the year 1 that stands for none."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return known_moment(read) if read.tzinfo is not None else None
