"""Runs the named reports. The only caller of this room's SQL."""

import re
from typing import Any

from cmg.analytics.models import Look
from cmg.kit.clock import at
from cmg.storage.database import Database
from cmg.storage.named_sql import load

_SQL = load("cmg.analytics")
_REPORT_S = 20.0
_PARAMETER = re.compile(r"\$(\d)")


def sql_of(report: str) -> str:
    """The text of a report. Raises `KeyError`."""
    return _SQL[report]


async def rows(database: Database, report: str, look: Look) -> list[Any]:
    """The rows of one report. Raises `DatabaseAway`, and `TimeoutError` when it takes too long."""
    sql = sql_of(report)
    given = (look.workspace, at(look.since), at(look.until), look.step)
    taken = max(int(number) for number in _PARAMETER.findall(sql))
    return await database.fetch(sql, *given[:taken], timeout_s=_REPORT_S)


async def events(database: Database, annotation: str, look: Look) -> list[Any]:
    """The rows of one kind of annotation. Raises `DatabaseAway`."""
    return await database.fetch(sql_of(annotation), at(look.since), at(look.until))
