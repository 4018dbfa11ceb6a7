"""Judges what the journal tells of notes and answers, inside the drain's transaction: each call counts exactly once."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

from cmg.kit.clock import Clock, at
from cmg.memory.control.tombstone_store import erased
from cmg.memory.effect import store
from cmg.memory.effect.judging import used
from cmg.memory.effect.records import ToldRecord, decode_told
from cmg.memory.effect.store import Effect, Item
from cmg.memory.items.store import ItemStore
from cmg.storage.database import Connection
from cmg.telemetry.instruments import Instruments

_JUDGED = 200  # calls of one batch: 0.2 ms each; of more only the numbers are counted, so that no turn waits for them
_BREATH = 8  # calls between two looks at other work on the event loop


class ToldSink:
    """Stores nothing of a call's words: only counts."""

    def __init__(self, clock: Clock, instruments: Instruments) -> None:
        self._clock, self._instruments, self._items = clock, instruments, ItemStore()

    async def write(self, conn: Connection, payloads: Sequence[bytes]) -> None:
        """Count the calls of all payloads. Raises `msgspec.DecodeError` for one that is no such record."""
        records = [decode_told(payload) for payload in payloads]
        gone = await erased(conn, [(one.workspace_id, one.user_id) for one in records])
        kept = [one for one in records if not _before(one, gone)]
        effects: dict[tuple[str, date], Effect] = {}
        of_use: Counter[Item] = Counter()
        wanted = {(one.workspace_id, item) for one in kept[:_JUDGED] if one.answer for item in one.ids}
        contents = await store.contents(conn, wanted)
        for count, record in enumerate(kept, 1):
            judged = record.ids if count <= _JUDGED and record.answer else []
            told = {item: text for item in judged if (text := contents.get((record.workspace_id, item)))}
            hits = used(told, record.question, record.answer)
            of_use.update((record.workspace_id, item) for item in hits)
            _count(effects.setdefault((record.workspace_id, at(record.at).date()), Effect()), record, told, hits)
            if not count % _BREATH:
                await asyncio.sleep(0)
        if effects:
            await store.add(conn, effects)
            if of_use:
                await self._items.count_uses(conn, of_use, self._clock.now())
            self._show(list(effects.values()))

    def _show(self, effects: Sequence[Effect]) -> None:
        for outcome in ("used", "ignored", "unjudged"):
            count = sum(getattr(one, outcome) for one in effects)
            self._instruments.series("cmg_memory_noted_items_total", outcome).inc(count)
        whole, of_use = sum(one.notes for one in effects), sum(one.notes_used for one in effects)
        self._instruments.series("cmg_memory_notes_total", "used").inc(of_use)
        self._instruments.series("cmg_memory_notes_total", "unused").inc(whole - of_use)


def _count(effect: Effect, record: ToldRecord, told: Collection[UUID], hits: Collection[UUID]) -> None:
    effect.notes += bool(record.items)
    effect.notes_used += bool(hits)
    effect.used += len(hits)
    effect.ignored += len(told) - len(hits)
    effect.unjudged += len(record.items) - len(told)
    effect.shortened += bool(record.left_out)
    effect.left_out += record.left_out


def _before(record: ToldRecord, gone: Mapping[tuple[str, str], datetime]) -> bool:
    """Whether it was answered before its user was erased."""
    erased_at = gone.get((record.workspace_id, record.user_id))
    return erased_at is not None and record.at <= erased_at.timestamp()
