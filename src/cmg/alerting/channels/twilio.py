"""SMS and calls over Twilio's REST API. It does not de-duplicate: a repeat has the same reference in its text."""

from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape, quoteattr

import aiohttp
import msgspec

from cmg.alerting.channels.sending.http_call import Call, called, member
from cmg.alerting.channels.sending.message import SHORT, Destination, Message, TryLater

_API = "https://api.twilio.com"
_SMS_MAX = 480
_UNANSWERED = {"busy", "no-answer", "failed", "canceled"}


async def send_sms(message: Message, to: Destination, session: aiohttp.ClientSession) -> str:
    """Settings `account_sid`, `from`; secret `auth_token`; the address is a number as +4915112345678.

    `replies` says that Twilio passes on what is written back (`answering/replies`); then the text tells how.
    """
    text = f"{message.subject}\n{_first_alert(message)}"[:_SMS_MAX]
    link = f"\n{message.links['acknowledge']}" if "acknowledge" in message.links else ""
    reference = message.reference[:SHORT]
    asked = f"\nReply: ack {reference}" if to.settings.get("replies") and not message.over else ""
    body = f"{text}{link}{asked}\nRef {reference}"
    fields = {"To": to.to("to"), "From": to.setting("from"), "Body": body}
    return await _create(session, to, "Messages", fields)


async def call(message: Message, to: Destination, session: aiohttp.ClientSession) -> str:
    """The same settings; the subject is spoken twice, and a key that is pressed comes back to us."""
    words = escape(message.subject.strip("[]").replace("]", ","))
    spoken = f'<Say>{words}</Say><Pause length="1"/><Say>{words}</Say>'
    if "call" in message.links:
        asked = "<Say>Press 1 to acknowledge, 2 to resolve.</Say>"
        url = quoteattr(message.links["call"])
        spoken = f'<Gather numDigits="1" timeout="10" method="POST" action={url}>{spoken}{asked}</Gather>'
    twiml = f"<Response>{spoken}</Response>"
    fields = {"To": to.to("to"), "From": to.setting("from"), "Twiml": twiml, "Timeout": "30"}
    return await _create(session, to, "Calls", fields)


async def unanswered(receipt: str, to: Destination, session: aiohttp.ClientSession) -> bool:
    """Whether nobody picked up a call that was made. Raises `TryLater`, `Refused`."""
    url = f"{_account(to)}/Calls/{quote(receipt, safe='')}.json"
    _, body = await called(session, Call("GET", url, basic=_basic(to)))
    return member(_decoded(body), "status") in _UNANSWERED


async def _create(session: aiohttp.ClientSession, to: Destination, what: str, fields: dict[str, str]) -> str:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    sent = Call("POST", f"{_account(to)}/{what}.json", urlencode(fields).encode(), headers, _basic(to))
    _, body = await called(session, sent)
    return str(member(_decoded(body), "sid"))


def _account(to: Destination) -> str:
    sid = quote(to.setting("account_sid"), safe="")
    return f"{to.setting('api_url', _API)}/2010-04-01/Accounts/{sid}"


def _basic(to: Destination) -> tuple[str, str]:
    return to.setting("account_sid"), to.secret("auth_token")


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise TryLater("the answer is not JSON") from error


def _first_alert(message: Message) -> str:
    return next((line for line in message.body.splitlines() if line.startswith("- ")), "")
