"""`/admin/v1/alerts/{id}/feedback` and `/admin/v1/alert-noise`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from cmg.alerting.api.routes import AlertId, By
from cmg.alerting.api.schemas import Form
from cmg.alerting.feedback.judging import Feedback, RuleNoise
from cmg.alerting.feedback.store import Judgement, Verdict
from cmg.alerting.setup.documents import Text
from cmg.identity.forms.schemas import ERRORS
from cmg.kit.permissions import requires


class VerdictForm(Form):
    """What somebody says of an alert, or of every alert of a group."""

    verdict: Verdict
    comment: Text = ""


class JudgementView(BaseModel):
    """A verdict: on which firing (`episode`) of an alert, by whom and when."""

    alert: str
    episode: int
    rule: str
    verdict: Verdict
    comment: str
    by: str
    at: AwareDatetime
    group: str | None


class JudgementsView(BaseModel):
    """Verdicts, newest first."""

    items: list[JudgementView]


class RuleNoiseView(BaseModel):
    """What came of a rule."""

    rule: str
    fired: int
    acted: int = Field(description="firings of which somebody acknowledged, snoozed or resolved the group")
    acted_share: float | None
    woke: int = Field(description="calls to people out of hours, for groups that the rule was in")
    useful: int
    noise: int
    noise_share: float | None = Field(description="of the verdicts; null: there is none")


class NoiseView(BaseModel):
    """Every rule that fired or was judged in the last days, the noisiest first."""

    days: int
    items: list[RuleNoiseView]


def judgement_view(one: Judgement) -> dict[str, Any]:
    """One verdict as it is shown."""
    return {
        "alert": one.fingerprint, "episode": one.episode, "rule": one.rule, "verdict": one.verdict,
        "comment": one.comment, "by": one.by, "at": one.at, "group": one.group_id,
    }  # fmt: skip


def noise_view(one: RuleNoise) -> dict[str, Any]:
    """One rule as it is shown."""
    return {
        "rule": one.rule, "fired": one.fired, "acted": one.acted, "acted_share": one.acted_share, "woke": one.woke,
        "useful": one.useful, "noise": one.noise, "noise_share": one.noise_share,
    }  # fmt: skip


def router(feedback: Feedback) -> APIRouter:
    """To say it, to see what was said, and what it comes to."""
    routes = APIRouter(prefix="/admin/v1", responses=ERRORS, tags=["alerts"])
    look = [requires("admin:read")]

    @routes.post(
        "/alerts/{alert_id}/feedback",
        dependencies=[requires("admin")],
        response_model=JudgementsView,
        summary="Say whether an alert was useful or noise",
    )
    async def judge_alert(by: By, alert_id: AlertId, form: VerdictForm) -> Any:
        """Of every alert of a group, when the id is a group's. A second verdict takes the place of the first."""
        said = await feedback.judge(by, alert_id, form.verdict, form.comment)
        return {"items": [judgement_view(one) for one in said]}

    @routes.get(
        "/alerts/{alert_id}/feedback", dependencies=look, response_model=JudgementsView, summary="What was said of it"
    )
    async def list_feedback(by: By, alert_id: AlertId) -> Any:
        """With who and when."""
        return {"items": [judgement_view(one) for one in await feedback.said(by, alert_id)]}

    @routes.get("/alert-noise", dependencies=look, response_model=NoiseView, summary="What came of each rule")
    async def show_noise(by: By, days: Annotated[int, Query(ge=1, le=400)] = 30) -> Any:
        """How often it fired, was acted on, woke somebody, and was called useful or noise. Drills are left out."""
        found = await feedback.report(by.workspace_id, days)
        return {"days": days, "items": [noise_view(one) for one in found]}

    return routes
