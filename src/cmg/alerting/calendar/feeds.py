"""The use cases of feeds: make one, list them, change a secret, revoke one, and read one by its token."""

import asyncio
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest

from cmg.alerting.alerts import Alerts
from cmg.alerting.calendar import store
from cmg.alerting.calendar.duties import duties, window
from cmg.alerting.calendar.models import Feed, Kind
from cmg.alerting.setup.compiled import Setup
from cmg.audit.models import Entry
from cmg.audit.trail import AuditTrail
from cmg.identity.models import Actor
from cmg.kit.clock import Clock
from cmg.kit.errors import Conflict, InvalidRequest, NotFound
from cmg.kit.ids import public_id, secret
from cmg.storage.database import Database

MOST = 200
_KEPT = timedelta(days=90)
_TOKEN = re.compile(r"cal_([a-z0-9]{12})_([A-Za-z0-9]{40})")
_FIELDS: dict[Kind, str] = {"schedules": "schedule", "responders": "responder"}


@dataclass(frozen=True)
class Made:
    """A feed and the token of its address, which is told this once."""

    feed: Feed
    token: str


@dataclass(frozen=True)
class Read:
    """A calendar, and what stands for its content; `body` is None when the reader has it already."""

    etag: str
    body: bytes | None


class Feeds:
    """Whoever has the token reads; everything else is the workspace's own."""

    def __init__(self, alerts: Alerts, database: Database, audit: AuditTrail, clock: Clock) -> None:
        self._alerts, self._database, self._audit, self._clock = alerts, database, audit, clock

    async def page(self, by: Actor, after: str, limit: int) -> tuple[list[Feed], str | None]:
        """A page of feeds by id, and the cursor of the next."""
        found = await store.page(self._database, by.workspace_id, after, limit + 1)
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def create(self, by: Actor, kind: Kind, subject: str, expires_at: datetime | None) -> Made:
        """Make a feed of what is there. Raises `InvalidRequest`, `Conflict`."""
        setup, now = await self._alerts.setup(by.workspace_id), self._clock.now()
        if subject not in setup.documents.get(kind, {}):
            raise InvalidRequest(f"`{_FIELDS[kind]}`: there is no {subject} in {kind}", param=_FIELDS[kind])
        if expires_at is not None and expires_at <= now:
            raise InvalidRequest("`expires_at` must lie in the future", param="expires_at")
        made, hidden = public_id(12), secret(40)
        feed = Feed(by.workspace_id, made, kind, subject, _digest(hidden), now, by.name, None, expires_at)
        async with self._database.transaction() as conn:
            if await store.count(conn, by.workspace_id) >= MOST:
                raise Conflict(f"there are {MOST} feeds already; revoke some first")
            await store.insert(conn, feed)
            what = {"kind": kind, "subject": subject}
            await self._audit.record(
                conn, Entry(by.name, by.workspace_id, "calendar.create", f"feed/{feed.id}", what, by.client)
            )
        return Made(feed, _token(feed.id, hidden))

    async def rotate(self, by: Actor, feed_id: str) -> Made:
        """Give a feed another secret; the address before stops to work at once. Raises `NotFound`."""
        hidden = secret(40)
        async with self._database.transaction() as conn:
            feed = await store.rotate(conn, by.workspace_id, feed_id, _digest(hidden), self._clock.now())
            if feed is None:
                raise _no_feed(feed_id)
            entry = Entry(by.name, by.workspace_id, "calendar.rotate", f"feed/{feed.id}", {}, by.client)
            await self._audit.record(conn, entry)
        return Made(feed, _token(feed.id, hidden))

    async def revoke(self, by: Actor, feed_id: str) -> None:
        """Its address stops to work at once. Raises `NotFound`."""
        async with self._database.transaction() as conn:
            if not await store.drop(conn, by.workspace_id, feed_id):
                raise _no_feed(feed_id)
            entry = Entry(by.name, by.workspace_id, "calendar.revoke", f"feed/{feed_id}", {}, by.client)
            await self._audit.record(conn, entry)

    async def read(self, token: str, known: str = "") -> Read:
        """The calendar of a token; `known` is what its reader has already. Raises `NotFound`."""
        feed, now = await self._of_token(token), self._clock.now()
        setup = await self._alerts.setup(feed.workspace_id)
        if feed.subject not in setup.documents.get(feed.kind, {}):
            raise NotFound(f"there is no {feed.subject} in {feed.kind} any more")
        changed = await store.schedules_changed(self._database, feed.workspace_id)
        await store.mark_read(self._database, feed, now)
        etag = _etag(feed, setup, changed, now)
        if etag == known:
            return Read(etag, None)
        title = _title(feed, setup)
        from cmg.alerting.calendar.rendering import rendered  # noqa: PLC0415  90 modules for the first reader of a feed

        body = await asyncio.to_thread(lambda: rendered(feed, title, duties(setup, feed, changed, now)))
        return Read(etag, body)

    async def purge(self) -> int:
        """Delete feeds that expired 90 days ago; returns how many."""
        return await store.purge(self._database, self._clock.now() - _KEPT)

    async def _of_token(self, token: str) -> Feed:
        told = _TOKEN.fullmatch(token)
        feed = None if told is None else await store.named(self._database, told[1])
        good = feed is not None and told is not None and compare_digest(feed.secret_hash, _digest(told[2]))
        if feed is None or not good or (feed.expires_at is not None and feed.expires_at <= self._clock.now()):
            raise NotFound("there is no such calendar; its address was revoked, replaced, or has expired")
        return feed


def _etag(feed: Feed, setup: Setup, changed: dict[str, datetime], now: datetime) -> str:
    """Changes with a schedule, a name, and the day."""
    names = sorted((name, one.name) for name, one in setup.responders.items())
    told = repr((feed.id, sorted(changed.items()), names, window(now)))
    return f'"{sha256(told.encode()).hexdigest()[:32]}"'


def _title(feed: Feed, setup: Setup) -> str:
    if feed.kind == "schedules":
        return f"On call: {setup.schedules[feed.subject].name or feed.subject}"
    return f"On call: {setup.responders[feed.subject].name or feed.subject}"


def _token(feed_id: str, hidden: str) -> str:
    return f"cal_{feed_id}_{hidden}"


def _digest(hidden: str) -> bytes:
    return sha256(hidden.encode()).digest()


def _no_feed(feed_id: str) -> NotFound:
    return NotFound(f"there is no feed {feed_id[:63]!r}")
