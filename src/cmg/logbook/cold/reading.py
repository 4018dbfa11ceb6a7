"""A search in files: newest lines first, reading only blocks that may hold what is meant, with bounded effort."""

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from datetime import timedelta

import msgspec

from cmg.kit.clock import Clock
from cmg.logbook.cold.blocks import EPOCH, Block, Damaged, decode_index, marks, micros, unpack
from cmg.logbook.cold.bloom import may_hold
from cmg.logbook.cold.file_store import FileStore, StoredFile
from cmg.logbook.cold.file_writer import INDEX
from cmg.logbook.cold.shelf import Shelves
from cmg.logbook.cold.words import Question, question, words_of_line
from cmg.logbook.models import Line
from cmg.logbook.wanted import Place, Wanted
from cmg.telemetry.logs import get_logger

_FILES = 500  # of one page's search
_MOST_BYTES = 48 * 2**20
_MOST_S = 5.0
_INDEX_BYTES = 64 * 2**20
_LAST = 2**63 - 1
_log = get_logger("cmg.logbook.reading")


class Found(msgspec.Struct, frozen=True):
    """Lines, newest first; `rest`: what lies behind this place was not looked at yet."""

    lines: list[Line]
    rest: Place | None = None


class Asked:
    """What a search asks of lines and of blocks."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._question: Question | None = None if wanted.words is None else question(wanted.words)
        self.since_us, self.until_us = micros(wanted.since), micros(wanted.until)
        self._after = wanted.after
        if wanted.after is not None:
            self.until_us = min(self.until_us, wanted.after.at_us)
        named: dict[str, object] = {"w": wanted.workspace_id, "r": wanted.request_id, "t": wanted.trace_id}
        named |= {"s": wanted.service, "l": wanted.logger, "p": wanted.pattern}
        self._marks = {f"{kind}={value}" for kind, value in named.items() if value is not None}

    def may_be_in(self, block: Block) -> bool:
        """Whether a block may hold a line that is asked for."""
        if block.last_us < self.since_us or block.first_us > self.until_us:
            return False
        if block.severity < (self._wanted.severity or 0) or not may_hold(block.bloom, self._marks):
            return False
        return self._question is None or any(may_hold(block.bloom, words) for words in self._question.demands())

    def among(self, lines: Iterator[Line]) -> list[Line]:
        """Those that are asked for."""
        return [line for line in lines if self._fits(line)]

    def _fits(self, line: Line) -> bool:
        at_us = micros(line.at)
        if not self.since_us <= at_us <= self.until_us or line.severity < (self._wanted.severity or 0):
            return False
        if self._after is not None and (at_us, line.line_no) >= (self._after.at_us, self._after.line_no):
            return False
        if not self._marks.issubset(marks(line)):
            return False
        return self._question is None or self._question.fits(words_of_line(line))


class FileSearch:
    """Reads files. `shelves`: by tier."""

    def __init__(self, store: FileStore, shelves: Shelves, clock: Clock) -> None:
        self._store, self._shelves, self._clock = store, shelves, clock
        self._indexes: OrderedDict[str, tuple[list[Block], int]] = OrderedDict()

    async def page(self, wanted: Wanted, tiers: Sequence[str]) -> Found:
        """At most `wanted.limit` lines. Raises `DatabaseAway` and what the store of files raises."""
        asked = Asked(wanted)
        until = EPOCH + timedelta(microseconds=asked.until_us)
        files = await self._store.ready(tiers, wanted.since, until, wanted.severity or 0, _FILES + 1)
        found = await _Reading(self, asked, files[:_FILES], self._clock).run(wanted.limit)
        if len(files) > _FILES and found.rest is None and len(found.lines) < wanted.limit:
            return Found(found.lines, Place(_newest(files[_FILES]), _LAST))
        return found

    async def blocks(self, file: StoredFile) -> list[Block]:
        """The blocks of a file; indexes that were read lately are kept, 64 MB of them."""
        if file.name in self._indexes:
            self._indexes.move_to_end(file.name)
            return self._indexes[file.name][0]
        data = await self._shelves[file.tier].get(file.name + INDEX)
        blocks = (await asyncio.to_thread(decode_index, data)).blocks
        self._indexes[file.name] = (blocks, sum(len(block.bloom) + 200 for block in blocks))
        while len(self._indexes) > 1 and sum(size for _, size in self._indexes.values()) > _INDEX_BYTES:
            self._indexes.popitem(last=False)
        return blocks

    async def lines(self, file: StoredFile, block: Block, asked: Asked) -> list[Line]:
        """The lines of a block that are asked for."""
        frame = await self._shelves[file.tier].part(file.name, block.offset, block.size)
        return await asyncio.to_thread(lambda: asked.among(unpack(frame)))


class _Reading:
    """One page's way through files and their blocks, those with the newest lines first; their times may overlap."""

    def __init__(self, search: FileSearch, asked: Asked, files: list[StoredFile], clock: Clock) -> None:
        self._search, self._asked, self._clock = search, asked, clock
        # A file stands for its blocks until its index is read. The numbers only keep entries of one time apart.
        self._heap: list[tuple[int, int, int, StoredFile, Block | None]] = [
            (-_newest(file), number, 0, file, None) for number, file in enumerate(files)
        ]
        heapq.heapify(self._heap)
        self._lines: list[Line] = []
        self._bytes = 0

    async def run(self, limit: int) -> Found:
        """Read until there are enough lines, nothing is left, or it was enough effort."""
        done: list[Line] = []
        until_s = self._clock.monotonic() + _MOST_S
        while self._heap:
            frontier = -self._heap[0][0]
            self._emit(done, frontier)
            if len(done) >= limit:
                return Found(done[:limit])
            if self._bytes > _MOST_BYTES or self._clock.monotonic() > until_s:
                return Found(done, Place(frontier, _LAST))
            _, number, _, file, block = heapq.heappop(self._heap)
            try:
                await self._open(number, file) if block is None else await self._read(file, block)
            except (FileNotFoundError, Damaged) as error:
                _log.error("log files cannot be read", file=file.name, error=repr(error))
        self._emit(done, -(2**63))
        return Found(done[:limit])

    async def _open(self, number: int, file: StoredFile) -> None:
        for place, block in enumerate(await self._search.blocks(file)):
            if self._asked.may_be_in(block):
                heapq.heappush(self._heap, (-block.last_us, number, place + 1, file, block))

    async def _read(self, file: StoredFile, block: Block) -> None:
        self._lines += await self._search.lines(file, block, self._asked)
        self._bytes += block.size

    def _emit(self, done: list[Line], frontier: int) -> None:
        """Give out lines that are newer than everything that may still come."""
        ready = [line for line in self._lines if micros(line.at) > frontier]
        self._lines = [line for line in self._lines if micros(line.at) <= frontier]
        done += sorted(ready, key=lambda line: (line.at, line.line_no), reverse=True)


def _newest(file: StoredFile) -> int:
    assert file.last_at is not None
    return micros(file.last_at)
