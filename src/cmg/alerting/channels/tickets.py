"""Tickets: a Jira issue or a ServiceNow incident for each group; what follows becomes a comment or a note on it."""

from typing import Any
from urllib.parse import quote, urlencode

import aiohttp

from cmg.alerting.channels.sending.http_call import Call, json_called, member
from cmg.alerting.channels.sending.message import Destination, Message

_URGENCY = {"P1": "1", "P2": "2", "P3": "3", "P4": "3"}
_RESOLVED = "6"  # the state of ServiceNow's incident table


async def jira(message: Message, to: Destination, session: aiohttp.ClientSession) -> str:
    """Jira Cloud, REST v3. Settings `url`, `email`, `project`, `issue_type` (Bug); secret `api_token`.

    The issue is found again by its label, so a message that is sent twice makes one issue.
    """
    base, basic = f"{to.setting('url')}/rest/api/3", (to.setting("email"), to.secret("api_token"))
    label = f"cmg-{message.group}"
    query = urlencode({"jql": f'labels = "{label}"', "fields": "summary", "maxResults": "1"})
    found = await json_called(session, Call("GET", f"{base}/search/jql?{query}", basic=basic), None)
    issues = member(found, "issues") or []
    text = _document(f"{message.subject}\n{message.body}\nReference {message.reference}")
    if issues:
        key = str(member(issues[0], "key"))
        call = Call("POST", f"{base}/issue/{quote(key, safe='')}/comment", basic=basic)
        await json_called(session, call, {"body": text})
        return key
    fields = {
        "project": {"key": to.to("project")},
        "issuetype": {"name": to.setting("issue_type", "Bug")},
        "summary": message.subject[:250],
        "description": text,
        "labels": [label, f"severity-{message.severity}"],
    }
    made = await json_called(session, Call("POST", f"{base}/issue", basic=basic), {"fields": fields})
    return str(member(made, "key"))


async def servicenow(message: Message, to: Destination, session: aiohttp.ClientSession) -> str:
    """ServiceNow's Table API. Settings `url`, `username`, `assignment_group`; secret `password`."""
    base = f"{to.setting('url')}/api/now/table/incident"
    basic = (to.setting("username"), to.secret("password"))
    query = urlencode({"sysparm_query": f"correlation_id=cmg-{message.group}", "sysparm_limit": "1"})
    found = await json_called(session, Call("GET", f"{base}?{query}", basic=basic), None)
    known = member(found, "result") or []
    text = f"{message.subject}\n{message.body}\nReference {message.reference}"
    if known:
        number = str(member(known[0], "sys_id"))
        change: dict[str, Any] = {"work_notes": text}
        if message.over:
            change |= {"state": _RESOLVED, "close_code": "Resolved by caller", "close_notes": message.subject}
        await json_called(session, Call("PATCH", f"{base}/{quote(number, safe='')}", basic=basic), change)
        return number
    fields = {
        "short_description": message.subject[:160],
        "description": text,
        "urgency": _URGENCY[message.severity],
        "impact": _URGENCY[message.severity],
        "correlation_id": f"cmg-{message.group}",
        "assignment_group": to.address or to.settings.get("assignment_group", ""),
    }
    made = await json_called(session, Call("POST", base, basic=basic), fields)
    return str(member(member(made, "result"), "sys_id"))


def _document(text: str) -> dict[str, Any]:
    """Plain text in Atlassian's document format."""
    lines = [{"type": "paragraph", "content": [{"type": "text", "text": line}]} for line in text.splitlines() if line]
    return {"type": "doc", "version": 1, "content": lines}
