"""What people say of alerts, kept with who and when, and what came of each rule."""

import httpx
import pytest
from fastapi import FastAPI, Request

from cmg.alerting.alerts import Alerts
from cmg.alerting.answering.answers import Answers
from cmg.alerting.answering.links import Links
from cmg.alerting.answering.replies import Replies
from cmg.alerting.api import answer_routes
from cmg.alerting.escalation import actions
from cmg.alerting.feedback import routes
from cmg.alerting.feedback.judging import Feedback, noise, pages_out_of_hours
from cmg.alerting.feedback.store import Firing, Page
from cmg.alerting.models import Notification, Report
from cmg.app.control_plane import documented
from cmg.identity.models import Actor, ApiKey, Caller, Workspace
from cmg.kit.errors import NotFound
from support.alerting_world import setup_of

MONDAY_NOON, MONDAY_NIGHT, SATURDAY = 1_795_435_200.0, 1_795_399_200.0, 1_795_262_400.0


async def _fire(alerts: Alerts, name: str, *, firing: bool = True, workspace: str = "default", **labels: str) -> None:
    report = Report(labels={"alertname": name, "severity": "P1", **labels}, firing=firing)
    await alerts.receive(workspace, [report])


async def _alert(alerts: Alerts, by: Actor, name: str):
    from cmg.alerting.store import AlertFilter
    from cmg.kit.clock import at

    found = await alerts.page(by, AlertFilter(at(4e9), ""))
    return next(one for one in found if one.name == name)


@pytest.mark.usefixtures("configured")
async def test_a_verdict_is_kept_with_who_and_when_and_the_last_word_counts(feedback, alerts, admin, clock, audit):
    await _fire(alerts, "Down")
    alert = await _alert(alerts, admin, "Down")
    await feedback.judge(admin, alert.fingerprint, "useful")
    clock.advance(60)
    await feedback.judge(admin, alert.fingerprint, "noise", "a deploy")
    (said,) = await feedback.said(admin, alert.fingerprint)
    assert (said.verdict, said.comment, said.by, said.at.timestamp()) == ("noise", "a deploy", "key:me", clock.time())
    other = Actor("account:bob", frozenset({"admin"}), "default")
    await feedback.judge(other, alert.fingerprint, "useful")
    assert [one.by for one in await feedback.said(admin, alert.group_id)] == ["account:bob", "key:me"]
    (one,) = await feedback.report("default", 30)
    assert (one.useful, one.noise, one.noise_share) == (1, 1, 0.5)
    from cmg.audit.trail import Wanted

    assert next(one.action for one in (await audit.list(Wanted("default"))).items) == "alert.feedback"


@pytest.mark.usefixtures("configured")
async def test_each_firing_is_judged_for_itself_and_a_group_as_a_whole(feedback, alerts, admin, clock):
    for name in ("Down", "Slow"):
        await _fire(alerts, name, component="db")
    first = await _alert(alerts, admin, "Down")
    assert len(await feedback.judge(admin, first.group_id, "noise")) == 2
    await _fire(alerts, "Down", component="db", firing=False)
    clock.advance(3600)
    await _fire(alerts, "Down", component="db")
    await feedback.judge(admin, first.fingerprint, "useful")
    said = await feedback.said(admin, first.fingerprint)
    assert [(one.episode, one.verdict) for one in said] == [(2, "useful"), (1, "noise")]


async def test_alerts_of_another_workspace_cannot_be_judged_or_seen(feedback, alerts, admin):
    await _fire(alerts, "Down", workspace="other")
    theirs = await _alert(alerts, Actor("x", frozenset(), "other"), "Down")
    with pytest.raises(NotFound):
        await feedback.judge(admin, theirs.fingerprint, "noise")
    with pytest.raises(NotFound):
        await feedback.said(admin, theirs.fingerprint)
    assert await feedback.report("default", 30) == []
    assert [one.rule for one in await feedback.report("other", 30)] == ["Down"]


@pytest.mark.usefixtures("configured")
async def test_the_report_says_how_often_a_rule_fired_and_was_acted_on(feedback, alerts, admin, clock):
    for turn in range(3):
        await _fire(alerts, "Down")
        if turn == 0:
            await alerts.act(
                admin, (await _alert(alerts, admin, "Down")).fingerprint, "acknowledge", actions.acknowledge
            )
        await _fire(alerts, "Down", firing=False)
        clock.advance(7200)
    await _fire(alerts, "Quiet")
    clock.advance(86_400 * 3)
    down, quiet = await feedback.report("default", 30)
    assert (down.rule, down.fired, down.acted, down.acted_share) == ("Down", 3, 1, 0.3333)
    assert (quiet.rule, quiet.fired, quiet.noise_share) == ("Quiet", 1, None)
    assert await feedback.report("default", 1) == [], "what is older is left out"


@pytest.mark.usefixtures("configured")
async def test_whom_it_woke_is_counted_once_for_each_person_and_step(feedback, alerts, admin, clock):
    await _fire(alerts, "Down")
    group = (await _alert(alerts, admin, "Down")).group_id
    for number, (target, channel, sent) in enumerate(
        [
            ("ada", "sms", MONDAY_NIGHT),
            ("ada", "voice", MONDAY_NIGHT + 5),
            ("bob", "sms", SATURDAY),
            ("mia", "sms", MONDAY_NOON),
            ("sam", "email", SATURDAY),
        ]
    ):
        one = Notification(
            key=f"k{number}", group_id=group, occasion="page", target=target, channel=channel, address="", step="1",
            subject="", body="", severity="P1", created_at=clock.time(), due_at=0, state="sent", sent_at=sent,
        )  # fmt: skip
        await alerts.change("default", lambda changes, one=one: changes.notify(one))
    (down,) = await feedback.report("default", 30)
    assert down.woke == 2


def test_hours_are_those_of_the_workspaces_calendar():
    pages = [Page(group_id="g", channel="sms", sent_at=moment) for moment in (MONDAY_NIGHT, MONDAY_NOON, SATURDAY)]
    assert pages_out_of_hours(pages, setup_of({})) == {"g": 2}
    everyday = {"weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "opens": "00:00", "closes": "23:59"}
    assert pages_out_of_hours(pages, setup_of({"business-calendars": {"default": everyday}})) == {}


def test_the_noisiest_comes_first():
    fired = [
        Firing(rule=rule, group_id=group, fired=1, acted=False)
        for rule, group in (("A", "g1"), ("B", "g2"), ("C", "g3"))
    ]
    told = noise(fired, {"g2": 3}, [("C", "noise", 2), ("Gone", "noise", 1)])
    assert [one.rule for one in told] == ["C", "Gone", "B", "A"]


@pytest.mark.usefixtures("configured")
async def test_the_figures_are_metrics_and_names_of_others_fold(feedback, alerts, admin, instruments):
    await _fire(alerts, "NobodyPages")
    await _fire(alerts, "Something of a client", component="x")
    await feedback.judge(admin, (await _alert(alerts, admin, "NobodyPages")).fingerprint, "noise")
    await feedback.show()
    read = instruments.registry.get_sample_value
    assert read("cmg_alert_rule_records", {"rule": "NobodyPages", "figure": "noise"}) == 1
    assert read("cmg_alert_rule_records", {"rule": "other", "figure": "fired"}) == 1
    assert read("cmg_alert_rule_records", {"rule": "Something of a client", "figure": "fired"}) is None
    assert read("cmg_alert_feedback_total", {"verdict": "noise"}) == 1


@pytest.mark.usefixtures("configured")
async def test_old_verdicts_go(feedback, alerts, admin, clock):
    await _fire(alerts, "Down")
    alert = await _alert(alerts, admin, "Down")
    await feedback.judge(admin, alert.fingerprint, "noise")
    assert await feedback.purge(1) == 0
    clock.advance(2 * 86_400)
    assert await feedback.purge(1) == 1


@pytest.fixture
async def client(feedback: Feedback, alerts, sealer, clock, instruments):
    links = Links(lambda: ["k"], "https://cmg.example")
    answers = Answers(alerts, links, sealer, clock, feedback)
    replies = Replies(alerts, sealer, "https://cmg.example", instruments)
    app: FastAPI = documented([routes.router(feedback), answer_routes.router(answers, replies)])

    @app.middleware("http")
    async def caller(request: Request, go_on):
        scopes = frozenset(request.headers.get("scopes", "admin").split())
        key = ApiKey(id="me", workspace_id="default", name="me", scopes=tuple(scopes))
        request.state.caller = Caller(key, Workspace(id="default", name="d"), scopes, "127.0.0.1")
        request.state.client = "127.0.0.1"
        return await go_on(request)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cmg") as made:
        made.links = links
        yield made


@pytest.mark.usefixtures("configured")
async def test_over_http_it_is_said_seen_and_reported(client, alerts, admin):
    await _fire(alerts, "Down")
    path = f"/admin/v1/alerts/{(await _alert(alerts, admin, 'Down')).fingerprint}/feedback"
    answer = await client.post(path, json={"verdict": "noise", "comment": "every night"})
    assert answer.status_code == 200, answer.text
    (said,) = (await client.get(path)).json()["items"]
    assert (said["rule"], said["verdict"], said["by"], said["comment"]) == ("Down", "noise", "key:me", "every night")
    (told,) = (await client.get("/admin/v1/alert-noise?days=7")).json()["items"]
    assert (told["fired"], told["noise"], told["noise_share"]) == (1, 1, 1.0)
    wrong = await client.post(path, json={"verdict": "odd"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "verdict")
    assert (await client.post(path, json={"verdict": "noise"}, headers={"scopes": "admin:read"})).status_code == 403
    assert (
        await client.post("/admin/v1/alerts/0123456789abcdef/feedback", json={"verdict": "noise"})
    ).status_code == 404


@pytest.mark.usefixtures("configured")
async def test_the_message_of_the_end_asks_by_signed_links_and_only_the_button_says_it(
    client, alerts, admin, feedback, clock
):
    await _fire(alerts, "Down")
    group = (await _alert(alerts, admin, "Down")).group_id
    await _fire(alerts, "Down", firing=False)
    told = Notification(
        key="k", group_id=group, occasion="resolved", target="responder:ada", channel="email", address="a", step="1",
        subject="", body="", severity="P1", created_at=0, due_at=0,
    )  # fmt: skip
    links = client.links.of("default", told, clock.time())
    assert set(links) == {"useful", "noise"}
    path = links["noise"].removeprefix("https://cmg.example")
    assert "It was noise" in (await client.get(path)).text
    assert await feedback.said(admin, group) == [], "looking says nothing"
    assert "Thank you" in (await client.post(path)).text
    (said,) = await feedback.said(admin, group)
    assert (said.verdict, said.by) == ("noise", "link:ada")
    assert (await client.post(path[:-2] + "xx")).status_code == 401
