"""The table of logins on their way; the only caller of this room's SQL."""

from typing import Any

from cmg.identity.oidc.models import Pending
from cmg.kit.clock import at
from cmg.storage.named_sql import load

_MOST = 10_000


class OidcStore:
    """Rows of `oidc_logins`: they live for minutes, and at most 10,000 of them."""

    def __init__(self) -> None:
        self._sql = load("cmg.identity.oidc")

    async def insert(self, conn: Any, digest: bytes, pending: Pending, now: float, until: float) -> bool:
        """Remember one; False when too many are on their way."""
        await conn.execute(self._sql["drop_late_logins"], at(now))
        given = (pending.nonce, pending.verifier, pending.after, at(until), _MOST)
        return await conn.fetchval(self._sql["insert_login"], digest, *given) is not None

    async def take(self, conn: Any, digest: bytes, now: float) -> Pending | None:
        """Use one up."""
        row = await conn.fetchrow(self._sql["take_login"], digest, at(now))
        return None if row is None else Pending(row["nonce"], row["verifier"], row["after"])
