"""Mail over a real SMTP server: threads, repeats, refusals for now and for ever."""

from collections.abc import Iterator
from email import message_from_bytes
from typing import Any

import aiohttp
import pytest
from aiosmtpd.controller import Controller

from cmg.alerting.channels import email
from cmg.alerting.channels.sending.message import Destination, Message, Refused, TryLater
from support.service import free_port

PAGE = Message("ref123", "group456", "page", "P2", "[P2] Slow\nanswers", "They are slow.\n- x", 1_790_000_000.0)


class Mailbox:
    """What arrived; `answer` is what the server says to the text."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.answer = "250 OK"

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802  the library's name
        if address.startswith("nobody"):
            return "550 no such user"
        if address.startswith("later"):
            return "451 greylisted"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802  the library's name
        if self.answer.startswith("250"):
            self.mails.append(message_from_bytes(envelope.content))
        return self.answer


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    box.port = free_port()
    controller = Controller(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    yield box
    controller.stop()


async def deliver(mailbox: Mailbox, to: str = "ada@example.org", message: Message = PAGE) -> str:
    settings = {"host": "127.0.0.1", "port": str(mailbox.port), "from": "cmg@example.org", "security": "none"}
    async with aiohttp.ClientSession() as session:
        return await email.send(message, Destination(to, settings, {}), session)


async def test_a_repeat_has_the_same_id_and_a_group_is_one_thread(mailbox):
    for _ in range(2):
        assert await deliver(mailbox) == "<ref123@example.org>"
    one, other = mailbox.mails
    assert one["Message-ID"] == other["Message-ID"]
    assert one["References"] == "<group456@example.org>"
    assert (one["Subject"], one["Importance"], one["To"]) == ("[P2] Slow answers", "high", "ada@example.org")
    assert "Reference ref123" in one.get_payload()


@pytest.mark.parametrize(
    ("to", "kind"), [("nobody@example.org", Refused), ("later@example.org", TryLater), ("odd", Refused)]
)
async def test_a_refused_recipient_is_for_good_and_a_greylisted_one_for_now(mailbox, to, kind):
    with pytest.raises(kind):
        await deliver(mailbox, to)


@pytest.mark.parametrize(("answer", "kind"), [("452 full", TryLater), ("554 spam", Refused)])
async def test_what_the_server_says_to_the_text_decides(mailbox, answer, kind):
    mailbox.answer = answer
    with pytest.raises(kind):
        await deliver(mailbox)


async def test_a_server_that_is_away_is_for_now():
    box = Mailbox()
    box.port = 9
    with pytest.raises(TryLater):
        await deliver(box)
