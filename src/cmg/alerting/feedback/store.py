"""Verdicts, and what they are set against. The only caller of this folder's SQL."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from cmg.storage.database import Database
from cmg.storage.named_sql import load
from cmg.storage.retention import purge_batch

_SQL = load("cmg.alerting.feedback")
_ROWS_MOST = 50_000
_REPORT_S = 20.0
Verdict = Literal["useful", "noise"]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody said of one firing (`episode`) of an alert."""

    fingerprint: str
    episode: int
    by: str
    rule: str
    verdict: Verdict
    comment: str
    group_id: str | None
    at: datetime


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """How often a rule began to fire into one group (None: it was held), and whether somebody acted on that group."""

    rule: str
    group_id: str | None
    fired: int
    acted: bool


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A message that called somebody. `sent_at`: epoch seconds."""

    group_id: str
    channel: str
    sent_at: float


async def put(conn: Any, workspace_id: str, judgements: Iterable[Judgement]) -> None:
    """Keep what somebody says."""
    for one in judgements:
        said = (one.rule, one.verdict, one.comment, one.group_id, one.at)
        await conn.execute(_SQL["put_verdict"], workspace_id, one.fingerprint, one.episode, one.by, *said)


async def verdicts(database: Database, workspace_id: str, of: str, limit: int) -> list[Judgement]:
    """What was said of an alert (16 digits) or of a group's (32). Raises `DatabaseAway`."""
    name = "verdicts_of_alert" if len(of) == 16 else "verdicts_of_group"
    return [Judgement(**dict(row)) for row in await database.fetch(_SQL[name], workspace_id, of, limit)]


async def counts(database: Database, workspace_id: str, since: datetime) -> list[tuple[str, Verdict, int]]:
    """(rule, verdict, how often). Raises `DatabaseAway`."""
    rows = await database.fetch(_SQL["count_verdicts"], workspace_id, since, _ROWS_MOST, timeout_s=_REPORT_S)
    return [(row["rule"], row["verdict"], row["count"]) for row in rows]


async def firings(database: Database, workspace_id: str, since: datetime) -> list[Firing]:
    """Drills left out. Raises `DatabaseAway`."""
    rows = await database.fetch(_SQL["firings"], workspace_id, since, _ROWS_MOST, timeout_s=_REPORT_S)
    return [Firing(**{**dict(row), "acted": bool(row["acted"])}) for row in rows]


async def pages(database: Database, workspace_id: str, since: datetime, channels: Sequence[str]) -> list[Page]:
    """Messages on these channels. Raises `DatabaseAway`."""
    asked = (workspace_id, since, list(channels), _ROWS_MOST)
    return [Page(**dict(row)) for row in await database.fetch(_SQL["pages"], *asked, timeout_s=_REPORT_S)]


async def purge(database: Database, before: datetime) -> int:
    """Delete what is old; returns the number of rows."""
    return await purge_batch(database, _SQL["purge_verdicts"], before)
