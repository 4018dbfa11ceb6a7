"""Where usage records go: their rows and each key's spending, in one transaction with the journal's offset."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from cmg.identity.store import IdentityStore
from cmg.kit.clock import at
from cmg.kit.money import CALL_NANO_MAX
from cmg.ledger import store
from cmg.ledger.figures.store import add_totals
from cmg.ledger.models import UsageRecord, decode_usage
from cmg.ledger.people.ledger_users import ErasedUsers, as_stored, nobody, without
from cmg.ledger.quota.periods import starts

TABLE = "usage_records"
_MAX_INT = 2**31 - 1
_MAX_SMALL = 2**15 - 1
_TEXTS = (
    "user_id",
    "thread_id",
    "agent_id",
    "app_id",
    "route",
    "upstream",
    "model_asked",
    "model_answered",
    "status",
    "error_type",
    "finish_reason",
    "cost_origin",
    "memory_status",
    "trace_id",
)
_INTS = (
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "memory_items",
    "memory_tokens",
)
_OTHERS = (
    "id",
    "at",
    "workspace_id",
    "key_id",
    "tags",
    "http_status",
    "stream",
    "cost_nano",
    "latency_ms",
    "ttft_ms",
    "attempts",
    "replayed",
)
COLUMNS = (*_OTHERS, *_INTS, *_TEXTS)


class UsageSink:
    """Stores the journal's records of kind `usage`.

    `committed` is to be called after each commit; it tells `spent` the ids of the keys that have spent something.
    `erased` says who is to be named no more.
    """

    def __init__(self, spent: Callable[[set[str]], None] = lambda _: None, erased: ErasedUsers = nobody) -> None:
        self._identity = IdentityStore()
        self._erased = erased
        self._spent = spent
        self._written: set[str] = set()

    async def write(self, conn: Any, payloads: Sequence[bytes]) -> None:
        """Insert the rows and add up what was spent and used. Raises decoding errors for what is no usage record."""
        records = [decode_usage(payload) for payload in payloads]
        users = {(one.workspace_id, as_stored(one.user_id)) for one in records if one.user_id is not None}
        if users and (erased := await self._erased(conn, list(users))):
            records = [without(record, erased) for record in records]
        rows = [_row(record) for record in records]
        await conn.copy_records_to_table(TABLE, records=rows, columns=COLUMNS)
        await add_totals(conn, records, CALL_NANO_MAX)
        costly = [record for record in records if record.cost_nano > 0]
        if not costly:
            return
        # Asked from the database: a record must fall on the right day even where no snapshot is loaded.
        ids = sorted({record.workspace_id for record in costly})
        timezones = {one.id: one.timezone for one in await self._identity.workspaces_by_ids(conn, ids)}
        spent: dict[tuple[str, float], int] = {}
        for record in costly:
            day = _day(timezones.get(record.workspace_id, "UTC"), record.at)
            nano = _bounded(record.cost_nano, CALL_NANO_MAX)
            spent[record.key_id, day] = spent.get((record.key_id, day), 0) + nano
        owners = {record.key_id: record.workspace_id for record in costly}
        await store.add_spending(conn, spent, owners)
        self._written |= owners.keys()

    def committed(self) -> None:
        """Everything written so far is committed (or was rolled back, and a look does no harm)."""
        written, self._written = self._written, set()
        if written:
            self._spent(written)


def _day(timezone: str, moment: float) -> float:
    """The first moment of the day; of UTC's where this machine does not know the zone: spending counts all the same."""
    try:
        return starts(timezone, moment).day
    except ValueError:
        return starts("UTC", moment).day


def _row(record: UsageRecord) -> tuple[Any, ...]:
    """The record in the order of `COLUMNS`, each value such that the table takes it: a call is never lost to one."""
    return (
        UUID(record.id),
        at(record.at),
        record.workspace_id,
        record.key_id,
        [_text(tag) for tag in record.tags],
        _bounded(record.http_status, _MAX_SMALL),
        record.stream,
        _bounded(record.cost_nano, CALL_NANO_MAX),
        record.latency_ms,
        record.ttft_ms,
        _bounded(record.attempts, _MAX_SMALL),
        record.replayed,
        *[_bounded(getattr(record, name), _MAX_INT) for name in _INTS],
        *[_text(getattr(record, name)) for name in _TEXTS],
    )


def _bounded(value: int, most: int) -> int:
    return 0 if value < 0 else min(value, most)


def _text(value: str | None) -> str | None:
    """Text as PostgreSQL takes it: names that callers choose may hold NUL, or be longer than any name."""
    return None if value is None else as_stored(value)
