"""After a start: what was told as firing by the process before, and fires no more, is over."""

from collections.abc import Collection

from cmg.alerting.lifecycle.pipeline import receive
from cmg.alerting.models import Report
from cmg.alerting.world import Changes
from cmg.timeseries.labels import Labels


def end_what_is_over(changes: Changes, source: str, firing: Collection[Labels]) -> int:
    """Report the end of every alert of a source that is not among those that fire; returns how many."""
    over = [
        Report(labels=one.labels, firing=False, source=source)
        for one in list(changes.world.alerts.values())
        if one.firing and one.source == source and tuple(sorted(one.labels.items())) not in firing
    ]
    receive(changes, over)
    return len(over)
