"""PagerDuty Events API v2: trigger, acknowledge, resolve, de-duplicated there by the group."""

import aiohttp

from cmg.alerting.channels.sending.http_call import Call, json_called, member
from cmg.alerting.channels.sending.message import Destination, Message, Refused

_API = "https://events.pagerduty.com"
_SEVERITY = {"P1": "critical", "P2": "error", "P3": "warning", "P4": "info"}
_ACTIONS = {"resolved": "resolve", "acknowledged": "acknowledge"}


async def send(message: Message, to: Destination, session: aiohttp.ClientSession) -> str:
    """The secret `routing_key` is that of an integration of the type Events API v2."""
    action = _ACTIONS.get(message.occasion, "trigger")
    event = {
        "routing_key": to.secret("routing_key"),
        "event_action": action,
        "dedup_key": f"cmg-{message.group}"[:255],
    }
    if action == "trigger":
        event["payload"] = {  # type: ignore[assignment]
            "summary": message.subject[:1024],
            "source": message.facts.get("service") or "context-memory-gateway",
            "severity": _SEVERITY[message.severity],
            "component": message.facts.get("component", ""),
            "class": message.facts.get("alertname", ""),
            "custom_details": {"text": message.body, "reference": message.reference},
        }
    answer = await json_called(session, Call("POST", f"{to.setting('api_url', _API)}/v2/enqueue"), event)
    if member(answer, "status") != "success":
        raise Refused(str(member(answer, "message")))
    return str(member(answer, "dedup_key"))
