"""The part of the service that knows people: accounts, sessions, signing in; built in one line after the other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter

from cmg.audit.trail import AuditTrail
from cmg.config import Settings
from cmg.identity.accounts import routes as account_routes
from cmg.identity.accounts.accounts import Accounts
from cmg.identity.accounts.credentials import Credentials
from cmg.identity.accounts.first_account import FirstAccount
from cmg.identity.accounts.passwords import Passwords
from cmg.identity.accounts.recording import Recorder
from cmg.identity.accounts.second_factor import SecondFactor
from cmg.identity.accounts.store import AccountStore
from cmg.identity.models import Workspace
from cmg.identity.oidc import routes as oidc_routes
from cmg.identity.oidc.login import OidcLogin, OidcParts
from cmg.identity.sessions import routes as session_routes
from cmg.identity.sessions.attempts import Attempts
from cmg.identity.sessions.door import SessionDoor
from cmg.identity.sessions.models import Lifetimes
from cmg.identity.sessions.own_account import OwnAccount, Parts
from cmg.identity.sessions.proof import Proof, Tools
from cmg.identity.sessions.sessions import Sessions
from cmg.identity.sessions.store import SessionStore
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.storage.sealing.sealer import Sealer
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger
from cmg.telemetry.security_events import SecurityEvents

if TYPE_CHECKING:
    from cmg.identity.oidc.provider import Provider

_DAY_S = 86_400.0
_log = get_logger("cmg.identity")


@dataclass(frozen=True)
class People:
    """Use cases of accounts and sessions. The console works with these too."""

    events: SecurityEvents
    passwords: Passwords
    accounts: Accounts
    first: FirstAccount
    credentials: Credentials
    sessions: Sessions
    proof: Proof
    own: OwnAccount
    door: SessionDoor
    attempts: Attempts
    requests_kept_s: float
    database: Database
    store: AccountStore
    provider: "Provider | None" = None
    oidc: OidcLogin | None = None

    def routers(self) -> list[APIRouter]:
        """What is served under `/admin/v1`."""
        begins = None if self.oidc is None else oidc_routes.PATH
        signing_in = session_routes.SigningIn(self.proof, self.sessions, self.own, begins)
        return [
            session_routes.router(signing_in),
            account_routes.router(self.accounts, self.credentials, self.sessions, self.attempts),
            oidc_routes.router(self.oidc),
        ]

    async def close(self) -> None:
        """Let threads and connections go."""
        self.passwords.close()
        if self.provider is not None:
            await self.provider.close()

    async def reseal(self) -> None:
        """Have devices' secrets under the first master key, whatever they were under; what cannot be is logged."""
        sealed, lost = await self.store.reseal(self.database)
        if sealed:
            _log.info("secrets of second factors were sealed anew", accounts=sealed)
        if lost:
            _log.error("second factors cannot be checked: CMG_MASTER_KEY is not that of their secrets", accounts=lost)

    async def purge(self) -> int:
        """All that has ended, in batches: sessions, attempts, links, requests; returns how many rows went."""
        gone = 0
        while batch := await self.sessions.purge() + await self.accounts.purge(self.requests_kept_s):
            gone += batch
        return gone


@dataclass(frozen=True)
class Ground:
    """What people are built on."""

    settings: Settings
    database: Database
    audit: AuditTrail
    workspaces: Callable[[], Mapping[str, Workspace]]
    clock: Clock
    instruments: Instruments
    sealer: Sealer


def build_people(ground: Ground) -> People:
    """All of them."""
    database, clock, settings = ground.database, ground.clock, ground.settings
    events, store, kept = SecurityEvents(ground.instruments), AccountStore(ground.sealer), SessionStore()
    recorder = Recorder(ground.audit, events)
    passwords = Passwords(ground.instruments, settings.accounts.password_length_min)
    second = SecondFactor(store, ground.sealer, clock)
    attempts = Attempts(database, kept, events, clock)
    proof = Proof(database, Tools(store, passwords, second, attempts, ground.audit, events), clock)
    lifetimes = Lifetimes(
        idle_s=settings.accounts.session_idle_s,
        absolute_s=settings.accounts.session_absolute_s,
        most=settings.accounts.sessions_max,
    )
    sessions = Sessions(database, (kept, store), recorder, clock, lifetimes)
    provider = _provider(settings, clock)
    login = None
    if provider is not None:
        login = OidcLogin(database, OidcParts(provider, store, kept, sessions, recorder), clock)
    return People(
        events=events,
        passwords=passwords,
        accounts=Accounts(database, (store, kept), recorder, clock),
        first=FirstAccount(database, store, passwords, recorder, clock),
        credentials=Credentials(database, (store, kept), passwords, recorder, clock),
        sessions=sessions,
        proof=proof,
        own=OwnAccount(database, Parts(store, kept, passwords, second, proof, sessions, recorder), clock),
        door=SessionDoor(sessions, ground.workspaces),
        attempts=attempts,
        requests_kept_s=settings.retention.events_days * _DAY_S,
        database=database,
        store=store,
        provider=provider,
        oidc=login,
    )


def _provider(settings: Settings, clock: Clock) -> "Provider | None":
    """The identity provider of the settings, if they name one; browsers come back to `public_url`."""
    if settings.oidc.issuer is None or settings.public_url is None:
        return None
    from cmg.identity.oidc.provider import Provider  # noqa: PLC0415  5 MB of libraries that few installations need

    return Provider(settings.oidc, f"{settings.public_url.rstrip('/')}{oidc_routes.PATH}/callback", clock)
