"""Takes a person out of their workspace's lines in every tier: their pseudonym, and their id where a text names it.

Lines stay, without the person; so a legal hold and an erasure do not contradict each other.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
import orjson

from cmg.kit.ids import uuid7
from cmg.logbook.cold.blocks import Block, Damaged, encode_index, pack, unpack
from cmg.logbook.cold.bloom import may_hold
from cmg.logbook.cold.file_store import FileStore, StoredFile
from cmg.logbook.cold.file_writer import INDEX
from cmg.logbook.cold.reading import FileSearch
from cmg.logbook.cold.shelf import Shelves
from cmg.logbook.cold.words import words_of
from cmg.logbook.hot.line_store import LineStore
from cmg.logbook.models import Line, record_of, replaced
from cmg.telemetry.lines.encoding import pseudonym as pseudonym_of
from cmg.telemetry.logs import get_logger

_LEAST_LETTERS = 4  # a shorter id is a word that lines hold by chance
_FILES = 200
_ALL_TIERS = ("cold", "archive")
_FROM, _TO = datetime(1971, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_log = get_logger("cmg.logbook.erasing")


class LogPeople:
    """A place of the memory's erasure. Raises `DatabaseAway` and what the store of files raises."""

    name = "log_lines"

    def __init__(self, lines: LineStore, files: FileStore, reading: FileSearch, shelves: Shelves) -> None:
        self._lines, self._files, self._reading, self._shelves = lines, files, reading, shelves

    async def users(self, workspace_id: str) -> Sequence[str]:  # noqa: ARG002  the port's signature
        """Nobody by their id: lines know pseudonyms only."""
        return ()

    async def erase(self, workspace_id: str, user_id: str, pseudonym: str) -> int:
        """Put the new pseudonym where the user was; returns in how many lines."""
        gone = Gone(workspace_id, user_id, pseudonym)
        count = await self._lines.replace_user(workspace_id, (gone.mark, gone.named, pseudonym))
        until = _TO
        seen: set[str] = set()
        while True:
            files = await self._files.ready(_ALL_TIERS, _FROM, until, 0, _FILES)
            fresh = [file for file in files if str(file.file_id) not in seen]
            for file in fresh:
                seen.add(str(file.file_id))
                count += await self._erase_in(file, gone)
            if len(files) < _FILES or not fresh:
                return count
            assert files[-1].last_at is not None
            until = files[-1].last_at

    async def _erase_in(self, file: StoredFile, gone: "Gone") -> int:
        """Write a file anew without the user, if it may hold them; the old one is deleted at once."""
        try:
            blocks = await self._reading.blocks(file)
        except (FileNotFoundError, Damaged) as error:
            _log.error("log files cannot be read; nobody is erased in it", file=file.name, error=repr(error))
            return 0
        if not any(gone.may_be_in(block) for block in blocks):
            return 0
        shelf, name = self._shelves[file.tier], f"{file.name.rpartition('/')[0]}/{uuid7().hex}.ndjson.zst"
        count, written, offset = 0, list[Block](), 0
        async with shelf.writing(name) as target:
            for block in blocks:
                frame = await shelf.part(file.name, block.offset, block.size)
                fresh = block
                if gone.may_be_in(block):
                    lines, changed = gone.taken_out(unpack(frame))
                    if changed:
                        count += changed
                        frame, fresh = pack(lines, offset)
                await target.write(frame)
                written.append(Block(offset, len(frame), *_known(fresh)))
                offset += len(frame)
        await shelf.put(name + INDEX, encode_index(written))
        taken = count > 0 and await self._files.replace(file, name, offset)
        left = file.name if taken else name
        await shelf.delete(left)
        await shelf.delete(left + INDEX)
        return count if taken else 0


class Gone:
    """A user who is taken out of lines."""

    def __init__(self, workspace_id: str, user_id: str, pseudonym: str) -> None:
        self.mark = pseudonym_of(user_id)
        self.named = user_id if len(user_id) >= _LEAST_LETTERS else None
        self._workspace_id, self._pseudonym = workspace_id, pseudonym
        self._words = set(words_of(user_id))

    def may_be_in(self, block: Block) -> bool:
        """Whether a block may hold a line of theirs."""
        if not may_hold(block.bloom, {f"w={self._workspace_id}"}):
            return False
        marked = may_hold(block.bloom, {f"u={self.mark}"})
        return marked or (self.named is not None and may_hold(block.bloom, self._words))

    def taken_out(self, lines: Iterable[Line]) -> tuple[list[Line], int]:
        """The lines without the user, and how many were changed."""
        found, changed = list[Line](), 0
        for line in lines:
            fresh = self._without(line)
            changed += fresh is not line
            found.append(fresh)
        return found, changed

    def _without(self, line: Line) -> Line:
        if line.workspace_id != self._workspace_id:
            return line
        marked = line.user_hash == self.mark
        named = self.named is not None and self.named in orjson.dumps(record_of(line), default=str).decode()
        if not marked and not named:
            return line
        fresh = line if self.named is None else replaced(line, self.named, self._pseudonym)
        return msgspec.structs.replace(fresh, user_hash=self._pseudonym) if marked else fresh


def _known(block: Block) -> tuple[int, int, int, int, bytes]:
    return block.lines, block.first_us, block.last_us, block.severity, block.bloom
