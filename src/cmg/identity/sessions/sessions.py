"""Sessions: beginning, entering by the cookie, renewing, listing, ending."""

from typing import Any

import msgspec

from cmg.identity.accounts.models import Account, token_hash
from cmg.identity.accounts.recording import Recorder, Told, self_actor
from cmg.identity.accounts.store import AccountStore
from cmg.identity.models import SYSTEM, Actor
from cmg.identity.sessions.attempts import FORGOTTEN_S
from cmg.identity.sessions.models import AGENT_MAX, KNOWN_MAX, Client, Lifetimes, Opened, Session, Way
from cmg.identity.sessions.store import SessionStore
from cmg.kit.clock import Clock
from cmg.kit.errors import NotFound, Unauthenticated
from cmg.kit.ids import public_id, secret
from cmg.storage.database import Database

_SEEN_AFTER_S = 60.0  # a use is written down at most this often
_KEPT_S = 30 * 86_400
_FEW_KEPT_S = 3600  # a failure or two: many strangers leave such
_LISTED_MAX = 200
_BATCH = 1000


class Sessions:
    """A session ends by logout, by being unused, by its age, by a newer one too many, or by whoever may end it."""

    def __init__(
        self,
        database: Database,
        stores: tuple[SessionStore, AccountStore],
        recorder: Recorder,
        clock: Clock,
        lifetimes: Lifetimes,
    ) -> None:
        self._database = database
        self._store, self._accounts = stores
        self._recorder = recorder
        self._clock = clock
        self.lifetimes = lifetimes

    async def open(self, account: Account, way: Way, client: Client, former: str | None = None) -> Opened:
        """A new session with a new token, whatever cookie was sent; the session of that cookie (`former`) ends."""
        now, token = self._clock.time(), secret()
        session = Session(
            id=public_id(),
            account_id=account.id,
            way=way,
            created_at=now,
            seen_at=now,
            expires_at=now + self.lifetimes.absolute_s,
            client=client.address,
            agent=client.agent[:AGENT_MAX],
            known=(client.likeness,),
        )
        by = self_actor(account, client.address)
        async with self._database.transaction() as conn:
            await self._end_former(conn, former, now)
            await self._store.insert(conn, session, token_hash(token))
            gone = await self._store.end_oldest(conn, account.id, self.lifetimes.most, now)
            await self._accounts.set_login(conn, account.id, now)
            told = {"session": session.id, "way": way, "ended": gone}
            await self._recorder.tell(conn, by, account, Told("account.login", "authn_login_success", told))
        self._recorder.events.emit("session_created", "a session began", client=client.address, user=account.id)
        return Opened(session, account, token)

    async def _end_former(self, conn: Any, former: str | None, now: float) -> None:
        found = None if former is None else await self._store.by_hash(conn, token_hash(former))
        if found is not None:
            await self._store.end(conn, found.id, found.account_id, now, "signed in again")

    async def enter(self, token: str, client: Client) -> tuple[Session, Account]:
        """The session of a cookie and its account. Raises `Unauthenticated`: unknown, ended, or timed out."""
        session = await self._store.by_hash(self._database, token_hash(token))
        account = None if session is None else await self._accounts.account(self._database, session.account_id)
        if session is None or account is None:
            raise _over()
        now = self._clock.time()
        if session.ended_at is not None:
            self._used_late(session, client)
            raise _over()
        if now >= session.end_of(self.lifetimes):
            await self._expire(session, account, client, now)
            raise _over()
        if account.status != "active":
            raise _over()
        return await self._seen(session, account, client, now), account

    def _used_late(self, session: Session, client: Client) -> None:
        events = self._recorder.events
        told = f"a session was used after its end ({session.ended_reason})"
        events.emit("session_use_after_expire", told, client=client.address, user=session.account_id)

    async def _expire(self, session: Session, account: Account, client: Client, now: float) -> None:
        async with self._database.transaction() as conn:
            if await self._store.end(conn, session.id, account.id, now, "timed out"):
                told = Told("session.expire", "session_expired", {"session": session.id})
                await self._recorder.tell(conn, SYSTEM, account, told)
        self._used_late(session, client)

    async def _seen(self, session: Session, account: Account, client: Client, now: float) -> Session:
        """The session as it is after this use; what looks like another client flags it."""
        flag = session.flagged_at is None and client.likeness not in session.known
        if not flag and now - session.seen_at < _SEEN_AFTER_S:
            return session
        cut = Client(client.address, client.agent[:AGENT_MAX])
        async with self._database.transaction() as conn:
            await self._store.touch(conn, session.id, cut, now, flag=flag)
            if flag:
                details = {"session": session.id, "before": session.client}
                told = Told("session.other_client", "authn_impossible_travel", details)
                await self._recorder.tell(conn, self_actor(account, client.address), account, told)
        return msgspec.structs.replace(session, seen_at=now, flagged_at=now if flag else session.flagged_at)

    async def renew(self, session_id: str, account: Account, client: Client) -> Opened:
        """Another token for a session whose owner has just proved who they are; the old token is worth nothing.

        Raises `Unauthenticated` when the session ended meanwhile.
        """
        now, token = self._clock.time(), secret()
        async with self._database.transaction() as conn:
            listed = await self._store.of_account(conn, account.id, now, self.lifetimes.idle_s, _LISTED_MAX)
            found = next((one for one in listed if one.id == session_id), None)
            if found is None:
                raise _over()
            known = tuple(dict.fromkeys((client.likeness, *found.known)))[:KNOWN_MAX]
            new = msgspec.structs.replace(
                found, seen_at=now, client=client.address, agent=client.agent[:AGENT_MAX], known=known, flagged_at=None
            )
            await self._store.renew(conn, new, token_hash(token))
            told = Told("session.renew", "session_renewed", {"session": session_id})
            await self._recorder.tell(conn, self_actor(account, client.address), account, told)
        return Opened(new, account, token)

    async def list(self, account_id: str) -> list[Session]:
        """The sessions of an account that go on, newest first."""
        now = self._clock.time()
        return await self._store.of_account(self._database, account_id, now, self.lifetimes.idle_s, _LISTED_MAX)

    async def end(self, by: Actor, account: Account, session_id: str, reason: str = "revoked") -> None:
        """End one session of an account. Raises `NotFound`."""
        async with self._database.transaction() as conn:
            if not await self._store.end(conn, session_id, account.id, self._clock.time(), reason):
                raise NotFound(f"there is no session `{_shown(session_id)}` that goes on; list them to find its id")
            told = Told("session.end", "session_logout", {"session": session_id, "reason": reason})
            await self._recorder.tell(conn, by, account, told)

    async def end_all(self, by: Actor, account: Account, but: str = "") -> int:
        """End every session of an account but one; returns how many."""
        async with self._database.transaction() as conn:
            gone = await self._store.end_all(conn, account.id, self._clock.time(), "revoked", but)
            if gone:
                await self._recorder.tell(conn, by, account, Told("session.end", "session_logout", {"sessions": gone}))
        return len(gone)

    async def purge(self) -> int:
        """Forget a batch of sessions 30 days after their end, of attempts after a day, of single ones after an hour."""
        now = self._clock.time()
        async with self._database.transaction() as conn:
            return await self._store.purge(conn, now - _KEPT_S, (now - FORGOTTEN_S, now - _FEW_KEPT_S), _BATCH)


def _over() -> Unauthenticated:
    return Unauthenticated("the session has ended; sign in again", code="session_ended")


def _shown(session_id: str) -> str:
    return session_id.encode("utf-8", "replace").decode()[:64]
