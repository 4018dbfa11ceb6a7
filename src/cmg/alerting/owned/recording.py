"""Samples of what workspaces have used: into the time series of this machine, where there are any."""

from collections.abc import Sequence

from cmg.catalogue.workspace_series import LABEL
from cmg.ledger.figures.workspaces import Figure, WorkspaceFigures
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.logs import get_logger
from cmg.timeseries.labels import NAME, labels_of
from cmg.timeseries.rules.evaluation import Keep

_log = get_logger("cmg.alerting.owned")


class Recorder:
    """`keep` None: a Prometheus elsewhere scrapes them.

    While the database is away nothing is committed either, so what was known last is still true.
    """

    def __init__(self, figures: WorkspaceFigures, keep: Keep | None) -> None:
        self._figures, self._keep = figures, keep
        self._last: Sequence[Figure] = ()

    async def record(self, at_ms: int, first: Sequence[str]) -> None:
        """Keep a sample of each series, of the workspaces named before all others."""
        if self._keep is None:
            return
        try:
            self._last = await self._figures.read(first)
        except DatabaseAway as error:
            _log.warning("what workspaces have used cannot be read; the last figures stand", error=str(error))
        samples = {
            labels_of([(NAME, one.metric), (LABEL, one.workspace_id), *one.labels]): one.value for one in self._last
        }
        if samples:
            self._keep(at_ms, samples)
