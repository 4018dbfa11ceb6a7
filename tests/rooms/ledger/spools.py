"""What the journal's tests share: small settings, a sink that remembers, records that tell where they come from."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cmg.config import JournalSettings
from cmg.kit.ids import uuid7_hex
from cmg.ledger.models import UsageRecord, encode_usage

SMALL = JournalSettings(segment_bytes=4096, max_bytes=64 * 1024)
AT = 1_795_521_600.0  # 24 November 2026, noon UTC


class TableSink:
    """Stores payloads as text rows of a table that the test made; `poison` is refused as data, `boom` as a bug."""

    def __init__(self) -> None:
        self.written = 0

    async def write(self, conn: Any, payloads: Sequence[bytes]) -> None:
        if any(b"boom" in payload for payload in payloads):
            raise KeyError("boom")
        rows = [(payload.decode(),) for payload in payloads]
        await conn.copy_records_to_table("stored", records=rows, columns=["payload"])
        self.written += len(rows)


async def make_table(database: Any) -> None:
    """A table without any protection against doubles: the offsets alone must do."""
    await database.execute("CREATE TABLE stored (place bigserial, payload text CHECK (payload !~ 'poison'))")


async def stored(database: Any) -> list[str]:
    """What is in it, in the order of insertion."""
    return [row["payload"] for row in await database.fetch("SELECT payload FROM stored ORDER BY place")]


def folders(spool: Path) -> list[str]:
    """The workers' folders."""
    return sorted(path.name for path in spool.iterdir() if path.is_dir() and len(path.name) == 32)


def usage(**fields: Any) -> UsageRecord:
    """A usage record with sensible fields."""
    plain = {"id": uuid7_hex(), "at": AT, "workspace_id": "default", "key_id": "k1", "model_asked": "m"}
    return UsageRecord(**{**plain, **fields})


def usage_payload(**fields: Any) -> bytes:
    """The same as the journal holds it."""
    return encode_usage(usage(**fields))


async def until(check: Callable[[], bool], seconds: float = 20) -> None:
    """Return when the check holds; fails after so many seconds."""
    for _ in range(int(seconds / 0.002)):
        if check():
            return
        await asyncio.sleep(0.002)
    raise AssertionError(f"it did not come true within {seconds} s")
