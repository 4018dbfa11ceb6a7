"""Everything about a user as JSON lines, in steps of bounded size."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from cmg.kit.clock import Clock, rfc3339
from cmg.memory.control.models import StoredItem, StoredJudgement, StoredSummary, StoredThread
from cmg.memory.control.store import ControlStore
from cmg.memory.models import Owner

FORMAT = 1
_THREADS = 500
_OURS = frozenset({"seq", "user_no", "thread_no", "implicit"})  # numbers of our tables say nothing to anybody else
_encode = msgspec.json.Encoder().encode


class Export:
    """Reads through the store: nothing of another workspace or user is reached."""

    def __init__(self, store: ControlStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def lines(self, owner: Owner) -> AsyncIterator[bytes]:
        """Pieces of a few hundred lines: a header, threads, summaries, items with versions, judgements, the counts.

        The last line has `"type": "end"`; an export without it was cut off.
        """
        head = {"type": "export", "format": FORMAT, "user_id": owner.user_id, "workspace_id": owner.workspace_id}
        head["subject"] = await self._store.subject(owner)  # who looked at the user stands under it in the audit trail
        yield _line({**head, "at": rfc3339(self._clock.time())})
        threads = items = 0
        before: int | None = None
        while found := await self._store.threads(owner, before, None, _THREADS):
            yield b"".join(_line(_thread(one)) for one in found)
            threads, before = threads + len(found), found[-1].thread_no
        behind = summaries = 0
        while written := await self._store.summaries(owner, behind, _THREADS):
            yield b"".join(_line(_summary(one)) for one in written)
            summaries, behind = summaries + len(written), written[-1].thread_no
        judgements = 0
        async for step in self._store.everything(owner):
            yield b"".join(_line(_item(one)) for one in step)
            ids = [one.id for one in step if one.root_id is not None]  # what was only said was never judged
            judged = await self._store.judgements(owner.workspace_id, ids) if ids else []
            if judged:
                yield b"".join(_line(_judgement(one)) for one in judged)
            items, judgements = items + len(step), judgements + len(judged)
        told = {"threads": threads, "summaries": summaries, "items": items, "judgements": judgements}
        yield _line({"type": "end", **told})


def _thread(thread: StoredThread) -> dict[str, Any]:
    return {"type": "thread", **_named(msgspec.structs.asdict(thread))}


def _summary(summary: StoredSummary) -> dict[str, Any]:
    lines = [{"role": role, "name": name, "text": text} for _, _, role, name, text in summary.lines]
    return {"type": "summary", **_named(msgspec.structs.asdict(summary)), "lines": lines}


def _item(item: StoredItem) -> dict[str, Any]:
    return {"type": "item", **_named(msgspec.structs.asdict(item))}


def _judgement(judgement: StoredJudgement) -> dict[str, Any]:
    return {"type": "judgement", **_named(msgspec.structs.asdict(judgement))}


def _named(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in _OURS and value is not None}


def _line(value: dict[str, Any]) -> bytes:
    return _encode(value) + b"\n"
