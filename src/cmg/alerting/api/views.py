"""Alerts, groups, decisions and messages as they are shown."""

from datetime import datetime
from typing import Any

import msgspec

from cmg.alerting.alerts import Story
from cmg.alerting.models import Alert, Decision, Group, Notification
from cmg.kit.clock import at

_HIDDEN = {
    "group_id", "policy_id", "incident_id", "labels", "route", "round", "begun_at", "note", "paged", "heard", "quiet",
}  # fmt: skip


def alert_view(alert: Alert) -> dict[str, Any]:
    """One alert."""
    fields = msgspec.structs.asdict(alert)
    fields.pop("turns")
    fields.pop("paged")
    fields.pop("since")
    return {
        **fields,
        "id": fields.pop("fingerprint"),
        "group": fields.pop("group_id"),
        "name": alert.name,
        "starts_at": at(alert.starts_at),
        "ends_at": _at(alert.ends_at),
        "seen_at": at(alert.seen_at),
    }


def group_view(group: Group) -> dict[str, Any]:
    """One group."""
    fields = {name: value for name, value in msgspec.structs.asdict(group).items() if name not in _HIDDEN}
    moments = {name: _at(fields[name]) for name in ("opened_at", "told_at", "acknowledged_at", "resolved_at", "until")}
    return {**fields, **moments, "policy": group.policy_id, "incident": group.incident_id}


def decision_view(decision: Decision) -> dict[str, Any]:
    """One decision with its verdicts."""
    return {
        "at": at(decision.at),
        "event": decision.event,
        "outcome": decision.outcome,
        "alert": decision.fingerprint,
        "group": decision.group_id,
        "verdicts": [msgspec.structs.asdict(one) for one in decision.verdicts],
    }


def notification_view(one: Notification) -> dict[str, Any]:
    """One message, without its text and address."""
    shown = (
        "key",
        "occasion",
        "target",
        "channel",
        "step",
        "subject",
        "state",
        "attempts",
        "repeats",
        "receipt",
        "error",
    )
    fields = {name: getattr(one, name) for name in shown}
    return {**fields, "created_at": at(one.created_at), "sent_at": _at(one.sent_at)}


def story_view(story: Story) -> dict[str, Any]:
    """All of it."""
    return {
        "alert": None if story.alert is None else alert_view(story.alert),
        "group": None if story.group is None else group_view(story.group),
        "decisions": [decision_view(one) for one in story.decisions],
        "notifications": [notification_view(one) for one in story.notifications],
    }


def _at(epoch_s: float | None) -> datetime | None:
    return None if epoch_s is None else at(epoch_s)
