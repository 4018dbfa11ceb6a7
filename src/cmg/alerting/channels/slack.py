"""Slack: `chat.postMessage` with a bot's token, or an incoming webhook's URL."""

from typing import Any

import aiohttp
import msgspec

from cmg.alerting.channels.sending.http_call import Call, called, json_called, member
from cmg.alerting.channels.sending.message import Destination, Message, Refused, TryLater

_API = "https://slack.com/api"
_AGAIN = {"ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
_EMOJI = {"P1": ":rotating_light:", "P2": ":warning:", "P3": ":large_yellow_circle:", "P4": ":information_source:"}
_TEXT_MAX = 2900


async def send(message: Message, to: Destination, session: aiohttp.ClientSession) -> str:
    """Needs the secret `token` and a channel (address, or setting `channel`); or the secret `webhook_url`."""
    emoji = ":white_check_mark:" if message.over else _EMOJI[message.severity]
    content: dict[str, Any] = {
        "text": _escaped(message.subject),
        "blocks": [
            _section(f"{emoji} *{_escaped(message.subject)}*"),
            _section(_escaped(message.body)),
            {"type": "context", "elements": [{"type": "mrkdwn", "text": f"Reference {message.reference}"}]},
        ],
    }
    if message.links:
        content["blocks"].append(
            {"type": "actions", "elements": _buttons(message, pressed="signing_secret" in to.secrets)}
        )
    if "webhook_url" in to.secrets:
        body, headers = msgspec.json.encode(content), {"content-type": "application/json"}
        await called(session, Call("POST", to.secret("webhook_url"), body, headers))  # it answers `ok`, no JSON
        return message.reference
    headers = {"authorization": f"Bearer {to.secret('token')}"}
    call = Call("POST", f"{to.setting('api_url', _API)}/chat.postMessage", headers=headers)
    answer = await json_called(session, call, {"channel": to.to("channel"), **content})
    if member(answer, "ok") is not True:
        error = str(member(answer, "error"))
        raise TryLater(error) if error in _AGAIN else Refused(error)
    return str(member(answer, "ts"))


def _buttons(message: Message, *, pressed: bool) -> list[dict[str, object]]:
    """Buttons that Slack tells us of, where it signs that; else ones that open the page of the link."""
    made = []
    for action in ("acknowledge", "resolve", "useful", "noise"):
        if action not in message.links:
            continue
        url = message.links[action]
        does: dict[str, object] = {"value": url.rpartition("/")[2]} if pressed else {"url": url}
        text = {"type": "plain_text", "text": action.capitalize()}
        made.append({"type": "button", "action_id": f"cmg_{action}", "text": text, **does})
    return made


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:_TEXT_MAX]}}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
