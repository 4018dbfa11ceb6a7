"""The embedder's server: questions before documents, bounds, and clients that misbehave."""

import asyncio
import stat
import struct

import msgspec
import numpy as np
import pytest

from cmg.memory.embedding import server as server_module
from cmg.memory.embedding.embedder import EmbeddingFailed
from cmg.memory.embedding.socket_client import SocketEmbedder
from cmg.memory.frames.connection import MAX_BYTES

LONG = "a longer text that keeps the model busy for a while because it has many words " * 20


async def test_documents_come_back_as_rows_in_their_order(serve, client, minilm):
    await serve()
    texts = ["first", "second", "third"]
    rows = await client.embed(texts, 10)
    assert rows.shape == (3, 384)
    for row, text in zip(rows, texts, strict=True):
        assert np.array_equal(row, minilm.embed(text))


async def test_a_question_comes_back_as_text_for_the_database(serve, client, minilm):
    await serve()
    model, text = await client.query("first", 10)
    assert (model.name, model.dimension) == ("minilm-l6-v2", 384)
    read = np.array(text.strip("[]").split(","), np.float32)
    assert float(read @ minilm.embed("first")) == pytest.approx(1, abs=1e-3)


async def test_no_texts_are_no_rows(serve, client):
    await serve("static")
    assert (await client.embed([], 10)).shape[0] == 0


async def test_questions_do_not_wait_for_documents(serve, client):
    await serve()
    loop = asyncio.get_running_loop()
    backlog = asyncio.create_task(client.embed([LONG] * 60, 30))
    await asyncio.sleep(0.05)
    started = loop.time()
    await client.query("who asks now?", 10)
    asked_s = loop.time() - started
    assert not backlog.done()
    started = loop.time()
    await backlog
    assert asked_s < (loop.time() - started) / 3


async def test_only_this_user_may_connect(serve, socket_path):
    await serve("static")
    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600


async def test_more_questions_than_the_bound_are_refused_and_counted(serve, client, instruments, monkeypatch):
    monkeypatch.setattr(server_module, "QUERIES", 4)
    await serve()
    await client.describe(10)  # so that it is connected, and sends all of them at once
    answers = await asyncio.gather(*(client.query(f"question {n}", 10) for n in range(40)), return_exceptions=True)
    refused = [one for one in answers if isinstance(one, EmbeddingFailed)]
    assert 0 < len(refused) < 40
    assert all("too much to do" in str(one) and not one.refused for one in refused)
    counted = instruments.registry.get_sample_value("cmg_memory_embedder_refused_total", {"kind": "query"})
    assert counted == len(refused)


async def test_more_texts_than_the_bound_are_refused(serve, client, monkeypatch):
    monkeypatch.setattr(server_module, "TEXTS", 10)
    await serve("static")
    with pytest.raises(EmbeddingFailed, match="too much to do"):
        await client.embed(["x"] * 11, 10)
    assert (await client.embed(["x"] * 10, 10)).shape == (10, 256)


async def test_what_nobody_waits_for_any_more_is_not_run(serve, client, instruments):
    await serve()
    with pytest.raises(EmbeddingFailed, match="did not answer within"):
        await client.embed([LONG] * 200, 0.2)
    await client.embed(["now"], 10)
    run = instruments.registry.get_sample_value(
        "cmg_memory_embedder_texts_total", {"kind": "documents", "outcome": "done"}
    )
    assert run < 100


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack("!I", 50) + b"cut",
        struct.pack("!I", MAX_BYTES + 1),
        struct.pack("!I", 3) + b"\xc1\xc1\xc1",
        struct.pack("!I", 3) + msgspec.msgpack.encode([1, "x"])[:3],
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["cut frame", "too long", "no msgpack", "wrong shape", "http"],
)
async def test_a_client_that_sends_nonsense_harms_only_itself(serve, client, socket_path, sent):
    await serve("static")
    reader, writer = await asyncio.open_unix_connection(str(socket_path))
    writer.write(sent)
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert (await client.embed(["still there"], 5)).shape == (1, 256)


async def test_many_clients_are_answered_at_once(serve, socket_path):
    await serve("static")
    clients = [SocketEmbedder(socket_path) for _ in range(20)]
    answers = await asyncio.gather(*(one.query(f"q{n}", 10) for n, one in enumerate(clients) for _ in range(5)))
    assert len(answers) == 100
    for one in clients:
        await one.close()


async def test_an_earlier_model_of_the_machine_can_still_be_asked(serve, socket_path):
    await serve()
    earlier = SocketEmbedder(socket_path, "wordllama-256")
    model, text = await earlier.query("hello", 10)
    assert (model.name, model.dimension, text.count(",")) == ("wordllama-256", 256, 255)
    await earlier.close()
