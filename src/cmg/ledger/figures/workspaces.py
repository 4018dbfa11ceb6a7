"""The figures of workspaces under the names that the catalogue gives them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cmg.catalogue.workspace_series import MOST_WORKSPACES
from cmg.identity.models import ApiKey, Budget, Workspace
from cmg.identity.snapshot import Snapshot
from cmg.kit.clock import Clock
from cmg.kit.money import nano_to_usd
from cmg.ledger.figures import store
from cmg.ledger.figures.store import Totals
from cmg.ledger.spending import Spending
from cmg.storage.database import Database

_KEYS_AT_ONCE = 5000
_COUNTED: Mapping[str, str] = {"ok": "ok", "error": "failed", "cut": "cut", "cancelled": "cancelled"}
Budgeted = tuple[ApiKey, Budget, Workspace]


@dataclass(frozen=True)
class Figure:
    """One number of one workspace; `labels` do not hold the workspace itself."""

    metric: str
    workspace_id: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


class WorkspaceFigures:
    """At most `MOST_WORKSPACES` of them: those that have rules, then those that were used last."""

    def __init__(self, database: Database, snapshot: Callable[[], Snapshot], clock: Clock) -> None:
        self._database, self._snapshot = database, snapshot
        self._spending = Spending(database, clock)

    async def read(self, first: Sequence[str] = ()) -> list[Figure]:
        """Every figure, as committed now. Raises `DatabaseAway`."""
        known = self._snapshot()
        found = await store.totals(self._database, first, MOST_WORKSPACES)
        have = {one.workspace_id for one in found}
        silent = [Totals(workspace_id=one) for one in first if one not in have and one in known.workspaces]
        found = [*silent, *found][:MOST_WORKSPACES]
        return [*(figure for one in found for figure in _used(one)), *await self._budgets(known, found)]

    async def _budgets(self, known: Snapshot, found: Sequence[Totals]) -> list[Figure]:
        """How much of the budgets of keys is used, in each period and by the key that used the most of its own."""
        listed = {one.workspace_id for one in found} & known.workspaces.keys()
        keys = [
            (key, key.budget, known.workspaces[key.workspace_id])
            for key in known.keys.values()
            if key.budget is not None and key.workspace_id in listed and key.status != "revoked"
        ]
        spent: dict[str, int] = {}
        for begin in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[begin : begin + _KEYS_AT_ONCE]
            spent |= await self._spending.in_period((key, workspace) for key, _, workspace in some)
        return _shares(keys, spent)


def _used(one: Totals) -> Iterator[Figure]:
    mine = one.workspace_id
    for outcome, field in _COUNTED.items():
        yield Figure("cmg_workspace_calls_total", mine, getattr(one, field), (("outcome", outcome),))
    yield Figure("cmg_workspace_tokens_total", mine, one.prompt_tokens, (("kind", "prompt"),))
    yield Figure("cmg_workspace_tokens_total", mine, one.completion_tokens, (("kind", "completion"),))
    yield Figure("cmg_workspace_cost_usd_total", mine, nano_to_usd(one.cost_nano))
    yield Figure("cmg_workspace_call_seconds_total", mine, one.latency_ms / 1000)


def _shares(keys: Sequence[Budgeted], spent: Mapping[str, int]) -> list[Figure]:
    together: dict[tuple[str, str], tuple[int, int]] = {}
    most: dict[str, float] = {}
    for key, budget, workspace in keys:
        used = spent.get(key.id, 0)
        before = together.get((workspace.id, budget.period), (0, 0))
        together[workspace.id, budget.period] = before[0] + used, before[1] + budget.usd_nano
        most[workspace.id] = max(most.get(workspace.id, 0.0), _share(used, budget.usd_nano))
    return [
        *(
            Figure("cmg_workspace_budget_used_ratio", workspace, _share(*sums), (("period", period),))
            for (workspace, period), sums in together.items()
        ),
        *(Figure("cmg_workspace_key_budget_used_ratio", workspace, share) for workspace, share in most.items()),
    ]


def _share(used: int, whole: int) -> float:
    return used / whole if whole else 1.0
