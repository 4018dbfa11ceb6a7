"""Fills the memory of a running service with a million turns in minutes: COPY BINARY, then the indexes anew."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg
import memory_rows as made
import numpy as np

from cmg.memory.vectors.backlog import INDEXED_FROM

_CHUNK = 2500  # sessions
MANY_TOPICS_FROM = 5000  # turns of a user who speaks about everything
_TOPICS_EACH = 12
_BUILD_MEMORY = "1500MB"


class Crowd(NamedTuple):
    """The users of a workspace: how many turns each has; user number n is called `bench-user-<n>`."""

    workspace_id: str
    turns: list[int]

    @property
    def users(self) -> list[str]:
        """Their ids."""
        return [f"bench-user-{number}" for number in range(len(self.turns))]


async def fill(dsn: str, crowd: Crowd, language: made.Language) -> dict[str, float]:
    """Store everything; returns the seconds that each part took."""
    connection, took = await asyncpg.connect(dsn), {}
    try:
        started = time.monotonic()
        for setting, value in (("maintenance_work_mem", _BUILD_MEMORY), ("synchronous_commit", "off")):
            await connection.execute(f"SET {setting} = '{value}'")
        indexes = await _taken_down(connection)
        sessions = await _sessions(connection, crowd)
        first = 1 + await connection.fetchval("SELECT coalesce(max(seq), 0) FROM memory_turns")
        model_no = await connection.fetchval("SELECT model_no FROM memory_models ORDER BY used_at DESC LIMIT 1")
        took["users and sessions"], started = _since(started)
        await asyncio.gather(
            _copy(dsn, "memory_turns", made.TURN_COLUMNS, _turns(language, sessions, first, crowd.workspace_id)),
            _copy(dsn, "memory_vectors", made.VECTOR_COLUMNS, _vectors(language, sessions, first, model_no)),
        )
        took["rows"], started = _since(started)
        for definition in indexes:
            await connection.execute(definition)
            took[definition.split()[-1] if "CONSTRAINT" in definition else _name(definition)], started = _since(started)
        await connection.execute(
            "SELECT setval(pg_get_serial_sequence('memory_turns', 'seq'), max(seq)) FROM memory_turns"
        )
        for table in ("users", "threads", "turns", "vectors"):
            await connection.execute(f"VACUUM (ANALYZE) memory_{table}")
        await connection.execute("CHECKPOINT")
        took["vacuum"], started = _since(started)
    finally:
        await connection.close()
    return took


async def sizes(dsn: str) -> dict[str, int]:
    """Bytes of every table and index of the memory that holds anything to speak of."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT relname, CASE relkind WHEN 'r' THEN pg_table_size(oid) ELSE pg_relation_size(oid) END AS size "
            "FROM pg_class WHERE relname LIKE 'memory_%' AND relkind IN ('r', 'i')"
        )
    finally:
        await connection.close()
    return {row["relname"]: row["size"] for row in rows if row["size"] >= 2**20}


def _since(started: float) -> tuple[float, float]:
    now = time.monotonic()
    return now - started, now


def _name(definition: str) -> str:
    return definition.split(" INDEX ")[1].split(maxsplit=1)[0]


async def _taken_down(connection: asyncpg.Connection) -> list[str]:
    """Drop the indexes of turns and vectors, and what refers to them; returns the statements that make them again."""
    of_ours = "IN ('memory_turns'::regclass, 'memory_vectors'::regclass)"
    references = await connection.fetch(
        "SELECT conrelid::regclass::text AS on_table, conname, pg_get_constraintdef(oid) AS rule FROM pg_constraint "
        f"WHERE contype = 'f' AND confrelid {of_ours}"
    )
    indexes = await connection.fetch(
        "SELECT i.indexrelid::regclass::text AS name, i.indrelid::regclass::text AS on_table, c.conname, "
        "pg_get_constraintdef(c.oid) AS rule, pg_get_indexdef(i.indexrelid) AS definition "
        "FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype <> 'f' "
        f"WHERE i.indrelid {of_ours}"
    )
    again = []
    for row in (*references, *indexes):
        if row["conname"]:
            await connection.execute(f"ALTER TABLE {row['on_table']} DROP CONSTRAINT {row['conname']}")
            again.append(f"ALTER TABLE {row['on_table']} ADD CONSTRAINT {row['conname']} {row['rule']}")
        else:
            await connection.execute(f"DROP INDEX {row['name']}")
            again.append(row["definition"])
    return [*again[len(references) :], *again[: len(references)]]


async def _sessions(connection: asyncpg.Connection, crowd: Crowd) -> made.Sessions:
    """Make the users and their threads, one a session; sessions of all users in one shuffled order."""
    numbers = await connection.fetch(
        "INSERT INTO memory_users (workspace_id, user_id, updated_at, turns, length, vector_model_no, vectors_whole, "
        "vectors_indexed) SELECT $1, id, now(), count, count * 20, (SELECT max(model_no) FROM memory_models), true, "
        "CASE WHEN count >= $4 THEN 2 ELSE 0 END FROM unnest($2::text[], $3::bigint[]) AS g (id, count) "
        "RETURNING user_no, user_id",
        crowd.workspace_id, crowd.users, crowd.turns, INDEXED_FROM,
    )  # fmt: skip
    number_of = {row["user_id"]: row["user_no"] for row in numbers}
    source = np.random.default_rng(5)
    each = [count // made.PER_SESSION for count in crowd.turns]
    user = np.repeat(np.arange(len(each)), each)
    source.shuffle(user)
    few, anything = (
        topics_of(crowd)[user, source.integers(0, _TOPICS_EACH, len(user))],
        source.integers(0, made.TOPICS, len(user)),
    )
    topics = np.where(np.array(crowd.turns)[user] >= MANY_TOPICS_FROM, anything, few)
    user_no = np.array([number_of[name] for name in crowd.users])[user]
    threads = await connection.fetch(
        "INSERT INTO memory_threads (workspace_id, user_no, thread_id, implicit, created_at, updated_at) "
        "SELECT $1, no, 'session-' || place, false, now(), now() "
        "FROM unnest($2::bigint[]) WITH ORDINALITY AS g (no, place) RETURNING thread_no",
        crowd.workspace_id, user_no.tolist(),
    )  # fmt: skip
    thread_no = np.array([row["thread_no"] for row in threads])
    indexed = np.array(crowd.turns)[user] >= INDEXED_FROM
    return made.Sessions(user_no, thread_no, topics, made.salts(crowd.workspace_id, crowd.users)[user], indexed)


def topics_of(crowd: Crowd) -> np.ndarray:
    """What each user speaks about, (users, topics); those with very many turns speak about everything."""
    return np.random.default_rng(6).integers(0, made.TOPICS, (len(crowd.turns), _TOPICS_EACH))


def _chunks(sessions: made.Sessions):
    for begin in range(0, len(sessions.topic), _CHUNK):
        yield begin * made.PER_SESSION, made.Sessions(*(column[begin : begin + _CHUNK] for column in sessions))


async def _turns(
    language: made.Language, sessions: made.Sessions, first: int, workspace_id: str
) -> AsyncIterator[bytes]:
    yield made.COPY_HEAD
    for offset, some in _chunks(sessions):
        held: list[bytes] = []
        for row in made.turns(language, some, first + offset, workspace_id):
            held.append(row)
            if len(held) == 500:
                yield b"".join(held)
                held.clear()
        yield b"".join(held)
    yield made.COPY_TAIL


async def _vectors(language: made.Language, sessions: made.Sessions, first: int, model_no: int) -> AsyncIterator[bytes]:
    yield made.COPY_HEAD
    for offset, some in _chunks(sessions):
        for begin in range(0, len(some.topic), 50):
            part = made.Sessions(*(column[begin : begin + 50] for column in some))
            yield made.vectors(language, part, first + offset + begin * made.PER_SESSION, model_no)
    yield made.COPY_TAIL


async def _copy(dsn: str, table: str, columns: tuple[str, ...], rows: AsyncIterator[bytes]) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.copy_to_table(table, source=rows, columns=columns, format="binary")
    finally:
        await connection.close()
