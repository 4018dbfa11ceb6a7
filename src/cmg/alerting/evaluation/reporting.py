"""What an evaluator reports goes to the alerts of one workspace, while this process pages."""

from collections.abc import Callable, Collection, Sequence

from cmg.alerting.alerts import Alerts
from cmg.alerting.evaluation.news import SOURCE
from cmg.alerting.evaluation.reconciling import end_what_is_over
from cmg.alerting.models import Report
from cmg.timeseries.labels import Labels


class Reporting:
    """An evaluator's port."""

    def __init__(self, alerts: Alerts, workspace_id: str, leads: Callable[[], bool], source: str = SOURCE) -> None:
        self._alerts, self._workspace_id, self._leads, self._source = alerts, workspace_id, leads, source

    @property
    def leads(self) -> bool:
        """Whether this process is to tell alerts."""
        return self._leads()

    async def tell(self, reports: Sequence[Report]) -> None:
        """Take in reports. Raises `DatabaseAway`."""
        await self._alerts.receive(self._workspace_id, reports)

    async def reconcile(self, firing: Collection[Labels]) -> None:
        """End what is not among those that fire. Raises `DatabaseAway`."""
        await self._alerts.change(self._workspace_id, lambda changes: end_what_is_over(changes, self._source, firing))
