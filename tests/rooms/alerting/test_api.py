"""The HTTP side: hooks, lists, actions, documents; who may call, and what is refused with the field's name."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request

from cmg.alerting.api import document_routes, oncall_routes, routes
from cmg.app.control_plane import documented
from cmg.identity.models import ApiKey, Caller, Workspace
from support.alerting_world import tiers

WEBHOOK = {
    "version": "4",
    "groupKey": '{}:{alertname="Down"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "cmg",
    "groupLabels": {"alertname": "Down"},
    "commonLabels": {"alertname": "Down", "severity": "critical"},
    "commonAnnotations": {"summary": "Everything is down"},
    "externalURL": "http://alertmanager:9093",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "Down", "severity": "critical"},
            "annotations": {"summary": "Everything is down"},
            "startsAt": "2026-11-24T11:59:00.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
            "fingerprint": "a1b2c3d4e5f60708",
        }
    ],
}


def _caller(scopes: list[str], workspace: str) -> Caller:
    key = ApiKey(id="me", workspace_id=workspace, name="me", scopes=tuple(scopes))
    return Caller(key, Workspace(id=workspace, name=workspace), frozenset(scopes), "127.0.0.1")


@pytest.fixture
def app(alerts, configuring, clock) -> FastAPI:
    on_call = oncall_routes.router(alerts, clock)
    made = documented([on_call, routes.router(alerts), document_routes.router(configuring)])

    @made.middleware("http")
    async def caller(request: Request, go_on):
        scopes = request.headers.get("scopes", "admin").split()
        request.state.caller = _caller(scopes, request.headers.get("workspace", "default"))
        return await go_on(request)

    return made


@pytest.fixture
async def client(app) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cmg") as made:
        yield made


@pytest.fixture
async def ready(client) -> httpx.AsyncClient:
    """The four tiers of the scripts, written over HTTP."""
    for kind, named in tiers().items():
        for name, body in named.items():
            answer = await client.put(f"/admin/v1/{document_routes.PATHS.get(kind, kind)}/{name}", json=body)
            assert answer.status_code == 200, answer.text
    await client.put("/admin/v1/notification-channels/slack", json={"kind": "slack", "secrets": {"token": "xoxb"}})
    return client


async def test_alertmanagers_webhook_becomes_an_alert_with_its_group(ready):
    answer = await ready.post("/hooks/alertmanager", json=WEBHOOK, headers={"scopes": "alerts"})
    assert (answer.status_code, answer.json()) == (200, {"received": 1})
    (alert,) = (await ready.get("/admin/v1/alerts?active=true&severity=P1")).json()["items"]
    assert alert["starts_at"] == "2026-11-24T11:59:00.123456Z"
    assert alert["ends_at"] is None
    assert (alert["name"], alert["severity"], alert["source"], alert["held"]) == ("Down", "P1", "alertmanager", "")
    (group,) = (await ready.get("/admin/v1/alert-groups")).json()["items"]
    assert (group["id"], group["title"], group["status"]) == (alert["group"], "Everything is down", "open")


async def test_its_resolved_webhook_ends_the_group(ready):
    await ready.post("/hooks/alertmanager", json=WEBHOOK)
    over = {**WEBHOOK["alerts"][0], "status": "resolved", "endsAt": "2026-11-24T12:00:00Z"}
    await ready.post("/hooks/alertmanager", json={**WEBHOOK, "status": "resolved", "alerts": [over]})
    assert (await ready.get("/admin/v1/alert-groups?status=open")).json()["items"] == []
    (alert,) = (await ready.get("/admin/v1/alerts")).json()["items"]
    assert (alert["firing"], alert["ends_at"]) == (False, "2026-11-24T12:00:00Z")


async def test_grafanas_webhook_is_read_too(ready):
    sent = {**WEBHOOK, "version": "1", "orgId": 1, "title": "[FIRING:1]", "state": "alerting", "message": "x"}
    sent["alerts"] = [
        {**WEBHOOK["alerts"][0], "valueString": "[ var='A' ]", "values": {"A": 1}, "silenceURL": "http://g"}
    ]
    assert (await ready.post("/hooks/grafana", json=sent)).json() == {"received": 1}
    (alert,) = (await ready.get("/admin/v1/alerts")).json()["items"]
    assert alert["source"] == "grafana"


@pytest.mark.parametrize(
    ("path", "scopes", "status"),
    [
        ("/hooks/alertmanager", "chat metrics", 403),
        ("/hooks/alertmanager", "alerts", 200),
        ("/admin/v1/alerts", "alerts", 403),
    ],
)
async def test_a_key_that_reports_may_do_nothing_else(client, path, scopes, status):
    body = WEBHOOK if path.startswith("/hooks") else {"alerts": [{"labels": {"alertname": "X"}}]}
    assert (await client.post(path, json=body, headers={"scopes": scopes})).status_code == status


async def test_another_version_of_the_webhook_is_refused_by_name(client):
    answer = await client.post("/hooks/alertmanager", json={**WEBHOOK, "version": "3"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "version")


async def test_odd_characters_do_not_make_an_alert_disappear(ready):
    odd = {"alertname": "Od\x00d", "b": "x" * 5000, "severity": "P1", **{f"l{n}": "v" for n in range(100)}}
    body = json.dumps({**WEBHOOK, "alerts": [{"status": "firing", "labels": odd}]}).replace('"b"', '"\\ud800"')
    answer = await ready.post("/hooks/alertmanager", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {200, 400}
    body = json.dumps({**WEBHOOK, "alerts": [{"status": "firing", "labels": odd}]})
    answer = await ready.post("/hooks/alertmanager", content=body, headers={"content-type": "application/json"})
    assert answer.json() == {"received": 1}
    assert "Od�d" in [one["name"] for one in (await ready.get("/admin/v1/alerts")).json()["items"]]


async def test_people_act_on_an_alert_and_the_trail_says_so(ready, audit):
    await ready.post("/admin/v1/alerts", json={"alerts": [{"labels": {"alertname": "Down", "severity": "P1"}}]})
    (alert,) = (await ready.get("/admin/v1/alerts")).json()["items"]
    acted = await ready.post(f"/admin/v1/alerts/{alert['id']}/acknowledge")
    assert (acted.json()["status"], acted.json()["by"]) == ("acknowledged", "key:me")
    acted = await ready.post(f"/admin/v1/alerts/{alert['group']}/snooze", json={"minutes": 5})
    assert acted.json()["status"] == "snoozed"
    acted = await ready.post(f"/admin/v1/alerts/{alert['id']}/reassign", json={"responder": "bob"})
    assert acted.json()["assigned_to"] == "bob"
    acted = await ready.post(f"/admin/v1/alerts/{alert['id']}/resolve")
    assert acted.json()["status"] == "resolved"
    assert (await ready.post(f"/admin/v1/alerts/{alert['id']}/resolve")).status_code == 404
    from cmg.audit.trail import Wanted

    actions = [one.action for one in (await audit.list(Wanted("default"))).items]
    assert actions[:4] == ["alert.resolve", "alert.reassign", "alert.snooze", "alert.acknowledge"]


async def test_reassigning_to_nobody_names_the_field(ready):
    await ready.post("/admin/v1/alerts", json={"alerts": [{"labels": {"alertname": "Down"}}]})
    (alert,) = (await ready.get("/admin/v1/alerts")).json()["items"]
    answer = await ready.post(f"/admin/v1/alerts/{alert['id']}/reassign", json={"responder": "nobody"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "responder")


async def test_lists_are_paged(ready):
    sent = {"alerts": [{"labels": {"alertname": f"A{n}", "severity": "P4"}} for n in range(7)]}
    await ready.post("/admin/v1/alerts", json=sent)
    seen, cursor = [], ""
    while cursor is not None:
        page = (await ready.get(f"/admin/v1/alerts?limit=3{cursor}")).json()
        seen += [one["name"] for one in page["items"]]
        cursor = page["next"] and f"&cursor={page['next']}"
    assert sorted(seen) == [f"A{n}" for n in range(7)]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("silences/x", {"matchers": [], "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2027-01-01T00:00:00Z"},
         "matchers"),
        ("silences/x", {"matchers": [{"label": "a", "value": "b"}], "starts_at": "soon", "ends_at": "x"}, "starts_at"),
        ("schedules/x", {"name": "x", "layers": [{"people": ["ada"], "starts_on": "2026-01-01"}]}, "layers[0].people"),
        ("schedules/x", {"name": "x", "timezone": "Mars", "layers": []}, "timezone"),
        ("escalation-policies/x", {"name": "x", "steps": [{"after_minutes": 0, "targets": [{"schedule": "no"}]}]},
         "steps[0].targets[0].schedule"),
        ("schedules/x", {"name": "x", "layers": [{"people": ["ada"], "starts_on": "2026-02-30"}]},
         "layers.0.starts_on"),
        ("alert-routes/x", {"policy": "no"}, "policy"),
        ("notification-channels/x", {"kind": "pigeon"}, "kind"),
        ("responders/x", {"name": "x", "contacts": [{"channel": "no"}]}, "contacts[0].channel"),
    ],
)  # fmt: skip
async def test_a_wrong_document_is_refused_with_the_fields_name(client, path, body, field):
    answer = await client.put(f"/admin/v1/{path}", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field), answer.text


async def test_a_document_that_is_named_by_another_stays(ready):
    answer = await ready.delete("/admin/v1/responders/ada")
    assert answer.status_code == 409
    assert "escalation-policies/default" in answer.json()["error"]["message"]
    assert (await ready.delete("/admin/v1/escalation-policies/default")).status_code == 204
    assert (await ready.delete("/admin/v1/responders/ada")).status_code == 204
    assert (await ready.get("/admin/v1/responders/ada")).status_code == 404


async def test_secrets_are_sealed_in_the_table_and_never_shown(client, database, sealer):
    body = {"kind": "webhook", "settings": {"url": "http://x"}, "secrets": {"secret": "hush hush"}}
    answer = await client.put("/admin/v1/notification-channels/hook", json=body)
    assert answer.json()["secrets"] == {"secret": "(set)"}
    kept = json.loads(await database.fetchval("SELECT body::text FROM alerting_documents WHERE id = 'hook'"))
    assert "hush" not in str(kept)
    assert sealer.open(kept["secrets"]["secret"]) == "hush hush"
    again = {**body, "secrets": {"secret": "(set)"}, "per_minute": 5}
    await client.put("/admin/v1/notification-channels/hook", json=again)
    assert (
        json.loads(await database.fetchval("SELECT body::text FROM alerting_documents"))["secrets"] == kept["secrets"]
    )


async def test_documents_of_another_workspace_are_not_there(ready):
    elsewhere = {"workspace": "other"}
    assert (await ready.get("/admin/v1/responders", headers=elsewhere)).json()["items"] == []
    assert (await ready.get("/admin/v1/responders/ada", headers=elsewhere)).status_code == 404
    assert (await ready.delete("/admin/v1/responders/ada", headers=elsewhere)).status_code == 404


WEEKLY = {"people": ["ada", "bob"], "starts_on": "2026-11-23", "handover": "09:00"}


async def test_it_is_told_who_is_on_call_and_who_is_next(ready):
    """The clock of the tests stands in the week that began on Monday, 23 November 2026."""
    bob = {"name": "Bob", "contacts": [{"channel": "sms", "address": "+15550001"}]}
    await ready.put("/admin/v1/responders/bob", json=bob)
    body = {"name": "Main", "timezone": "Europe/Berlin", "layers": [WEEKLY]}
    assert (await ready.put("/admin/v1/schedules/main", json=body)).status_code == 200
    (shown,) = (await ready.get("/admin/v1/alerts/oncall", headers={"scopes": "admin:read"})).json()["items"]
    assert (shown["schedule"], shown["timezone"], shown["gaps"]) == ("main", "Europe/Berlin", [])
    assert (shown["now"]["responder"], shown["now"]["until"]) == ("ada", "2026-11-30T08:00:00Z")
    assert (shown["now"]["name"], shown["now"]["reachable"]) == ("Ada", True)
    assert (shown["next"]["responder"], shown["next"]["starts_at"]) == ("bob", "2026-11-30T08:00:00Z")
    assert not shown["next"]["reachable"], "a channel that has no settings"
    assert (await ready.get("/admin/v1/alerts/oncall", headers={"workspace": "other"})).json()["items"] == []
    assert (await ready.get("/admin/v1/alerts/oncall", headers={"scopes": "alerts"})).status_code == 403


async def test_it_is_told_who_will_be_on_call_at_a_moment_and_when_nobody_is(ready):
    layer = {**WEEKLY, "weekdays": ["mon", "tue", "wed", "thu", "fri"]}
    await ready.put("/admin/v1/schedules/main", json={"name": "Main", "layers": [layer]})
    found = (await ready.get("/admin/v1/alerts/oncall", params={"at": "2026-12-05T12:00:00Z"})).json()["items"]
    assert [one["now"] for one in found] == [None]
    assert found[0]["gaps"] == [
        {"starts_at": "2026-12-05T12:00:00Z", "ends_at": "2026-12-07T00:00:00Z"},
        {"starts_at": "2026-12-12T00:00:00Z", "ends_at": "2026-12-14T00:00:00Z"},
        {"starts_at": "2026-12-19T00:00:00Z", "ends_at": "2026-12-19T12:00:00Z"},
    ]
    for wrong in ("soon", "2026-12-05T12:00:00"):
        answer = await ready.get("/admin/v1/alerts/oncall", params={"at": wrong})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "at")


async def test_tiers_of_a_policy_are_told_by_page(ready):
    for name in ("a", "b", "c"):
        step = {"name": "all", "after_minutes": 0, "targets": [{"responder": "ada"}, {"channel": "slack"}]}
        await ready.put(f"/admin/v1/escalation-policies/{name}", json={"name": name.upper(), "steps": [step]})
    first = (await ready.get("/admin/v1/alerts/oncall/tiers?limit=2")).json()
    rest = (await ready.get(f"/admin/v1/alerts/oncall/tiers?limit=2&cursor={first['next']}")).json()
    assert [one["policy"] for one in first["items"] + rest["items"]] == ["a", "b", "c", "default"]
    assert rest["next"] is None
    (tier,) = first["items"][0]["tiers"]
    assert (tier["step"], tier["channels"], tier["nobody_in"]) == (1, ["slack"], [])
    assert tier["people"] == [{"responder": "ada", "name": "Ada", "reachable": True, "schedule": None}]


async def test_odd_but_legal_webhooks_are_taken_in(ready):
    """Nothing filled in, more labels than are kept, letters of every kind, and an end that comes first."""
    many = {f"a{number:03}": "x" for number in range(200)}
    sent = [
        {"status": "resolved", "labels": {"alertname": "NeverSeen"}, "annotations": None},
        {"status": "firing", "labels": None, "annotations": None, "startsAt": "0001-01-01T00:00:00Z"},
        {"status": "firing", "labels": {**many, "severity": "critical", "alertname": "Many"}},
        {"status": "firing", "labels": {"alertname": "\u6c34\x00\U0001f525", "k\u00e9y": "\u2028"}, "startsAt": "odd"},
    ]
    answer = await ready.post("/hooks/alertmanager", json={"version": "4", "groupKey": None, "alerts": sent})
    assert answer.status_code == 400, "a group key is text"
    answer = await ready.post("/hooks/alertmanager", json={"version": "4", "alerts": sent})
    assert (answer.status_code, answer.json()) == (200, {"received": 4})
    found = {one["name"]: one for one in (await ready.get("/admin/v1/alerts")).json()["items"]}
    assert "NeverSeen" not in found
    assert (found["Many"]["severity"], len(found["Many"]["labels"])) == ("P1", 64)
    assert len(found) == 3


async def test_alerts_that_alertmanager_left_away_are_an_alert_until_it_does_not(ready):
    left = {**WEBHOOK, "truncatedAlerts": 7}
    await ready.post("/hooks/alertmanager", json=left)
    named = [one["name"] for one in (await ready.get("/admin/v1/alerts?active=true")).json()["items"]]
    assert sorted(named) == ["AlertmanagerLeavesAlertsAway", "Down"]
    await ready.post("/hooks/alertmanager", json=WEBHOOK)
    named = [one["name"] for one in (await ready.get("/admin/v1/alerts?active=true")).json()["items"]]
    assert named == ["Down"]


AT_THE_END = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]


@pytest.mark.parametrize("moment", AT_THE_END)
async def test_a_moment_at_the_end_of_all_times_stops_nothing(ready, moment):
    """Such a one is none in another time zone; kept, it would have stopped everything that shows or tells it."""
    alert = {"labels": {"alertname": "Odd"}, "starts_at": moment, "ends_at": moment}
    assert (await ready.post("/admin/v1/alerts", json={"alerts": [alert]})).status_code == 202
    assert (await ready.get("/admin/v1/alerts")).json()["items"][0]["name"] == "Odd"
    silence = {"matchers": [{"label": "a", "value": "b"}], "starts_at": "2026-01-01T00:00:00Z", "ends_at": moment}
    answer = await ready.put("/admin/v1/silences/odd", json=silence)
    assert answer.status_code == (200 if moment == AT_THE_END[-1] else 400)
    assert (await ready.get("/admin/v1/alerts/oncall", params={"at": moment})).status_code == 400
    assert (await ready.get("/admin/v1/silences")).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("alert-handling/mine", {}, "name"),
        ("maintenance-windows/a", {"days_of_month": [0]}, "recurring.days_of_month"),
        ("maintenance-windows/a", {"first_day": "2026-12-02", "last_day": "2026-12-01"}, "recurring.last_day"),
    ],
)
async def test_what_would_never_do_anything_is_refused(ready, path, body, param):
    if "windows" in path:
        body = {"name": "Odd", "recurring": {"start": "02:00", "minutes": 60, **body}}
    answer = await ready.put(f"/admin/v1/{path}", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_a_document_that_cannot_be_read_keeps_nobody_from_paging(ready, database):
    broken = "UPDATE alerting_documents SET body = '{\"kind\": \"telegraph\"}' WHERE kind = 'channels' AND id = 'slack'"
    await database.execute(broken)
    await ready.post("/hooks/alertmanager", json=WEBHOOK)
    (group,) = (await ready.get("/admin/v1/alert-groups")).json()["items"]
    assert group["policy"] == "default"
