"""The embedder as a process: killed, away, and back, with clients that go on by themselves."""

import asyncio
import time

import numpy as np
import pytest

from cmg.memory.embedding.embedder import EmbeddingFailed
from cmg.memory.embedding.socket_client import SocketEmbedder
from support.models import EmbedderProcess


async def test_a_killed_embedder_loses_what_it_had_and_answers_the_same_when_it_is_back(minilm):
    with EmbedderProcess() as embedder:
        client = SocketEmbedder(embedder.socket)
        await embedder.ready(client)
        before = await client.embed(["the same text"], 10)
        running = asyncio.create_task(client.embed(["many words that take a while " * 40] * 200, 30))
        await asyncio.sleep(0.3)
        embedder.kill()
        with pytest.raises(EmbeddingFailed) as caught:
            await running
        assert caught.value.lost
        embedder.start()
        await embedder.ready(client)
        assert np.array_equal(await client.embed(["the same text"], 10), before)
        assert np.array_equal(before[0], minilm.embed("the same text"))
        await client.close()


async def test_without_an_embedder_clients_are_told_at_once(socket_path):
    client = SocketEmbedder(socket_path)
    started = time.monotonic()
    for _ in range(100):
        with pytest.raises(EmbeddingFailed, match="cannot be reached"):
            await client.query("anybody?", 5)
    assert time.monotonic() - started < 5, "one that waits for its deadline takes as long as all of them may"


async def test_static_vectors_can_be_chosen():
    with EmbedderProcess("static") as embedder:
        client = SocketEmbedder(embedder.socket)
        await embedder.ready(client)
        assert (await client.describe(5)).name == "wordllama-256"
        await client.close()
