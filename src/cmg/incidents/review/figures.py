"""How incidents and alerts went in a period: times to act and to resolve, alerts a shift, pages out of hours."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cmg.alerting.models import PAGING, Group
from cmg.alerting.store import AlertingStore
from cmg.identity.forms.text import moment, wrong
from cmg.identity.models import DEFAULT_WORKSPACE
from cmg.incidents import store
from cmg.incidents.models import SEVERITIES, Incident
from cmg.incidents.workflow import missed
from cmg.kit.clock import Clock, at, rfc3339, time_zones
from cmg.storage.database import Database

INCIDENTS_MAX = 5000
GROUPS_MAX = 20_000
LONGEST = timedelta(days=400)
_PAGE = 500
_DEFAULT = timedelta(days=30)
_OFFICE = (9, 17)  # hours of Monday to Friday; what else there is, is out of hours


class Figures:
    """Figures of the service's incidents and of the alerts of its own workspace."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock, self._alerting = database, clock, AlertingStore()

    async def of(self, since: str | None, until: str | None, timezone: str | None, shift_hours: int) -> dict[str, Any]:
        """Figures of [since, until), by default the last thirty days. Raises `InvalidRequest`."""
        now = self._clock.now()
        end = now if until is None else at(moment(until, "to"))
        begin = end - _DEFAULT if since is None else at(moment(since, "from"))
        if not timedelta(0) < end - begin <= LONGEST:
            raise wrong("from", f"must be before `to`, by at most {LONGEST.days} days")
        zone = timezone or "UTC"
        if zone not in time_zones():
            raise wrong("timezone", "must be a name as in Europe/Berlin")
        incidents = await store.between(self._database, begin, end, INCIDENTS_MAX)
        groups = await self._groups(begin, end)
        return {
            "from": rfc3339(begin.timestamp()),
            "to": rfc3339(end.timestamp()),
            "incidents": incident_figures(incidents, now),
            "alerts": alert_figures(groups, begin, end, ZoneInfo(zone), shift_hours),
        }

    async def _groups(self, since: datetime, until: datetime) -> list[Group]:
        """The groups that were opened in the period, newest first."""
        found: list[Group] = []
        before = (until, "")
        while len(found) < GROUPS_MAX:
            page = await self._alerting.groups(self._database, DEFAULT_WORKSPACE, before, None, _PAGE)
            found += [one for one in page if one.opened_at >= since.timestamp()]
            if len(page) < _PAGE or page[-1].opened_at < since.timestamp():
                break
            before = (at(page[-1].opened_at), page[-1].id)
        return found


def incident_figures(incidents: Sequence[Incident], now: datetime) -> dict[str, Any]:
    """All of them and by severity. Times are means in seconds, None where there was none."""
    by_severity = {
        name: _times([one for one in incidents if one.severity == place]) for place, name in enumerate(SEVERITIES, 1)
    }
    late: dict[str, int] = {}
    for one in incidents:
        for box in missed(one, now):
            late[box.name] = late.get(box.name, 0) + 1
    return {**_times(incidents), "by_severity": by_severity, "time_boxes_missed": late}


def _times(incidents: Sequence[Incident]) -> dict[str, Any]:
    return {
        "count": len(incidents),
        "mttd_s": _mean((one.detected_at - one.started_at).total_seconds() for one in incidents),
        "mtta_s": _mean(_seconds(one.detected_at, one.acknowledged_at) for one in incidents),
        "mttr_s": _mean(_seconds(one.detected_at, one.resolved_at) for one in incidents),
    }


def alert_figures(
    groups: Sequence[Group], since: datetime, until: datetime, zone: ZoneInfo, shift_hours: int
) -> dict[str, Any]:
    """`effectiveness`: the share of groups that somebody acknowledged, snoozed or resolved.

    `pages`: P1 and P2 of which people were told. Groups of drills are left out.
    """
    groups = [one for one in groups if not one.drill]
    shifts = max(1.0, (until - since) / timedelta(hours=shift_hours))
    pages = [one for one in groups if one.severity in PAGING and one.told_at is not None]
    acted = sum(one.acknowledged_at is not None or one.by is not None for one in groups)
    acknowledged = [one.acknowledged_at - one.opened_at for one in groups if one.acknowledged_at is not None]
    resolved = [one.resolved_at - one.opened_at for one in groups if one.resolved_at is not None]
    return {
        "count": len(groups),
        "per_shift": round(len(groups) / shifts, 3),
        "shift_hours": shift_hours,
        "pages": len(pages),
        "pages_per_shift": round(len(pages) / shifts, 3),
        "pages_out_of_hours": sum(out_of_hours(at(one.opened_at), zone) for one in pages),
        "acted_on": acted,
        "effectiveness": round(acted / len(groups), 4) if groups else None,
        "mtta_s": _mean(acknowledged),
        "mttr_s": _mean(resolved),
    }


def out_of_hours(moment_: datetime, zone: ZoneInfo) -> bool:
    """On a weekend, or before nine or from five on."""
    local = moment_.astimezone(zone)
    return local.weekday() >= 5 or not _OFFICE[0] <= local.hour < _OFFICE[1]


def _seconds(since: datetime, until: datetime | None) -> float | None:
    return None if until is None else (until - since).total_seconds()


def _mean(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return round(sum(found) / len(found), 3) if found else None
