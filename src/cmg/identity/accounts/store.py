"""The tables of accounts; the only caller of this room's SQL. Works on the connection or database it is given."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from cmg.identity.accounts.models import Account, Purpose
from cmg.kit.clock import at
from cmg.storage.named_sql import load
from cmg.storage.sealing.sealer import CannotOpen, Sealer

Reader = Any  # a Database or a connection


class Asked(msgspec.Struct, frozen=True):
    """What a person asked for; an administrator brings it."""

    id: str
    account_id: str
    workspace_id: str
    email: str
    kind: str
    at: float
    client: str


class AccountStore:
    """Rows of `accounts`, their tokens, recovery codes and requests."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._sql = load("cmg.identity.accounts")

    async def account(self, reader: Reader, account_id: str, workspace_id: str | None = None) -> Account | None:
        """An account by its id, in one workspace or in any."""
        return _account(await reader.fetchrow(self._sql["account"], account_id, workspace_id))

    async def locked(self, conn: Any, account_id: str, workspace_id: str | None = None) -> Account | None:
        """The same, its row held until the transaction ends."""
        return _account(await conn.fetchrow(self._sql["lock_account"], account_id, workspace_id))

    async def by_email(self, reader: Reader, email: str) -> Account | None:
        """The account of an address."""
        return _account(await reader.fetchrow(self._sql["account_by_email"], email))

    async def by_subject(self, reader: Reader, issuer: str, subject: str) -> Account | None:
        """The account that an issuer vouches for."""
        return _account(await reader.fetchrow(self._sql["account_by_subject"], issuer, subject))

    async def page(
        self, reader: Reader, workspace_id: str | None, before: tuple[datetime, str], limit: int
    ) -> list[Account]:
        """Accounts, newest first, after a position."""
        rows = await reader.fetch(self._sql["accounts_page"], workspace_id, *before, limit)
        return [found for row in rows if (found := _account(row)) is not None]

    async def lock_first(self, conn: Any) -> bool:
        """Be alone with making the first account until the transaction ends; true when there is none yet."""
        await conn.execute(self._sql["lock_first_account"])
        return not await conn.fetchval(self._sql["any_account"])

    async def other_administrators(self, conn: Any, account_id: str) -> int:
        """How many others administer everything; their rows are held until the transaction ends."""
        return int(await conn.fetchval(self._sql["other_administrators"], account_id))

    async def insert(self, conn: Any, made: Account) -> bool:
        """Add an account; False when its address or its name at its issuer is taken."""
        given = (
            made.id,
            made.workspace_id,
            made.email,
            made.name,
            made.role,
            made.status,
            made.password_hash,
            made.must_change,
            made.issuer,
            made.subject,
            at(made.created_at),
        )
        return await conn.fetchval(self._sql["insert_account"], *given) is not None

    async def update(self, conn: Any, new: Account) -> None:
        """Write name, role, status and workspace."""
        given = (new.id, new.name, new.role, new.status, new.workspace_id, at(new.updated_at))
        await conn.execute(self._sql["update_account"], *given)

    async def set_password(self, conn: Any, account_id: str, hashed: str, now: float, *, must_change: bool) -> None:
        """Write a password's hash; `must_change`: somebody else made it."""
        await conn.execute(self._sql["set_password"], account_id, hashed, must_change, at(now))

    async def rehash(self, conn: Any, account: Account, hashed: str) -> None:
        """Replace a hash by one with newer parameters."""
        await conn.execute(self._sql["rehash"], account.id, account.password_hash, hashed)

    async def set_login(self, conn: Any, account_id: str, now: float) -> None:
        """Note a login."""
        await conn.execute(self._sql["set_login"], account_id, at(now))

    async def set_totp(self, conn: Any, account_id: str, secret: str | None, now: float, *, on: bool) -> None:
        """Write the second factor; `on` once a first code was shown."""
        sealed = None if secret is None else self._sealer.seal(secret)
        await conn.execute(self._sql["set_totp"], account_id, sealed, on, at(now))

    async def reseal(self, database: Reader, most: int = 500) -> tuple[int, int]:
        """Seal every device's secret under the first master key: those of before, and after the key was changed.

        Returns how many were sealed anew, and how many no key opens.
        """
        after, sealed, lost = "", 0, 0
        while rows := await database.fetch(self._sql["totp_secrets"], after, most):
            for row in rows:
                try:
                    renewed = self._sealer.renewed(row["totp_secret"])
                except CannotOpen:
                    lost += 1
                    continue
                if renewed != row["totp_secret"]:
                    await database.execute(self._sql["reseal_totp"], row["id"], row["totp_secret"], renewed)
                    sealed += 1
            after = rows[-1]["id"]
        return sealed, lost

    async def use_totp_step(self, conn: Any, account_id: str, step: int) -> bool:
        """Use up a period of 30 s; False when it was used before."""
        return await conn.fetchval(self._sql["use_totp_step"], account_id, step) is not None

    async def delete(self, conn: Any, account: Account) -> None:
        """Delete an account and all that hangs on it."""
        await conn.execute(self._sql["delete_account"], account.id, account.workspace_id)

    async def add_token(self, conn: Any, digest: bytes, account_id: str, purpose: Purpose, until: float) -> None:
        """Keep the hash of a new token; older ones of the account for this purpose end."""
        await self.drop_tokens(conn, account_id, (purpose,))
        await conn.execute(self._sql["insert_token"], digest, account_id, purpose, at(until))

    async def drop_tokens(self, conn: Any, account_id: str, purposes: Sequence[Purpose]) -> None:
        """End the tokens of an account."""
        await conn.execute(self._sql["drop_tokens"], account_id, list(purposes))

    async def token(self, reader: Reader, digest: bytes, purpose: Purpose, now: float) -> str | None:
        """The account of a token that is still good; it stays so."""
        found: str | None = await reader.fetchval(self._sql["token"], digest, purpose, at(now))
        return found

    async def use_token(self, conn: Any, digest: bytes, purpose: Purpose, now: float) -> str | None:
        """The account of a token, which is used up by that; None when it is unknown, used or expired."""
        found: str | None = await conn.fetchval(self._sql["use_token"], digest, purpose, at(now))
        return found

    async def set_codes(self, conn: Any, account_id: str, digests: Sequence[bytes]) -> None:
        """Replace the recovery codes of an account by these."""
        await conn.execute(self._sql["drop_codes"], account_id)
        await conn.execute(self._sql["insert_codes"], account_id, list(digests))

    async def use_code(self, conn: Any, account_id: str, digest: bytes) -> bool:
        """Use a recovery code up; False when there is none like it."""
        return await conn.fetchval(self._sql["use_code"], account_id, digest) is not None

    async def codes_left(self, reader: Reader, account_id: str) -> int:
        """How many recovery codes are left."""
        return int(await reader.fetchval(self._sql["count_codes"], account_id))

    async def add_request(self, conn: Any, request: Asked, since: float) -> str | None:
        """Note a request by its address; the account's id, or None when there is none or it asks too often."""
        given = (request.id, request.email, at(request.at), request.client, at(since))
        found: str | None = await conn.fetchval(self._sql["insert_request"], *given)
        return found

    async def requests(
        self, reader: Reader, workspace_id: str | None, before: tuple[datetime, str], limit: int
    ) -> list[Asked]:
        """Requests, newest first, after a position."""
        rows = await reader.fetch(self._sql["requests_page"], workspace_id, *before, limit)
        return [
            Asked(r["id"], r["account_id"], r["workspace_id"], r["email"], r["kind"], r["at"].timestamp(), r["client"])
            for r in rows
        ]

    async def purge(self, conn: Any, now: float, requests_before: float, limit: int) -> int:
        """Delete at most `limit` each of expired tokens and old requests; returns how many rows went."""
        tokens = await conn.execute(self._sql["purge_tokens"], at(now), limit)
        requests = await conn.execute(self._sql["purge_requests"], at(requests_before), limit)
        return sum(int(tag.rpartition(" ")[2]) for tag in (tokens, requests))


def _account(row: Any) -> Account | None:
    if row is None:
        return None
    last = row["last_login_at"]
    return Account(
        id=row["id"],
        workspace_id=row["workspace_id"],
        email=row["email"],
        name=row["name"],
        role=row["role"],
        status=row["status"],
        password_hash=row["password_hash"],
        must_change=row["must_change"],
        totp_secret=row["totp_secret"],
        totp_on=row["totp_on"],
        issuer=row["issuer"],
        subject=row["subject"],
        created_at=row["created_at"].timestamp(),
        updated_at=row["updated_at"].timestamp(),
        last_login_at=None if last is None else last.timestamp(),
    )
