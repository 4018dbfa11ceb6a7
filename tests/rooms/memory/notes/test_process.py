"""Notes that another process makes: asked over its socket, bounded, and never in the way of a call."""

import asyncio
import stat
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from cmg.kit.turns import Recollection
from cmg.memory.frames.client import AskFailed
from cmg.memory.models import Hit
from cmg.memory.notes import server as server_module
from cmg.memory.notes.client import NoteClient
from cmg.memory.notes.maker import NoteMaker
from cmg.memory.notes.messages import LeftOut, Wish, digests
from cmg.memory.notes.server import NoteServer
from cmg.memory.ranking.finder import Wanted
from cmg.memory.recent import RecentWriters
from cmg.memory.service import MemoryService
from cmg.storage.errors import DatabaseAway
from rooms.memory.conftest import PATIENT, Memory, said, scope
from support.policies import policies

DOG, ASK = "My dog is called Rex.", "What is my dog called?"


class Maker:
    """Makes the same note for everybody, once it is let go; or raises what it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.wishes: list[Wish] = []
        self.error: Exception | None = None

    async def make(self, wish: Wish, timeout_s: float) -> Recollection:
        self.wishes.append(wish)
        async with asyncio.timeout(timeout_s):
            await self.go.wait()
        if self.error is not None:
            raise self.error
        return Recollection(f"{wish.user_id}: {wish.query}", 1, 7, "ok", (b"i" * 16,))


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s") / "notes.sock"


@pytest.fixture
async def maker() -> Maker:
    return Maker()


@pytest.fixture
async def server(path: Path, maker: Maker, instruments) -> AsyncIterator[NoteServer]:
    made = NoteServer(path, maker, instruments)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def client(path: Path) -> AsyncIterator[NoteClient]:
    made = NoteClient(path)
    yield made
    await made.close()


def wish(query: str = "q", user: str = "ana") -> Wish:
    return Wish(0, 0.0, "default", user, query, None, 800, None, digests(["said already"]))


@pytest.mark.usefixtures("server")
async def test_many_at_once_each_get_their_own(client: NoteClient, maker: Maker):
    found = await asyncio.gather(*(client.make(wish(f"q{n}", f"u{n}"), 10) for n in range(100)))
    assert [one.text for one in found] == [f"u{n}: q{n}" for n in range(100)]
    assert maker.wishes[0].present == digests(["said already"])


@pytest.mark.usefixtures("server")
async def test_what_a_call_leaves_out_goes_there_and_the_items_ids_come_back(client: NoteClient, maker: Maker):
    left_out = LeftOut(7, "t", implicit=False, turns=tuple(said("We decided to wait.", "Good.")))
    found = await client.make(msgspec.structs.replace(wish(), left_out=left_out), 10)
    assert maker.wishes[0].left_out == left_out
    assert found.ids == (b"i" * 16,)


@pytest.mark.usefixtures("server")
async def test_only_this_user_may_connect(path: Path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600  # noqa: ASYNC240  # one look


@pytest.mark.usefixtures("server")
async def test_beyond_the_bound_is_refused_and_counted(client: NoteClient, maker: Maker, instruments, monkeypatch):
    monkeypatch.setattr(server_module, "WAITING", 3)
    maker.go.clear()
    asked = [asyncio.create_task(client.make(wish(), 20)) for _ in range(5)]
    refused = [task async for task in _done(asked, 2)]
    assert all("too many" in str(task.exception()) for task in refused)
    maker.go.set()
    assert sum(not isinstance(one, Exception) for one in await asyncio.gather(*asked, return_exceptions=True)) == 3
    assert instruments.registry.get_sample_value("cmg_memory_notes_refused_total") == 2


async def _done(tasks: list[asyncio.Task[Recollection]], count: int) -> AsyncIterator[asyncio.Task[Recollection]]:
    """The first so many that end."""
    waiting = set(tasks)
    while count:
        ended, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        for task in ended:
            count -= 1
            yield task


@pytest.mark.usefixtures("server")
async def test_what_nobody_waits_for_any_more_ends(client: NoteClient, maker: Maker, server: NoteServer):
    maker.go.clear()
    with pytest.raises(AskFailed, match=r"within 0\.05 s"):
        await client.make(wish(), 0.05)
    async with asyncio.timeout(20):
        while server._tasks:  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0.01)


class Hanging:
    """A finder that finds nothing, and never says so."""

    async def find(self, _wanted: Wanted, _timeout_s: float, _coming: None) -> list[Hit]:
        await asyncio.Event().wait()
        return []


async def test_whoever_makes_a_note_keeps_the_deadline(tmp_path: Path):
    maker = NoteMaker(Hanging(), RecentWriters(tmp_path / uuid4().hex), None, None)
    async with asyncio.timeout(20):
        with pytest.raises(TimeoutError):
            await maker.make(wish(), 0.05)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("error", [DatabaseAway("the database is away"), ValueError("secret words of a user")])
async def test_a_note_that_fails_is_an_answer_without_anybodys_words(
    client: NoteClient, maker: Maker, error: Exception
):
    maker.error = error
    with pytest.raises(AskFailed) as failed:
        await client.make(wish(), 10)
    assert "secret" not in str(failed.value)
    maker.error = None
    assert (await client.make(wish(), 10)).text == "ana: q"


@pytest.mark.usefixtures("server")
async def test_a_frame_that_is_no_wish_ends_its_connection_alone(client: NoteClient, path: Path):
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(struct.pack("!I", 3) + b"abc")
    assert await reader.read() == b""
    writer.close()
    assert (await client.make(wish(), 10)).items == 1


async def _reached(client: NoteClient) -> None:
    """Wait until the client tries again: after a failure it pauses."""
    async with asyncio.timeout(20):
        while await asyncio.gather(client.ready(), return_exceptions=True) != [None]:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.05)


async def test_a_process_that_is_replaced_is_found_again(client: NoteClient, path: Path, maker: Maker, instruments):
    with pytest.raises(AskFailed, match="cannot be reached"):
        await client.ready()
    first = NoteServer(path, maker, instruments)
    await first.open()
    await _reached(client)
    maker.go.clear()
    lost = asyncio.create_task(client.make(wish(), 10))
    await asyncio.sleep(0.05)
    await first.close()
    with pytest.raises(AskFailed):
        await lost
    maker.go.set()
    second = NoteServer(path, maker, instruments)
    await second.open()
    assert (await client.make(wish(), 10)).items == 1
    await second.close()


async def test_a_call_gets_its_note_over_the_socket_or_none(
    memory: Memory, path: Path, client: NoteClient, instruments
):
    await memory.keep(scope(), said(DOG))
    service = MemoryService(
        memory.service._finder, client, memory.journal, policies(PATIENT), memory.clock, instruments
    )
    assert (await service.recall(scope(), ASK)).status == "degraded"
    server = NoteServer(path, memory.service._notes, instruments)
    await server.open()
    await _reached(client)
    found = await service.recall(scope(thread="x"), ASK)
    assert found.items == 1
    assert found.text is not None
    assert DOG in found.text
    assert (await service.recall(scope(thread="x"), ASK, present=[DOG])).items == 0
    await server.close()
