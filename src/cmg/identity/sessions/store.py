"""The tables of sessions and attempts; the only caller of this room's SQL."""

from typing import Any

from cmg.identity.sessions.models import Client, Session
from cmg.kit.clock import at
from cmg.storage.named_sql import load

Reader = Any  # a Database or a connection


class SessionStore:
    """Rows of `sessions` and `login_attempts`."""

    def __init__(self) -> None:
        self._sql = load("cmg.identity.sessions")

    async def insert(self, conn: Any, session: Session, digest: bytes) -> None:
        """Begin a session that opens with the token of this hash."""
        times = (at(session.created_at), at(session.expires_at))
        who = (session.client, session.agent, list(session.known))
        await conn.execute(
            self._sql["insert_session"], session.id, digest, session.account_id, session.way, *times, *who
        )

    async def by_hash(self, reader: Reader, digest: bytes) -> Session | None:
        """The session of a token."""
        row = await reader.fetchrow(self._sql["session_by_hash"], digest)
        return None if row is None else _session(row)

    async def of_account(self, reader: Reader, account_id: str, now: float, idle_s: float, limit: int) -> list[Session]:
        """Sessions that go on, newest first."""
        given = (account_id, at(now), at(now - idle_s), limit)
        return [_session(row) for row in await reader.fetch(self._sql["sessions_of"], *given)]

    async def touch(self, conn: Any, session_id: str, client: Client, now: float, *, flag: bool) -> None:
        """Note a use; `flag`: by a client that looks like another one."""
        given = (client.address, client.agent, at(now) if flag else None)
        await conn.execute(self._sql["touch_session"], session_id, at(now), *given)

    async def renew(self, conn: Any, session: Session, digest: bytes) -> bool:
        """Write a session's new token and client; False when it has ended."""
        given = (at(session.seen_at), session.client, session.agent, list(session.known))
        return await conn.fetchval(self._sql["renew_session"], session.id, digest, *given) is not None

    async def end(self, conn: Any, session_id: str, account_id: str, now: float, reason: str) -> bool:
        """End a session; False when it had ended before or is not of this account."""
        given = (session_id, account_id, at(now), reason)
        return await conn.fetchval(self._sql["end_session"], *given) is not None

    async def end_all(self, conn: Any, account_id: str, now: float, reason: str, but: str = "") -> list[str]:
        """End every session of an account but one; gives their ids."""
        rows = await conn.fetch(self._sql["end_sessions"], account_id, but, at(now), reason)
        return [row["id"] for row in rows]

    async def end_oldest(self, conn: Any, account_id: str, most: int, now: float) -> list[str]:
        """End those beyond the newest `most`; gives their ids."""
        return [row["id"] for row in await conn.fetch(self._sql["end_oldest"], account_id, most, at(now))]

    async def take_attempt(
        self, conn: Any, subject: bytes, now: float, since: float, rule: tuple[int, float]
    ) -> float | None:
        """Count an attempt; None while the subject is blocked, else until when further ones are.

        `rule`: how many are free, and the longest block in seconds. What was last counted before `since` is forgotten.
        """
        row = await conn.fetchrow(self._sql["take_attempt"], subject, at(now), at(since), *rule)
        return None if row is None else row["blocked_until"].timestamp()

    async def blocked_until(self, reader: Reader, subject: bytes) -> float:
        """Epoch seconds of the end of a block; 0 when there is none."""
        found = await reader.fetchval(self._sql["blocked_until"], subject)
        return 0.0 if found is None else float(found.timestamp())

    async def forgive(self, conn: Any, subject: bytes) -> None:
        """Forget the failures on a subject."""
        await conn.execute(self._sql["forgive_attempts"], subject)

    async def give_back(self, conn: Any, subject: bytes) -> None:
        """Take an attempt back."""
        await conn.execute(self._sql["give_attempt_back"], subject)

    async def purge(self, conn: Any, sessions_before: float, attempts_before: tuple[float, float], limit: int) -> int:
        """Delete at most `limit` each of ended sessions and old attempts; returns how many rows went.

        `attempts_before`: the second for those with a failure or two.
        """
        sessions = await conn.execute(self._sql["purge_sessions"], at(sessions_before), limit)
        attempts = await conn.execute(self._sql["purge_attempts"], *map(at, attempts_before), limit)
        return sum(int(tag.rpartition(" ")[2]) for tag in (sessions, attempts))


def _session(row: Any) -> Session:
    def moment(name: str) -> float | None:
        return None if row[name] is None else row[name].timestamp()

    return Session(
        id=row["id"],
        account_id=row["account_id"],
        way=row["way"],
        created_at=row["created_at"].timestamp(),
        seen_at=row["seen_at"].timestamp(),
        expires_at=row["expires_at"].timestamp(),
        client=row["client"],
        agent=row["agent"],
        known=tuple(row["known"]),
        flagged_at=moment("flagged_at"),
        ended_at=moment("ended_at"),
        ended_reason=row["ended_reason"],
    )
