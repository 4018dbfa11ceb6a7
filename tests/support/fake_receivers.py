"""The APIs that notifications go to, as their documents describe them, on loopback."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from aiohttp import BasicAuth, web


@dataclass(frozen=True)
class Got:
    """One request as it arrived; `body` is decoded JSON or a form."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    raw: bytes
    query: dict[str, str]

    @property
    def basic(self) -> tuple[str, str] | None:
        """User and password, where they were sent."""
        told = self.headers.get("authorization", "")
        return (one.login, one.password) if told.startswith("Basic") and (one := BasicAuth.decode(told)) else None


@dataclass
class Receivers:
    """`failures`: answers (status, headers, body) that are given first, one for each request.

    `deaf`: nothing is taken in or answered. While `speaking` is cleared everything is taken in, and nothing answered.
    """

    url: str = ""
    got: list[Got] = field(default_factory=list)
    failures: list[tuple[int, dict[str, str], Any]] = field(default_factory=list)
    call_status: str = "no-answer"
    issues: dict[str, str] = field(default_factory=dict)
    before_answer: Callable[[], None] = lambda: None
    deaf: bool = False
    in_pieces: bool = False  # answers come in chunks with pauses between, as through a proxy
    speaking: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Note the request, and answer as the API of its path does."""
        if self.deaf:
            await asyncio.sleep(3600)  # until whoever sent it gives up, or dies
        raw = await request.read()
        kind = request.headers.get("content-type", "")
        body = json.loads(raw) if "json" in kind and raw else None
        if "form-urlencoded" in kind:
            body = {name: values[0] for name, values in parse_qs(raw.decode()).items()}
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append(Got(request.method, request.path, headers, body, raw, dict(request.query)))
        self.before_answer()
        await self.speaking.wait()
        if self.failures:
            status, told, said = self.failures.pop(0)
            return web.json_response(said, status=status, headers=told)
        good = self._good(self.got[-1])
        return await _in_pieces(request, good) if self.in_pieces else good

    def _good(self, got: Got) -> web.Response:
        path = got.path
        if path == "/slack/chat.postMessage":
            return web.json_response({"ok": True, "channel": "C1", "ts": "1503435956.000247"})
        if path == "/slack-hook":
            return web.Response(text="ok")
        if path.endswith("/Messages.json"):
            return web.json_response({"sid": f"SM{len(self.got)}", "status": "queued"}, status=201)
        if path.endswith("/Calls.json"):
            return web.json_response({"sid": f"CA{len(self.got)}", "status": "queued"}, status=201)
        if "/Calls/" in path:
            return web.json_response({"sid": path.split("/")[-1][:-5], "status": self.call_status})
        if path == "/v2/enqueue":
            said = {"status": "success", "message": "Event processed", "dedup_key": got.body["dedup_key"]}
            return web.json_response(said, status=202)
        if path == "/ntfy":
            return web.json_response({"id": "hwQ2YpKdmg", "event": "message", "topic": got.body["topic"]})
        return self._tickets(got)

    def _tickets(self, got: Got) -> web.Response:
        if got.path == "/rest/api/3/search/jql":
            label = got.query["jql"].split('"')[1]
            found = [{"key": key} for key, kept in self.issues.items() if kept == label]
            return web.json_response({"issues": found})
        if got.path == "/rest/api/3/issue":
            key = f"OPS-{len(self.issues) + 1}"
            self.issues[key] = got.body["fields"]["labels"][0]
            return web.json_response({"id": "10000", "key": key}, status=201)
        if got.path.endswith("/comment"):
            return web.json_response({"id": "1"}, status=201)
        if got.path == "/api/now/table/incident" and got.method == "GET":
            wanted = got.query["sysparm_query"].split("=")[1]
            return web.json_response(
                {"result": [{"sys_id": one} for one, kept in self.issues.items() if kept == wanted]}
            )
        if got.path == "/api/now/table/incident":
            self.issues["a1b2"] = got.body["correlation_id"]
            return web.json_response({"result": {"sys_id": "a1b2", "number": "INC0010001"}}, status=201)
        if got.path.startswith("/api/now/table/incident/"):
            return web.json_response({"result": {"sys_id": "a1b2"}})
        return web.json_response({}, status=201 if "push" in got.path else 200)


async def _in_pieces(request: web.Request, good: web.Response) -> web.StreamResponse:
    answer = web.StreamResponse(status=good.status, headers={"content-type": good.content_type})
    await answer.prepare(request)
    body = bytes(good.body or b"")
    for piece in (body[:5], body[5:]):
        await answer.write(piece)
        await asyncio.sleep(0.02)
    await answer.write_eof()
    return answer


@asynccontextmanager
async def receiving() -> AsyncIterator[Receivers]:
    """The receivers on a free port."""
    receivers = Receivers()
    receivers.speaking.set()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receivers.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receivers.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receivers
    finally:
        await runner.cleanup()


def channels_at(url: str) -> dict[str, dict[str, Any]]:
    """A channel of every HTTP kind, pointing at the receivers."""
    twilio = {"settings": {"api_url": url, "account_sid": "AC1", "from": "+15550100"}, "secrets": {"auth_token": "t"}}
    return {
        "hook": {"kind": "webhook", "settings": {"url": f"{url}/hook"}, "secrets": {"secret": "hush"}},
        "back": {"kind": "callback", "settings": {"url": f"{url}/back/{{group}}"}, "secrets": {"token": "bear"}},
        "slack": {
            "kind": "slack",
            "settings": {"api_url": f"{url}/slack", "channel": "#ops"},
            "secrets": {"token": "xoxb"},
        },
        "sms": {"kind": "sms", **twilio},
        "voice": {"kind": "voice", **twilio},
        "pagerduty": {"kind": "pagerduty", "settings": {"api_url": url}, "secrets": {"routing_key": "R0"}},
        "ntfy": {"kind": "ntfy", "settings": {"url": f"{url}/ntfy", "topic": "cmg"}, "secrets": {"token": "tk"}},
        "jira": {
            "kind": "jira",
            "settings": {"url": url, "email": "a@b.c", "project": "OPS"},
            "secrets": {"api_token": "j"},
        },
        "servicenow": {"kind": "servicenow", "settings": {"url": url, "username": "u"}, "secrets": {"password": "p"}},
    }
