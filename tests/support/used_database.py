"""Makes a test's database what it was before the test: ten times cheaper than dropping it and copying another one.

What a test wrote is found by the tables' sizes, since an empty table has no page; what it made, by the catalogue. A
database whose catalogue cannot be brought back is told so, and is to be dropped.
"""

from dataclasses import dataclass

import asyncpg

_TABLES = """
SELECT c.relname AS name,
       EXISTS (SELECT 1 FROM pg_constraint k WHERE k.confrelid = c.oid AND k.conrelid <> c.oid) AS referenced
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND pg_relation_size(c.oid) > 0
"""
_SEQUENCES = "SELECT sequencename, last_value, start_value FROM pg_sequences WHERE schemaname = 'public'"
_RELATIONS = """
SELECT c.relname AS name, c.relkind::text AS kind, c.oid::int8 AS oid
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace ORDER BY c.relname
"""
_LEAVE = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
STRANGERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
# Every change of a definition writes a row of one of these, and its xmin tells; a dropped one is missing in the count.
_DEFINING = (
    "pg_attrdef",
    "pg_attribute",
    "pg_cast",
    "pg_constraint",
    "pg_default_acl",
    "pg_description",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_index",
    "pg_inherits",
    "pg_namespace",
    "pg_operator",
    "pg_policy",
    "pg_proc",
    "pg_rewrite",
    "pg_sequence",
    "pg_statistic_ext",
    "pg_trigger",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_type",
)
_DEFINITIONS = (
    " UNION ALL ".join(
        f"SELECT '{name}' AS name, count(*) AS rows, max(xmin::text::int8) AS last FROM {name}" for name in _DEFINING
    )
    + " UNION ALL SELECT 'settings', count(*), 0 FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
    " WHERE d.datname = current_database()"
    " UNION ALL SELECT 'relations', count(*), sum(hashtext(concat_ws(' ', oid, relname, relkind, relnamespace,"
    " relpersistence, relowner, relchecks, relrowsecurity, reloptions, relacl, relreplident)))"
    " FROM pg_class WHERE relnamespace <> 'pg_toast'::regnamespace"
)
_FORGET = "DELETE FROM pg_statistic WHERE starelid >= 16384"
_DROPPED = {"r": "TABLE", "p": "TABLE", "i": "INDEX", "I": "INDEX", "S": "SEQUENCE", "v": "VIEW"}


@dataclass(frozen=True)
class Pristine:
    """What a database is before a test: definitions, names of its relations, the rows and counters it comes with."""

    definitions: frozenset[tuple[object, ...]]
    relations: frozenset[str]
    rows: dict[str, list[asyncpg.Record]]
    sequences: dict[str, int | None]

    @classmethod
    async def read(cls, dsn: str) -> "Pristine":
        """Of a database that no test has seen."""
        connection = await asyncpg.connect(dsn)
        try:
            return cls(
                await _definitions(connection),
                frozenset(one["name"] for one in await connection.fetch(_RELATIONS)),
                {one["name"]: await _rows(connection, one["name"]) for one in await connection.fetch(_TABLES)},
                {one["sequencename"]: one["last_value"] for one in await connection.fetch(_SEQUENCES)},
            )
        finally:
            await connection.close()

    async def restore(self, connection: asyncpg.Connection) -> bool:
        """Make a used database like this again, on a connection to it; false when that cannot be done."""
        await connection.execute(_LEAVE)
        if not await self._redefine(connection):
            return False
        await connection.execute("SET session_replication_role = replica")  # no triggers, no foreign keys
        await self._empty(connection)
        await self._refill(connection)
        await connection.execute("RESET session_replication_role")
        for name, last, first in await connection.fetch(_SEQUENCES):
            if last != self.sequences[name]:
                before = self.sequences[name]
                await connection.fetchval(
                    "SELECT setval($1::text::regclass, $2, $3)", name, before or first, before is not None
                )
        await connection.execute(_FORGET)
        return True

    async def _redefine(self, connection: asyncpg.Connection) -> bool:
        """Drop what was made beside what was there; whether all is defined as before."""
        made = [one for one in await connection.fetch(_RELATIONS) if one["name"] not in self.relations]
        for one in sorted(made, key=lambda one: one["kind"] not in "rp"):
            if one["kind"] not in _DROPPED:
                return False
            await connection.execute(f'DROP {_DROPPED[one["kind"]]} IF EXISTS "{one["name"]}" CASCADE')
        return await _definitions(connection) == self.definitions

    async def _empty(self, connection: asyncpg.Connection) -> None:
        """Empty the tables that are not empty at first."""
        used = [one for one in await connection.fetch(_TABLES) if one["name"] not in self.rows]
        alone = [f'"{one["name"]}"' for one in used if not one["referenced"]]
        if alone:
            await connection.execute(f"TRUNCATE {', '.join(alone)}")
        # To truncate a table that others refer to, they must be truncated too: this is cheaper.
        for one in used:
            if one["referenced"]:
                await connection.execute(f'DELETE FROM "{one["name"]}"')
                await connection.execute(f'VACUUM "{one["name"]}"')

    async def _refill(self, connection: asyncpg.Connection) -> None:
        """Give the others the rows they had."""
        for name, rows in self.rows.items():
            if await _rows(connection, name) != rows:
                await connection.execute(f'DELETE FROM "{name}"')
                await connection.execute(f'VACUUM "{name}"')
                await connection.copy_records_to_table(name, records=rows, columns=list(rows[0].keys()))


async def _definitions(connection: asyncpg.Connection) -> frozenset[tuple[object, ...]]:
    return frozenset(tuple(one) for one in await connection.fetch(_DEFINITIONS))


async def _rows(connection: asyncpg.Connection, table: str) -> list[asyncpg.Record]:
    return list(await connection.fetch(f'SELECT * FROM "{table}"'))
