"""Reading the ledger's rows straight from the database: what no answer of the service could gloss over."""

from typing import Any

import asyncpg

from support.service import Service, eventually

USAGE, TURNS = "usage_records", "memory_turns"


async def rows_of(service: Service, **where: Any) -> list[dict[str, Any]]:
    """The usage rows whose columns equal `where`, oldest first."""
    conditions = " AND ".join(f"{column} = ${place}" for place, column in enumerate(where, 1)) or "true"
    connection = await asyncpg.connect(service.database_url())
    try:
        found = await connection.fetch(
            f"SELECT * FROM usage_records WHERE {conditions} ORDER BY at, id", *where.values()
        )
    finally:
        await connection.close()
    return [dict(row) for row in found]


async def row_of(service: Service, **where: Any) -> dict[str, Any]:
    """The first such row, waited for (the journal drains behind the answer); fails when there is more than one."""

    async def found() -> list[dict[str, Any]]:
        return await rows_of(service, **where)

    rows = await eventually(found, 5, f"a usage row with {where}")
    assert len(rows) == 1, rows
    return dict(rows[0])


async def turns_of(service: Service) -> dict[str, int]:
    """Thread → how many turns are stored for it."""
    connection = await asyncpg.connect(service.database_url())
    try:
        found = await connection.fetch(
            f"SELECT thread_id, count(*) AS turns FROM {TURNS} JOIN memory_threads USING (thread_no) GROUP BY thread_id"
        )
    finally:
        await connection.close()
    return {row["thread_id"]: row["turns"] for row in found}
