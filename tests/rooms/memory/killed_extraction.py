"""A process that begins to read threads for facts and never ends: `killed_extraction.py DSN TIME before|inside`.

It hangs before the facts are written, or inside the transaction that has written them.
"""

import asyncio
import sys

from cmg.config import MemorySettings
from cmg.memory.extraction.worker import ExtractionWorker, RuleExtractor
from cmg.memory.items.writing import ItemWriter
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from support.manual_clock import ManualClock
from support.policies import policies


async def _hang() -> None:
    print("reading", flush=True)
    await asyncio.sleep(3600)


class _Hanging(RuleExtractor):
    async def extract(self, _claim, _passages):
        await _hang()


class _HangingInside(ItemWriter):
    async def put(self, conn, items):
        kept = await super().put(conn, items)
        await _hang()
        return kept


async def main(dsn: str, now: str, moment: str) -> None:
    clock, instruments = ManualClock(float(now)), Instruments()
    database = Database(dsn, clock=clock, instruments=instruments)
    await database.open()
    before = moment == "before"
    extractor = _Hanging() if before else RuleExtractor()
    writer = (ItemWriter if before else _HangingInside)(clock, policies(MemorySettings()))
    await ExtractionWorker(database, clock, instruments, extractor, writer).once()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
