"""What a link from an invitation or a reset lets its owner do, without being signed in."""

from typing import Any

import msgspec

from cmg.identity.accounts.models import Account, Purpose, email_of, token_hash
from cmg.identity.accounts.passwords import Passwords
from cmg.identity.accounts.recording import Recorder, Told, self_actor
from cmg.identity.accounts.store import AccountStore, Asked
from cmg.identity.forms.text import text
from cmg.identity.sessions.store import SessionStore
from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest
from cmg.kit.ids import uuid7_hex
from cmg.storage.database import Database

_ASKED_AGAIN_S = 86_400.0


class Credentials:
    """Tokens are good once, until they expire, and only the newest of an account."""

    def __init__(
        self,
        database: Database,
        stores: tuple[AccountStore, SessionStore],
        passwords: Passwords,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._database = database
        self._store, self._sessions = stores
        self._passwords = passwords
        self._recorder = recorder
        self._clock = clock

    async def accept(self, token: str, password: str, name: str | None, client: str) -> Account:
        """The owner of an invitation chooses a password, and is active from then on."""
        given = None if name is None else text(name, "name", most=100)
        return await self._choose(("invite", token), password, given, client)

    async def reset(self, token: str, password: str, client: str) -> Account:
        """The owner of a reset link chooses a new password; all sessions of the account end."""
        return await self._choose(("reset", token), password, None, client)

    async def _choose(self, shown: tuple[Purpose, str], password: str, name: str | None, client: str) -> Account:
        purpose, digest = shown[0], token_hash(shown[1])
        found = await self._store.token(self._database, digest, purpose, self._clock.time())
        account = None if found is None else await self._store.account(self._database, found)
        if account is None:
            raise _bad_link()
        # Only now, since this costs what a login costs.
        await self._passwords.check_new(password, "password", (account.email, account.name, name or ""))
        hashed = await self._passwords.hash(password)
        async with self._database.transaction() as conn:
            used = await self._store.use_token(conn, digest, purpose, self._clock.time())
            account = None if used is None else await self._store.locked(conn, used)
            if account is None or account.status == "disabled":
                raise _bad_link()
            return await self._write(conn, account, hashed, name, client)

    async def _write(self, conn: Any, account: Account, hashed: str, name: str | None, client: str) -> Account:
        now = self._clock.time()
        if name:
            await self._store.update(conn, msgspec.structs.replace(account, name=name, updated_at=now))
        await self._store.set_password(conn, account.id, hashed, now, must_change=False)
        await self._store.drop_tokens(conn, account.id, ("invite", "reset"))
        await self._sessions.end_all(conn, account.id, now, "password changed")
        told = Told("account.password", "authn_password_change", {"by": "link"})
        await self._recorder.tell(conn, self_actor(account, client), account, told)
        return await self._store.account(conn, account.id, account.workspace_id) or account

    async def ask_reset(self, email: str, client: str) -> None:
        """Note that somebody cannot sign in, if there is such an account; nobody is told whether there is.

        An administrator sees it in the list of requests and hands out a link. At most five a day are kept.
        """
        now = self._clock.time()
        asked = Asked(uuid7_hex(), "", "", email_of(email), "reset", now, client)
        async with self._database.transaction() as conn:
            account_id = await self._store.add_request(conn, asked, now - _ASKED_AGAIN_S)
            account = None if account_id is None else await self._store.account(conn, account_id)
            if account is not None:
                told = Told("account.reset_request", "authn_token_created")
                await self._recorder.tell(conn, self_actor(account, client), account, told)


def _bad_link() -> InvalidRequest:
    return InvalidRequest("this link is not good any more; ask for a new one", param="token")
