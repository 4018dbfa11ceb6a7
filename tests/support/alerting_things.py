"""One document of every kind, an alert and a calendar's feed in a workspace: what alerting owns there."""

from datetime import UTC, datetime, timedelta
from typing import Any

from support.processes import wait_until
from support.service import Service

# What a document names must be there first.
NEEDS = {
    "responders": "notification-channels",
    "schedules": "responders",
    "escalation-policies": "responders",
    "alert-routes": "escalation-policies",
    "calendar-feeds": "schedules",
}


def documents(name: str) -> dict[str, dict[str, Any]]:
    """Path → a document for it; they name each other. In the order in which they can be written."""
    now = datetime.now(UTC)
    span = {"starts_at": now.isoformat(), "ends_at": (now + timedelta(hours=3)).isoformat()}
    match = [{"label": "alertname", "value": f"Nothing{name}"}]
    return {
        "notification-channels": {"kind": "webhook", "settings": {"url": "http://127.0.0.1:9/"}},
        "responders": {"name": name, "contacts": [{"channel": name, "address": "x"}]},
        "schedules": {"name": name, "layers": [{"people": [name], "starts_on": "2026-01-01"}]},
        "business-calendars": {},
        "escalation-policies": {"name": name, "steps": [{"after_minutes": 0, "targets": [{"responder": name}]}]},
        "alert-routes": {"policy": name, "matchers": match},
        "silences": {"matchers": match, **span},
        "maintenance-windows": {"name": name, "matchers": match, **span},
        "inhibitions": {"source": match, "target": match},
        "heartbeats": {"url": "http://127.0.0.1:9/", "every_seconds": 3600},
        "drills": {"matchers": match, **span},
        "alert-rules": {"expr": "cmg_workspace_calls_total < 0"},
    }


class AlertingThings:
    """They stand under the workspace's own name. `ids` gives them by the names that paths have for them."""

    def __init__(self, service: Service, workspace: str) -> None:
        self._service, self._name = service, f"thing-{workspace}"
        self._key = str(service.new_key_full(workspace=workspace, scopes=["admin", "alerts"])["key"])
        self._documents = documents(self._name)
        self._changed = {*self._documents, "calendar-feeds"}
        for kind in self._documents:
            self.write(kind)
        self._alert, self._feed_id = self._report(), ""

    def write(self, kind: str) -> None:
        """See that the document is there, in the place of whatever somebody left, and what it names."""
        if kind in NEEDS:
            self.write(NEEDS[kind])
        if kind not in self._changed:
            return
        path = f"/admin/v1/{kind}/{self._name}"
        status, told = self._service.call("PUT", path, self._documents[kind], self._key)
        assert status == 200, (path, told)
        self._changed.discard(kind)

    def changed(self, path: str) -> None:
        """Somebody may have changed or destroyed what a path names, and with it what needs that."""
        gone = {_kind(path)}
        while more := {one for one, needed in NEEDS.items() if needed in gone} - gone:
            gone |= more
        self._changed |= gone

    def _report(self) -> str:
        report = {"labels": {"alertname": f"Alert{self._name}", "severity": "warning"}}
        status, told = self._service.call("POST", "/admin/v1/alerts", {"alerts": [report]}, self._key)
        assert status == 202, told

        def found() -> Any:
            return self._service.call("GET", "/admin/v1/alerts", None, self._key)[1]["items"]

        wait_until(found, 20, "the alert is there")
        return str(found()[0]["id"])

    def _feed(self) -> str:
        if "calendar-feeds" not in self._changed:
            return self._feed_id
        body = {"schedule": self._name}
        status, made = self._service.call("POST", "/admin/v1/calendar-feeds", body, self._key)
        assert status in {200, 201}, made
        self._changed.discard("calendar-feeds")
        self._feed_id = str(made["id"])
        return self._feed_id

    def ids(self, path: str) -> dict[str, str]:
        """What stands in a path for this workspace's things; what somebody destroyed is there again."""
        kind = _kind(path)
        if kind in self._documents:
            self.write(kind)
            return {"name": self._name}
        if kind == "calendar-feeds" and "{" in path:
            self.write("schedules")
            return {"feed": self._feed()}
        return {"alert_id": self._alert} if kind == "alerts" else {}


def _kind(path: str) -> str:
    return path.removeprefix("/admin/v1/").partition("/")[0]
