"""What is taken out of texts before they are stored, and what stays."""

import pytest

from cmg.config import MemorySettings
from cmg.identity.models import MemoryPolicy
from cmg.memory.api.reading import messages_of
from cmg.memory.api.schemas import IngestMessage, IngestRequest
from cmg.memory.items.feedback import Feedback
from cmg.memory.items.models import NewItem
from cmg.memory.items.writing import ItemWriter
from cmg.memory.models import Owner, Thread
from cmg.memory.store import MemoryStore
from cmg.memory.text.redaction import Redactor
from cmg.memory.turn_sink import TurnSink
from cmg.memory.writing import TurnWriter
from rooms.memory.conftest import Memory, said, scope
from support.policies import policies

ALL = ["secrets", "email", "phone", "card", "iban"]
KEY = "sk-proj-" + "aB3" * 12
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\nAAAA\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"use {KEY} please", "use [redacted:secret] please"),
        ("ghp_" + "a1B2" * 9, "[redacted:secret]"),
        ("AKIA" + "ABCD1234" * 2, "[redacted:secret]"),
        ("Authorization: Bearer " + "x1y2" * 8, "Authorization: Bearer [redacted:secret]"),
        ("postgres://me:hunter22@db/x", "postgres://[redacted:secret]@db/x"),
        ("my password is hunter22!", "my password is [redacted:secret]"),
        ('{"api_key": "q8f7-zz"}', '{"api_key": "[redacted:secret]"}'),
        (f"key:\n{PEM}\nend", "key:\n[redacted:secret]\nend"),
        ("write to ana.lopez+x@mail.example.org.", "write to [redacted:email]."),
        ("call +49 170 1234567 or (030) 123-4567", "call [redacted:phone] or [redacted:phone]"),
        ("card 4111 1111 1111 1111, ok", "card [redacted:card], ok"),
        ("IBAN DE89 3704 0044 0532 0130 00 it is", "IBAN [redacted:iban] it is"),
    ],
)
def test_secrets_and_personal_numbers_are_taken_out(text: str, expected: str) -> None:
    redactor = Redactor(ALL)
    assert redactor.text(text) == expected
    assert redactor.text(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "It was on 2026-11-24 or 24.11.2026 at 12:30:45.",
        "The order number is 4111111111111112 and 1234567.",
        "DE89 3704 0044 0532 0130 01 is no account.",
        "My password is long and the token is valid.",
        "version 1.22.333.4444 and 192.168.100.200",
        "a@b and 3 @ 5, 100 000 items, pages 10-20",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    ],
)
def test_other_words_and_numbers_stay(text: str) -> None:
    assert Redactor(ALL).text(text) == text


def test_only_the_chosen_kinds_are_taken_out() -> None:
    text = f"{KEY} ana@example.org"
    assert Redactor([]).text(text) == text
    assert Redactor(["email"]).text(text) == f"{KEY} [redacted:email]"


def test_json_stays_json() -> None:
    document = '{"mail":["ana@example.org"],"n":1,"deep":{"pw":"password: hunter22"}}'
    expected = '{"mail":["[redacted:email]"],"n":1,"deep":{"pw":"password: [redacted:secret]"}}'
    assert Redactor(ALL).json(document) == expected
    assert Redactor(ALL).json(None) is None


@pytest.mark.parametrize(
    "base", ["1 ", "a.", "a@", "4", "(1) ", "password ", "DE12 ", "-----BEGIN PRIVATE KEY-----", "://a:"]
)
def test_no_text_takes_long(base: str) -> None:
    import time

    started = time.process_time()
    Redactor(ALL).text((base * 100_000)[:100_000])
    assert time.process_time() - started < 2


async def test_turns_and_items_are_redacted_before_they_are_stored(memory: Memory) -> None:
    settings = MemorySettings(redact=["email", "secrets"])
    memory.sink = TurnSink(memory.clock, policies(settings))
    await memory.keep(scope(), said(f"I am ana@example.org with {KEY}", "Mail ben@example.org."))
    item = NewItem(
        thread=Thread(Owner("default", "ana"), "t"),
        kind="memory",
        content="Ana is ana@example.org",
        origin="caller",
        metadata='{"mail": "ana@example.org"}',
    )
    async with memory.database.transaction() as conn:
        await ItemWriter(memory.clock, policies(settings)).put(conn, [item])
    assert await memory.contents() == [
        "I am [redacted:email] with [redacted:secret]",
        "Mail [redacted:email].",
        "Ana is [redacted:email]",
    ]
    everything = str([dict(row) for row in await memory.database.fetch("SELECT * FROM memory_turns")])
    assert "example.org" not in everything
    assert "sk-proj" not in everything


async def test_the_name_of_who_speaks_is_redacted_whichever_way_it_comes(memory: Memory) -> None:
    """And the same in all ways: a history that was ingested and is sent with a call is known."""
    settings = MemorySettings(redact=["email"])
    memory.sink = TurnSink(memory.clock, policies(settings))
    message = IngestMessage(role="user", content="Hello, old boat", name="ana@example.org")
    asked = IngestRequest(user_id="ana", thread_id="monday", messages=[message])
    messages = messages_of(asked, ("default", None), memory.clock.now(), Redactor(["email"]))
    async with memory.database.transaction() as conn:
        assert await TurnWriter(MemoryStore(), memory.clock, policies(settings)).write(conn, messages) == 1
    await memory.keep(scope(), said("Hello, old boat", name="ana@example.org"))
    rows = await memory.database.fetch("SELECT name, content FROM memory_turns")
    assert [tuple(row) for row in rows] == [("[redacted:email]", "Hello, old boat")]


async def test_a_comment_on_an_item_is_redacted_too(memory: Memory) -> None:
    await memory.keep(scope(), said("The code is 1234."))
    item_id = await memory.database.fetchval("SELECT id FROM memory_turns")
    feedback = Feedback(memory.clock, policies(MemorySettings(redact=["email"])))
    async with memory.database.transaction() as conn:
        await feedback.judge(conn, Owner("default", "ana"), item_id, ("outdated", None, "Ask ana@example.org."))
    assert await memory.database.fetchval("SELECT comment FROM memory_feedback") == "Ask [redacted:email]."


async def test_a_workspace_redacts_what_it_says_and_no_other_does(memory: Memory) -> None:
    own = {"strict": MemoryPolicy(redact=("email",)), "open": MemoryPolicy(redact=())}
    memory.sink = TurnSink(memory.clock, policies(MemorySettings(redact=["secrets"]), **own))
    for workspace in ("default", "strict", "open"):
        await memory.keep(scope(workspace=workspace), said(f"ana@example.org has {KEY}"))
    assert await memory.contents() == ["ana@example.org has [redacted:secret]"]
    assert await memory.contents(workspace="strict") == [f"[redacted:email] has {KEY}"]
    assert await memory.contents(workspace="open") == [f"ana@example.org has {KEY}"]
