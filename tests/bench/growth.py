"""What 1,000 calls with memory leave on disk, by table and by folder: `python tests/bench/growth.py [--calls N]`.

Users say something new of some thirty words in each call, and are answered by the simulator; what is embedded, drawn or
purged in the background is waited for. The figures of docs/operations.md (What grows) come from here.
"""

import argparse
import asyncio
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import asyncpg
from seed import vocabulary

from support.api import Api
from support.service import Service, ServiceOptions, eventually

_TOML = 'log_level = "info"\n'
_USERS, _WORDS = 50, 30
_SIZES = """
    SELECT coalesce(parent.relname, t.relname) AS name, sum(pg_total_relation_size(t.oid))::bigint AS bytes
    FROM pg_class t LEFT JOIN pg_inherits i ON i.inhrelid = t.oid LEFT JOIN pg_class parent ON parent.oid = i.inhparent
    WHERE t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace GROUP BY 1
"""


async def calls(service: Service, count: int, source: random.Random, words: list[str]) -> None:
    """So many calls, eight at a time."""

    async def some(api: Api, number: int) -> None:
        for place in range(number, count, 8):
            said = " ".join(source.choices(words, k=_WORDS)).capitalize() + "."
            status = (await api.chat("sim/echo", said, user=f"user-{place % _USERS}")).status
            assert status == 200, status

    async with Api(service.url, service.key) as api:
        await asyncio.gather(*(some(api, number) for number in range(8)))


async def sizes(service: Service) -> dict[str, int]:
    """Bytes of each table with its indexes, and of folders of the data dir."""
    connection = await asyncpg.connect(service.database_url())
    try:

        async def embedded() -> bool:
            return not await connection.fetchval("SELECT count(*) FROM memory_unembedded")

        await eventually(embedded, 600, "everything is embedded")
        await asyncio.sleep(10)  # what is drained and drawn in the background
        await connection.execute("CHECKPOINT")
        found = {row["name"]: row["bytes"] for row in await connection.fetch(_SIZES)}
    finally:
        await connection.close()
    for folder in ("spool", "logs", "alerting", "timeseries"):
        files = [file for file in (service.data_dir / folder).rglob("*") if file.is_file()]
        found[f"{folder}/"] = sum(file.stat().st_blocks * 512 for file in files)
    return found


async def main() -> None:
    """Print what grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4000)
    count = parser.parse_args().calls
    source, words = random.Random(5), vocabulary(5000)
    with Service(ServiceOptions(toml=_TOML, workers=1)) as service:
        await calls(service, 1000, source, words)  # the first pages of everything
        before = await sizes(service)
        await calls(service, count, source, words)
        after = await sizes(service)
    grown = {name: (after[name] - before.get(name, 0)) / count * 1000 for name in after}
    for name, each in sorted(grown.items(), key=lambda one: -one[1]):
        if each:
            print(f"{name:<28} {each / 1000:10.1f} kB per 1,000 calls")
    print(f"{'in all':<28} {sum(grown.values()) / 1000:10.1f} kB per 1,000 calls")


if __name__ == "__main__":
    asyncio.run(main())
