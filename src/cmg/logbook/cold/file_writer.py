"""Writes lines, in their order, into a file of blocks with its index; a bounded number of lines is in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from cmg.logbook.cold.blocks import BLOCK_BYTES, Block, encode_index, pack
from cmg.logbook.cold.shelf import Shelf
from cmg.logbook.models import Line

FILE_BLOCKS = 256
_LINE_BYTES = 250  # what a line has beside its message and fields, roughly
INDEX = ".idx"


@dataclass
class Written:
    """A file that is complete, and what is known of it."""

    blocks: list[Block] = field(default_factory=list)
    first: Line | None = None
    last: Line | None = None

    @property
    def size(self) -> int:
        """Bytes of its blocks."""
        return sum(block.size for block in self.blocks)

    @property
    def lines(self) -> int:
        """How many lines it holds."""
        return sum(block.lines for block in self.blocks)

    @property
    def severity(self) -> int:
        """The highest of its lines'."""
        return max((block.severity for block in self.blocks), default=0)


async def write_file(shelf: Shelf, name: str, batches: AsyncIterator[Sequence[Line]]) -> Written:
    """Write a file and its index of as many batches as fit into it; the first batch must have lines.

    Its last batch may go beyond the bound: a file ends with a whole batch.
    """
    written, waiting, weight = Written(), list[Line](), 0
    async with shelf.writing(name) as file:

        async def flush() -> None:
            nonlocal waiting, weight
            frame, block = await _packed(waiting, written.size)
            await file.write(frame)
            written.blocks.append(block)
            written.first, written.last = written.first or waiting[0], waiting[-1]
            waiting, weight = [], 0

        async for batch in batches:
            for line in batch:
                waiting.append(line)
                weight += _weight(line)
                if weight >= BLOCK_BYTES:
                    await flush()
            if len(written.blocks) >= FILE_BLOCKS:
                break
        if waiting:
            await flush()
    await shelf.put(name + INDEX, encode_index(written.blocks))
    return written


async def _packed(lines: Sequence[Line], offset: int) -> tuple[bytes, Block]:
    return await asyncio.to_thread(pack, lines, offset)


def _weight(line: Line) -> int:
    return _LINE_BYTES + len(line.message) + sum(len(str(value)) for value in line.fields.values())
