"""`/admin/v1/calendar-feeds`: subscriptions to schedules; `/calendars/…`: what a calendar program reads."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from cmg.alerting.api.routes import By, Limit
from cmg.alerting.api.schemas import Form
from cmg.alerting.calendar.feeds import Feeds, Made
from cmg.alerting.calendar.models import Feed
from cmg.alerting.setup.documents import DocumentId, Moment
from cmg.identity.forms.schemas import ERRORS
from cmg.kit.errors import InvalidRequest
from cmg.kit.permissions import joined, requires, signed

FeedId = Annotated[str, Path(pattern=r"^[a-z0-9]{12}$", max_length=12)]
Cursor = Annotated[str | None, Query(pattern=r"^[a-z0-9]{12}$")]
Token = Annotated[str, Path(max_length=100, description="the token of a feed's address")]


class FeedForm(Form):
    """A subscription to a schedule, or to everything that a responder is on call for."""

    schedule: DocumentId | None = None
    responder: DocumentId | None = None
    expires_at: Moment | None = Field(None, description="never by default")


class FeedView(BaseModel):
    """A feed without its address. `read_at` is kept to the hour."""

    id: str
    schedule: str | None
    responder: str | None
    created_at: AwareDatetime
    created_by: str
    rotated_at: AwareDatetime | None
    expires_at: AwareDatetime | None
    read_at: AwareDatetime | None


class NewFeedView(FeedView):
    """A feed and its address, which is shown this once."""

    url: str


class FeedPageView(BaseModel):
    """By id; `next` is the cursor of the following page."""

    items: list[FeedView]
    next: str | None


def router(feeds: Feeds, public_url: str | None) -> APIRouter:
    """`public_url`: as people outside reach the service; None: as whoever asks did."""
    return joined(_managing(feeds, public_url), _reading(feeds))


def _managing(feeds: Feeds, public_url: str | None) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1/calendar-feeds", responses=ERRORS, tags=["alerting"])
    change = [requires("admin")]

    def address(request: Request) -> str:
        return public_url or str(request.base_url)

    @routes.get("", dependencies=[requires("admin:read")], response_model=FeedPageView, summary="List calendar feeds")
    async def list_feeds(by: By, cursor: Cursor = None, limit: Limit = 50) -> Any:
        """By id, without their addresses."""
        items, more = await feeds.page(by, cursor or "", limit)
        return {"items": [feed_view(one) for one in items], "next": more}

    @routes.post("", dependencies=change, status_code=201, response_model=NewFeedView, summary="Make a calendar feed")
    async def make_feed(request: Request, by: By, form: FeedForm) -> Any:
        """Whoever has the address reads the shifts; it is shown this once."""
        if form.schedule is not None and form.responder is None:
            made = await feeds.create(by, "schedules", form.schedule, form.expires_at)
        elif form.responder is not None and form.schedule is None:
            made = await feeds.create(by, "responders", form.responder, form.expires_at)
        else:
            raise InvalidRequest("`schedule`: give either schedule or responder", param="schedule")
        return new_feed_view(made, address(request))

    @routes.post("/{feed}/rotate", dependencies=change, response_model=NewFeedView, summary="Give another address")
    async def rotate_feed(request: Request, by: By, feed: FeedId) -> Any:
        """The address before stops to work at once."""
        return new_feed_view(await feeds.rotate(by, feed), address(request))

    @routes.delete("/{feed}", dependencies=change, status_code=204, summary="Revoke a calendar feed")
    async def revoke_feed(by: By, feed: FeedId) -> Response:
        """Its address stops to work at once."""
        await feeds.revoke(by, feed)
        return Response(status_code=204)

    return routes


def _reading(feeds: Feeds) -> APIRouter:
    proof = signed("the address has the feed's own secret, of which a hash is kept")
    routes = APIRouter(responses=ERRORS, tags=["alerting"], dependencies=[proof])

    @routes.get(
        "/calendars/{token}.ics",
        response_class=Response,
        responses={200: {"content": {"text/calendar": {}}}, 304: {"description": "As it was"}},
        summary="Read a calendar feed",
    )
    async def read_feed(token: Token, if_none_match: Annotated[str, Header(max_length=200)] = "") -> Response:
        """RFC 5545: shifts from a month ago until 180 days ahead, overrides included, in UTC."""
        found = await feeds.read(token, if_none_match.removeprefix("W/"))
        headers = {"etag": found.etag, "cache-control": "private, max-age=300", "x-robots-tag": "noindex"}
        if found.body is None:
            return Response(status_code=304, headers=headers)
        return Response(found.body, headers=headers, media_type="text/calendar; charset=utf-8")

    return routes


def feed_view(feed: Feed) -> dict[str, Any]:
    """A feed without its address."""
    return {
        "id": feed.id,
        "schedule": feed.subject if feed.kind == "schedules" else None,
        "responder": feed.subject if feed.kind == "responders" else None,
        "created_at": feed.created_at,
        "created_by": feed.created_by,
        "rotated_at": feed.rotated_at,
        "expires_at": feed.expires_at,
        "read_at": feed.read_at,
    }


def new_feed_view(made: Made, base_url: str) -> dict[str, Any]:
    """A feed with its address."""
    return {**feed_view(made.feed), "url": f"{base_url.rstrip('/')}/calendars/{made.token}.ics"}
