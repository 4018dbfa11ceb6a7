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

# Calls that are judged: 0.2 to 0.4 ms each. Of more only the numbers are counted: a sample tells as much, and no turn
# waits for it.
_BURST, _PER_SECOND = 200, 50
_BREATH = 8  # calls between two looks at other work on the event loop


class ToldSink:
    """Stores nothing of a call's words: only counts."""

    def __init__(self, clock: Clock, instruments: Instruments) -> None:
        self._clock, self._instruments, self._items = clock, instruments, ItemStore()
        self._left, self._seen_at = float(_BURST), clock.monotonic()

    async def write(self, conn: Connection, payloads: Sequence[bytes]) -> None:
        """Count the calls of all payloads. Raises `msgspec.DecodeError` for one that is no such record."""
        records = [decode_told(payload) for payload in payloads]
        gone = await erased(conn, [(one.workspace_id, one.user_id) for one in records])
        kept = [one for one in records if not _before(one, gone)]
        ready = [one for one in kept if one.items and one.answer]
        judged, rest = self._sampled(ready), [one for one in kept if not (one.items and one.answer)]
        contents = await store.contents(conn, {(one.workspace_id, item) for one in judged for item in one.ids})
        effects: dict[tuple[str, date], Effect] = {}
        of_use: Counter[Item] = Counter()
        for count, record in enumerate(judged, 1):
            told = {item: text for item in record.ids if (text := contents.get((record.workspace_id, item)))}
            hits = used(told, record.question, record.answer)
            of_use.update((record.workspace_id, item) for item in hits)
            _count(effects, record, told, hits)
            if not count % _BREATH:
                await asyncio.sleep(0)
        for record in rest + ready[len(judged) :]:
            _count(effects, record)
        if effects:
            await store.add(conn, effects)
            if of_use:
                await self._items.count_uses(conn, of_use, self._clock.now())
            self._show(list(effects.values()))

    def _sampled(self, records: Sequence[ToldRecord]) -> Sequence[ToldRecord]:
        """Those that may be judged now."""
        now = self._clock.monotonic()
        self._left = min(_BURST, self._left + (now - self._seen_at) * _PER_SECOND)
        self._seen_at = now
        sample = records[: int(self._left)]
        self._left -= len(sample)
        return sample

    def _show(self, effects: Sequence[Effect]) -> None:
        for outcome in ("used", "ignored", "unjudged"):
            count = sum(getattr(one, outcome) for one in effects)
            self._instruments.series("cmg_memory_noted_items_total", outcome).inc(count)
        notes, judged, of_use = (
            sum(getattr(one, name) for one in effects) for name in ("notes", "notes_judged", "notes_used")
        )
        for outcome, count in (("used", of_use), ("unused", judged - of_use), ("unjudged", notes - judged)):
            self._instruments.series("cmg_memory_notes_total", outcome).inc(count)


def _count(
    effects: dict[tuple[str, date], Effect],
    record: ToldRecord,
    told: Collection[UUID] = (),
    hits: Collection[UUID] = (),
) -> None:
    effect = effects.setdefault((record.workspace_id, at(record.at).date()), Effect())
    effect.notes += bool(record.items)
    effect.notes_judged += bool(told)
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
