"""The use case: keys with a budget and what they have spent of it, as far as a caller may see them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from cmg.identity.models import ApiKey, Budget, Workspace
from cmg.identity.snapshot import Snapshot
from cmg.identity.store import IdentityStore
from cmg.kit.clock import Clock, rfc3339
from cmg.kit.errors import Forbidden, InvalidRequest, NotFound
from cmg.kit.money import nano_to_usd
from cmg.kit.parameters.pages import page_size
from cmg.ledger.quota.periods import period_end, period_start
from cmg.ledger.spending import Spending
from cmg.storage.database import Database

LIMIT_MOST = 200
_LIMIT = 50


class Budgets:
    """`snapshot` gives all keys and workspaces; those of a page are looked at in the database, as they are now.

    Spending is what was committed: a journal may hold some more.
    """

    def __init__(self, database: Database, snapshot: Callable[[], Snapshot], clock: Clock) -> None:
        self._spending, self._snapshot, self._clock = Spending(database, clock), snapshot, clock
        self._database, self._store = database, IdentityStore()

    async def page(self, asked: Mapping[str, str | None], only: str | None) -> dict[str, Any]:
        """Keys that are not revoked, by name, and the cursor of the next page. `only`: the caller's workspace.

        Raises `InvalidRequest` naming the parameter, `Forbidden`, `NotFound`, `DatabaseAway`.
        """
        known, limit = self._snapshot(), page_size(asked.get("limit"), LIMIT_MOST, _LIMIT)
        workspace, behind = _workspace(asked.get("workspace"), only, known), _behind(asked.get("cursor"))
        found = sorted(
            (key.name, key.id)
            for key in known.keys.values()
            if key.budget is not None
            and key.status != "revoked"
            and workspace in (None, key.workspace_id)
            and key.workspace_id in known.workspaces
            and (behind is None or (key.name, key.id) > behind)
        )
        now = {key.id: key for key in await self._store.keys_by_ids(self._database, [id_ for _, id_ in found[:limit]])}
        keys = [now.get(id_, known.keys[id_]) for _, id_ in found[:limit]]
        shown = [(key, known.workspaces[key.workspace_id]) for key in keys]
        spent = await self._spending.in_period(shown)
        items = [self._view(key, key.budget, place, spent.get(key.id, 0)) for key, place in shown if key.budget]
        return {"items": items, "next": f"{found[limit - 1][1]}~{found[limit - 1][0]}" if len(found) > limit else None}

    def _view(self, key: ApiKey, budget: Budget, workspace: Workspace, spent_nano: int) -> dict[str, Any]:
        now = self._clock.time()
        begun = period_start(budget.period, workspace.timezone, now)
        ends = period_end(budget.period, workspace.timezone, now)
        return {
            "key": key.id,
            "name": key.name,
            "workspace": key.workspace_id,
            "owner": key.owner,
            "state": key.status,
            "period": budget.period,
            "period_start": rfc3339(begun) if begun else None,
            "period_end": None if math.isinf(ends) else rfc3339(ends),
            "budget_usd": nano_to_usd(budget.usd_nano),
            "spent_usd": nano_to_usd(spent_nano),
            "share": round(spent_nano / budget.usd_nano, 6) if budget.usd_nano else 1.0,
            "alert_at": list(budget.alert_at),
            "auto_suspend": budget.auto_suspend,
        }


def _workspace(wanted: str | None, only: str | None, known: Snapshot) -> str | None:
    if only is not None and wanted not in (None, only):
        raise Forbidden("this key sees its own workspace only; leave `workspace` out", param="workspace")
    if wanted is not None and wanted not in known.workspaces:
        raise NotFound("there is no such workspace", param="workspace")
    return wanted or only


def _behind(text: str | None) -> tuple[str, str] | None:
    """Name and id of the last key of the page before."""
    if text is None:
        return None
    id_, tilde, name = text.partition("~")
    if not tilde:
        raise InvalidRequest("`cursor` is the `next` of the page before", param="cursor")
    return name, id_
