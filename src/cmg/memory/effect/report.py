"""What memory does for calls: those with it beside those that were held out of it, and what became of notes."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec

from cmg.identity.models import Workspace
from cmg.kit.clock import Clock
from cmg.kit.errors import Forbidden, InvalidRequest, NotFound
from cmg.kit.money import nano_to_usd
from cmg.ledger.reports.store import MemoryArm, memory_arms
from cmg.memory.effect import store
from cmg.memory.effect.store import Effect
from cmg.storage.database import Database

DAYS_MAX = 400
_DEFAULT_DAYS = 30
_LETTERS = len("2026-11-24")
_JUDGEMENTS = ("helpful", "not_helpful", "outdated", "duplicate")
_NOBODY = MemoryArm()


class Period(msgspec.Struct, frozen=True):
    """Whole days of UTC, both included."""

    first: date
    last: date

    @property
    def moments(self) -> tuple[datetime, datetime]:
        """[begin, end)."""
        return _begin(self.first), _begin(self.last + timedelta(days=1))


class EffectReports:
    """Reports by workspace. `workspaces` gives all workspaces by id."""

    def __init__(self, database: Database, workspaces: Callable[[], Mapping[str, Workspace]], clock: Clock) -> None:
        self._database, self._workspaces, self._clock = database, workspaces, clock

    async def report(
        self, since: str | None, until: str | None, workspace: str | None, only: str | None
    ) -> tuple[Period, list[dict[str, Any]]]:
        """The period and one entry for each workspace with calls in it; the caller sees `only` (None: all).

        Raises `InvalidRequest`, `Forbidden` for another workspace, `NotFound` for none, `DatabaseAway`.
        """
        period = self._period(since, until)
        wanted = workspace or only
        if only is not None and wanted != only:
            raise Forbidden("this key sees its own workspace only; leave `workspace` out", param="workspace")
        if wanted is not None and wanted not in self._workspaces():
            raise NotFound("there is no such workspace", param="workspace")
        arms = {
            (one.workspace_id, one.held_out): one for one in await memory_arms(self._database, wanted, *period.moments)
        }
        effects = await store.sums(self._database, wanted, period.first, period.last)
        judged = await store.judgements(self._database, wanted, *period.moments)
        names = sorted({name for name, _ in arms} | effects.keys() | judged.keys())
        return period, [
            {
                "workspace": name,
                "memory": _arm(arms.get((name, False), _NOBODY)),
                "holdout": _arm(arms.get((name, True), _NOBODY)),
                "use": _use(effects.get(name, Effect())),
                "feedback": _feedback(judged.get(name, {}), arms.get((name, False), _NOBODY)),
            }
            for name in names
        ]

    def _period(self, since: str | None, until: str | None) -> Period:
        last = _day("to", until) or self._clock.now().date()
        first = _day("from", since) or last - timedelta(days=_DEFAULT_DAYS - 1)
        if first > last:
            raise InvalidRequest("`from` must not be after `to`", param="from")
        if (last - first).days >= DAYS_MAX:
            raise InvalidRequest(f"a report covers at most {DAYS_MAX} days; ask for less at once", param="from")
        return Period(first, last)


def _arm(arm: MemoryArm) -> dict[str, Any]:
    tokens = arm.prompt_tokens + arm.completion_tokens
    return {
        "calls": arm.calls,
        "errors": arm.errors,
        "error_rate": _rate(arm.errors, arm.calls),
        "calls_with_items": arm.with_items,
        "items": arm.items,
        "memory_tokens": arm.memory_tokens,
        "prompt_tokens": arm.prompt_tokens,
        "completion_tokens": arm.completion_tokens,
        "tokens_per_call": _rate(tokens, arm.calls),
        "cost_usd": nano_to_usd(arm.cost_nano),
        "cost_usd_per_call": _rate(nano_to_usd(arm.cost_nano), arm.calls, 9),
        "latency_ms_avg": _rate(arm.latency_ms, arm.calls),
    }


def _use(effect: Effect) -> dict[str, Any]:
    judged = effect.used + effect.ignored
    return {
        "notes": effect.notes,
        "notes_judged": effect.notes_judged,
        "notes_used": effect.notes_used,
        "items_injected": judged + effect.unjudged,
        "items_used": effect.used,
        "items_ignored": effect.ignored,
        "items_unjudged": effect.unjudged,
        "use_rate": _rate(effect.used, judged),
        "calls_shortened": effect.shortened,
        "messages_left_out": effect.left_out,
    }


def _feedback(judged: Mapping[str, int], arm: MemoryArm) -> dict[str, Any]:
    counts = {name: judged.get(name, 0) for name in _JUDGEMENTS}
    return {**counts, "rate": _rate(sum(counts.values()), arm.items)}


def _rate(part: float, whole: float, digits: int = 4) -> float | None:
    """None: nothing happened that a rate could be of."""
    return round(part / whole, digits) if whole else None


def _day(name: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        found = date.fromisoformat(text) if len(text) == _LETTERS else None
    except ValueError:
        found = None
    if found is None or not 2000 <= found.year <= 2200:
        raise InvalidRequest(f"`{name}` is a date of UTC like 2026-11-24", param=name)
    return found


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
