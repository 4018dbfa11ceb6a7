"""A chat with an assistant of some 170 turns: what is asked is found among what was said in passing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cmg.memory.models import Message, Owner, Thread
from cmg.memory.ranking.finder import Finder, Wanted
from cmg.memory.store import MemoryStore
from cmg.memory.writing import TurnWriter
from rooms.memory.ranking.test_finder import finder_of
from rooms.memory.vectors.conftest import EMBEDDED, Desk
from support.long_chats import Chat, read
from support.policies import policies

OWNER = Owner("default", "dana")
BARS = {"fact": 0.75, "update": 0.9, "instruction": 0.9, "order": 0.7, "assistant": 0.6}  # of evidence, among 50


@pytest.fixture
async def asked(desk: Desk) -> tuple[Finder, list[dict[str, Any]]]:
    chat = Chat(read("travel"), 1).dataset()
    writer, messages = TurnWriter(MemoryStore(), desk.clock, policies(EMBEDDED)), []
    for session in chat["sessions"]:
        at = datetime.strptime(session["date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
        for place, turn in enumerate(session["turns"]):
            message = Message(
                thread=Thread(OWNER, session["id"]),
                message_id=turn["id"],
                role=turn["speaker"],
                name=turn["speaker"],
                content=turn["text"],
                created_at=at + timedelta(seconds=place),
            )
            messages.append(message)
    async with desk.database.transaction() as conn:
        await writer.write(conn, messages)
    await desk.work()
    finder, _ = await finder_of(desk)
    return finder, chat["questions"]


async def test_every_kind_of_question_finds_its_evidence(asked: tuple[Finder, list[dict[str, Any]]]):
    finder, questions = asked
    shares: dict[str, list[float]] = {}
    for one in questions:
        hits = await finder.find(Wanted(owner=OWNER, query=one["question"], limit=50), 20)
        found = {hit.message_id for hit in hits}
        shares.setdefault(one["category"], []).append(len(found & set(one["evidence"])) / len(one["evidence"]))
    means = {kind: sum(of_kind) / len(of_kind) for kind, of_kind in shares.items()}
    assert not {kind: means[kind] for kind, bar in BARS.items() if means[kind] < bar}


async def test_what_the_person_wants_in_general_is_given_out_though_it_shares_no_word(
    asked: tuple[Finder, list[dict[str, Any]]],
):
    finder, _ = asked
    question = "Where could we go on Sunday?"
    hits = await finder.find(Wanted(owner=OWNER, query=question, limit=50, token_budget=400), 20)
    assert any(hit.content.startswith("Please stop proposing museums") for hit in hits)
