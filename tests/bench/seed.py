"""Fill the memory for the bench: many users with many turns of Zipf-distributed words, through `/v1/ingest`."""

import asyncio
import random
import time
from pathlib import Path

import asyncpg

from support.api import Api
from support.service import Service

BATCH = 500
_SYLLABLES = [first + vowel for first in "bdfgklmnprstvz" for vowel in "aeiou"]


def vocabulary(size: int = 4000, seed: int = 7) -> list[str]:
    """Made-up words of two to four syllables, each once."""
    source = random.Random(seed)
    words: dict[str, None] = {}
    while len(words) < size:
        words["".join(source.choice(_SYLLABLES) for _ in range(source.randint(2, 4)))] = None
    return list(words)


def write_words(path: Path, words: list[str]) -> Path:
    """One word a line, for the wrk script; leaves out the commonest hundred, which say nothing in a question."""
    path.write_text("\n".join(words[100:]) + "\n")
    return path


def turns_of(user: int, count: int, words: list[str]) -> list[dict[str, str]]:
    """The turns of one user, alternating roles, 12 to 20 words each."""
    source = random.Random(user)
    weights = [1 / (rank + 3) for rank in range(len(words))]
    drawn = source.choices(words, weights, k=count * 20)
    turns = []
    for number in range(count):
        text = " ".join(drawn[number * 20 : number * 20 + source.randint(12, 20)])
        turns.append({"id": f"{number}", "role": ("user", "assistant")[number % 2], "content": text})
    return turns


async def seed(service: Service, key: str, users: int, turns: int) -> float:
    """Write everything and wait until the last operation of every user is done; returns the seconds it took."""
    words, started = vocabulary(), time.monotonic()
    async with Api(service.url, key) as api:
        queue = iter(range(users))
        await asyncio.gather(*(_writer(api, queue, turns, words) for _ in range(4)))
    return time.monotonic() - started


async def _writer(api: Api, queue, turns: int, words: list[str]) -> None:
    for user in queue:
        said = turns_of(user, turns, words)
        for place in range(0, turns, BATCH):
            body = {"user_id": f"bench-user-{user}", "thread_id": "seed", "messages": said[place : place + BATCH]}
            last = place + BATCH >= turns and user % 20 == 0  # waiting for some keeps the journal short
            answer = await api.post("/v1/ingest", {**body, "wait": last})
            if answer.status not in {200, 202}:
                raise RuntimeError(f"ingest answered {answer.status}: {answer.body[:300]!r}")


async def read(dsn: str, turns: int) -> bool:
    """Whether all turns are stored; if so, none waits to be read for facts any more."""
    connection = await asyncpg.connect(dsn)
    try:
        if await connection.fetchval("SELECT coalesce(sum(turns), 0) FROM memory_users") < turns:
            return False
        async with connection.transaction():
            await connection.execute("DELETE FROM memory_extractions")
            await connection.execute(
                "UPDATE memory_threads h SET extracted_seq ="
                " (SELECT coalesce(max(seq), 0) FROM memory_turns t WHERE t.thread_no = h.thread_no)"
            )
    except asyncpg.DeadlockDetectedError:  # with the worker that reads the threads
        return False
    else:
        return True
    finally:
        await connection.close()
