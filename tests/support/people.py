"""The control plane with people in it, on a real database and the test's own clock, and browsers that talk to it."""

from dataclasses import dataclass
from typing import Any

import httpx

from cmg.app import control_plane
from cmg.app.control_plane import Doors
from cmg.app.people.building import Ground, People, build_people
from cmg.audit.trail import AuditTrail
from cmg.config import Settings, TraceSettings
from cmg.identity import routes as identity_routes
from cmg.identity.authenticator import Authenticator
from cmg.identity.keys import Keys
from cmg.identity.models import COMMAND_LINE
from cmg.identity.snapshot import SnapshotFeed
from cmg.identity.workspaces import Workspaces
from cmg.storage.changes import ChangeFeed
from cmg.storage.database import Database
from cmg.storage.sealing.sealer import Sealer
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing.tracer import Tracer
from support.manual_clock import ManualClock

ROOT = COMMAND_LINE
MASTER_KEYS = ["a master key of the tests"]
PASSWORD = "violet tractor ninety lemons"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"


class Browser(httpx.AsyncClient):
    """A browser: keeps cookies, and sends the session's CSRF token as our pages do."""

    def __init__(self, app: Any, address: str = "192.0.2.7", agent: str = AGENT) -> None:
        transport = httpx.ASGITransport(app, client=(address, 1), raise_app_exceptions=False)
        super().__init__(transport=transport, base_url="https://cmg.test/admin/v1", headers={"user-agent": agent})
        self.csrf = ""

    async def request(self, method: str, url: Any, **given: Any) -> httpx.Response:
        """One request; `csrf=False` leaves the token away."""
        headers = dict(given.pop("headers", None) or {})
        if given.pop("csrf", True) and self.csrf:
            headers.setdefault("x-cmg-csrf", self.csrf)
        answer = await super().request(method, url, headers=headers, **given)
        if answer.content and answer.headers.get("content-type") == "application/json" and "csrf" in answer.json():
            self.csrf = answer.json()["csrf"]
        return answer

    async def sign_in(self, email: str, password: str = PASSWORD, code: str | None = None) -> httpx.Response:
        """POST /login."""
        body = {"email": email, "password": password, **({} if code is None else {"code": code})}
        return await self.post("/login", json=body)

    @property
    def token(self) -> str:
        """The session's cookie."""
        return self.cookies.get("__Host-cmg_session") or ""


@dataclass
class Town:
    """Everything of one test."""

    app: Any
    people: People
    keys: Keys
    workspaces: Workspaces
    audit: AuditTrail
    changes: ChangeFeed
    clock: ManualClock
    database: Database
    instruments: Instruments

    def browser(self, address: str = "192.0.2.7", agent: str = AGENT) -> Browser:
        """A new browser without cookies."""
        return Browser(self.app, address, agent)

    async def account(self, email: str, role: str = "member", workspace: str = "default") -> str:
        """An active account with `PASSWORD`; its id."""
        link = await self.people.accounts.invite(COMMAND_LINE, {"email": email, "role": role, "workspace": workspace})
        await self.people.credentials.accept(link.token, PASSWORD, None, "")
        return link.account.id

    async def signed_in(self, email: str, role: str = "member", workspace: str = "default", **browser: Any) -> Browser:
        """A browser that a new account signed in with."""
        await self.account(email, role, workspace)
        made = self.browser(**browser)
        answer = await made.sign_in(email)
        assert answer.status_code == 200, answer.text
        return made

    def count(self, event: str) -> float:
        """How often a security event happened."""
        return float(self.instruments.registry.get_sample_value("cmg_security_events_total", {"event": event}) or 0)


async def build_town(database: Database, clock: ManualClock, instruments: Instruments, settings: Settings) -> Town:
    """The routes of identity and of people behind both doors."""
    audit, changes = AuditTrail(database, clock), ChangeFeed(database, clock)
    feed = SnapshotFeed(database, changes, clock, instruments)
    await changes.mark()
    await feed.load()
    sealer = Sealer(lambda: MASTER_KEYS)
    ground = Ground(settings, database, audit, lambda: feed.current.workspaces, clock, instruments, sealer)
    people = build_people(ground)
    keys, workspaces = Keys(database, audit, clock), Workspaces(database, audit, clock)
    routers = [identity_routes.router(keys, workspaces, audit, clock), *people.routers()]
    doors = Doors(Authenticator(feed, clock, instruments), people.door, people.events)
    app = control_plane.build(routers, doors, {}, Tracer(TraceSettings(), None, clock, instruments))
    return Town(app, people, keys, workspaces, audit, changes, clock, database, instruments)
