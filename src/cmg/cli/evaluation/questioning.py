"""Stores conversations in a service and asks it their questions, over HTTP as any client does."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import msgspec

from cmg.cli.evaluation.conversations import Conversation, Question
from cmg.cli.evaluation.scoring import MAX_ITEMS, TOKEN_BUDGET, Found, Known, known, ranked, scored, table
from cmg.kit.errors import Unavailable

_INGEST_S = 600.0
_REQUEST_S = 60.0
_LOOK_S = 0.1
_MESSAGES = 500  # of one ingest
_ERRORS = 20  # that are told


class CallFailed(Exception):
    """A request without a good answer; the message says which and why."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came out. `recall_ms` are the median and the 95th percentile, one question after the other."""

    conversations: int
    skipped: int
    table: list[dict[str, Any]]
    turns_per_s: float
    recall_ms: tuple[float, float]
    stray: int
    over_budget: int
    errors: int
    error_examples: list[str]


class Questioning:
    """One run. Nothing is tried twice: a failed call is counted and scores nothing."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str, progress: Callable[[str], None]) -> None:
        self._session, self._url, self._progress = session, url.rstrip("/"), progress
        self._headers = {"authorization": f"Bearer {key}"}
        self._found: list[Found] = []
        self._took_ms: list[float] = []
        self._errors: list[str] = []
        self._turns, self._ingest_s, self._over = 0, 0.0, 0

    async def run(self, conversations: Sequence[Conversation], prefix: str, *, keep: bool) -> Report:
        """Store, ask and, unless `keep`, erase every conversation, as the user `<prefix>-<id>`.

        Raises `Unavailable` when nothing of the first one could be stored: zeros would look like a measurement.
        """
        for number, one in enumerate(conversations, 1):
            user, told = f"{prefix}-{one.id}", f"[{number}/{len(conversations)}] {one.id}"
            self._progress(f"{told}: {sum(len(session.turns) for session in one.sessions)} turns to store")
            await self._store(one, user)
            if self._errors and not self._turns:
                raise Unavailable(f"nothing could be stored: {self._errors[0]}", code="nothing_stored")
            self._progress(f"{told}: {len(one.questions)} questions are asked")
            turns = known(one)
            for question in one.questions:
                self._found.append(await self._ask(question, user, turns))
            if not keep:
                await self._try(f"erase {user}", "/v1/erase", {"user_id": user})
        took = sorted(self._took_ms) or [0.0]
        return Report(
            conversations=len(conversations),
            skipped=sum(one.skipped for one in conversations),
            table=table(self._found),
            turns_per_s=round(self._turns / self._ingest_s, 1) if self._ingest_s else 0.0,
            recall_ms=(round(took[len(took) // 2], 1), round(took[int(len(took) * 0.95)], 1)),
            stray=sum(one.stray for one in self._found),
            over_budget=self._over,
            errors=len(self._errors),
            error_examples=self._errors[:_ERRORS],
        )

    async def _store(self, conversation: Conversation, user: str) -> None:
        began = time.perf_counter()
        for session in conversation.sessions:
            messages, thread = conversation.messages(session), conversation.thread(session)
            for start in range(0, len(messages), _MESSAGES):
                some = messages[start : start + _MESSAGES]
                body = {"user_id": user, "thread_id": thread, "messages": some, "wait": True}
                answer = await self._try(f"ingest {thread}", "/v1/ingest", body)
                if answer is not None and await self._settled(thread, answer):
                    self._turns += len(some)
        self._ingest_s += time.perf_counter() - began

    async def _settled(self, thread: str, answer: dict[str, Any]) -> bool:
        """Wait until an ingest is searchable."""
        until = time.monotonic() + _INGEST_S
        while answer["status"] != "done":
            if answer["status"] == "failed" or time.monotonic() > until:
                self._errors.append(f"ingest {thread}: {answer['status']} {answer.get('error') or ''}")
                return False
            await asyncio.sleep(_LOOK_S)
            found = await self._try(f"ingest {thread}", f"/v1/operations/{answer['operation_id']}", None)
            if found is None:
                return False
            answer = found
        return True

    async def _ask(self, question: Question, user: str, turns: Known) -> Found:
        asked, where = {"user_id": user, "query": question.text}, f"recall {question.text!r}"
        began = time.perf_counter()
        by_items = await self._try(where, "/v1/recall", {**asked, "max_items": MAX_ITEMS})
        self._took_ms.append((time.perf_counter() - began) * 1000)
        by_budget = await self._try(where, "/v1/recall", {**asked, "token_budget": TOKEN_BUDGET})
        if by_items is None or by_budget is None:
            return Found(question.kind, (None,) * len(question.evidence))
        self._over += by_budget["tokens_used"] > TOKEN_BUDGET
        ranks = (ranked(by_items["items"], turns), ranked(by_budget["items"], turns))
        return scored(question, *ranks, by_budget["tokens_used"])

    async def _try(self, where: str, path: str, body: dict[str, Any] | None) -> dict[str, Any] | None:
        try:
            return await self._call(path, body)
        except CallFailed as error:
            self._errors.append(f"{where}: {error}")
            return None

    async def _call(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """The answer's object. Raises `CallFailed`."""
        method = "GET" if body is None else "POST"
        timeout = aiohttp.ClientTimeout(total=_REQUEST_S)
        try:
            async with self._session.request(
                method, self._url + path, json=body, headers=self._headers, timeout=timeout
            ) as answer:
                raw = await answer.read()
                if answer.status >= 300:
                    raise CallFailed(f"status {answer.status}: {raw[:300].decode('utf-8', 'replace')}")
                return msgspec.json.decode(raw, type=dict[str, Any])
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError) as error:
            raise CallFailed(f"{type(error).__name__} {error}") from error
