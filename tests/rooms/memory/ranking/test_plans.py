"""Plans that are kept: made when a new service's tables are empty, they have to be right for large ones."""

import pytest

from cmg.storage.database import Database
from cmg.storage.named_sql import load


@pytest.mark.parametrize("name", ["profile", "sample", "by_words", "candidates", "passages"])
async def test_a_plan_of_empty_tables_compares_no_two_lists_row_by_row(database: Database, name: str):
    sql = load("cmg.memory.ranking")[name]
    async with database.connection(keeps_plans=True) as conn:
        # As a new service finds them: not counted yet, and not before there are a thousand rows.
        await conn.execute(
            "UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE relname LIKE 'memory%' AND relkind IN ('r', 'i')"
        )
        types = [one.name for one in (await conn.prepare(sql)).get_parameters()]
        await conn.execute(f"PREPARE kept ({', '.join(types)}) AS {sql}")
        try:
            plan = await conn.fetch(f"EXPLAIN (COSTS OFF) EXECUTE kept ({', '.join('NULL' for _ in types)})")
        finally:
            await conn.execute("DEALLOCATE kept")
    lines = [line for (line,) in plan]
    compared = [line.strip() for line in lines if "Join Filter" in line]
    # Each passage's terms are searched for the few that are asked.
    assert compared == (["Join Filter: (a_1.term = ANY (p.terms))"] if name == "candidates" else []), "\n".join(lines)
