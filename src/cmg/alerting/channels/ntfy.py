"""ntfy: push to phones, through ntfy.sh or a server of one's own."""

import aiohttp

from cmg.alerting.channels.sending.http_call import Call, json_called, member
from cmg.alerting.channels.sending.message import Destination, Message

_PRIORITY = {"P1": 5, "P2": 4, "P3": 3, "P4": 2}


async def send(message: Message, to: Destination, session: aiohttp.ClientSession) -> str:
    """Setting `url` (default https://ntfy.sh); the topic is the address or the setting `topic`; secret `token`."""
    headers = {"authorization": f"Bearer {to.secret('token')}"} if "token" in to.secrets else {}
    sent = {
        "topic": to.to("topic"),
        "title": message.subject,
        "message": f"{message.body}\nReference {message.reference}",
        "priority": 2 if message.over else _PRIORITY[message.severity],
        "tags": ["white_check_mark" if message.over else "rotating_light"],
    }
    answer = await json_called(session, Call("POST", to.setting("url", "https://ntfy.sh"), headers=headers), sent)
    return str(member(answer, "id"))
