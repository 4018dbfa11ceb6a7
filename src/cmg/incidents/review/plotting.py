"""The plots of an incident: the service's own metrics from half an hour before it to half an hour after it."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cmg.incidents.models import Incident
from cmg.incidents.ports import Samples
from cmg.incidents.review import store
from cmg.incidents.review.drawing import Figure, Line, svg
from cmg.incidents.review.store import Plot
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.telemetry.logs import get_logger

AROUND = timedelta(minutes=30)
LONGEST = timedelta(days=7)
_STEPS = 180
_STEP_S = 15
_ASK_S = 20.0
_log = get_logger("cmg.incidents.review")
# Name → title, unit, expression. Rates are over five minutes, or four steps where these are longer.
PLOTS: dict[str, tuple[str, str, str]] = {
    "calls": ("Calls a second, by outcome", "", "sum by (status) (rate(cmg_llm_calls_total[{w}]))"),
    "errors": (
        "Share of failed calls",
        "%",
        'sum(rate(cmg_llm_calls_total{{status=~"error|cut"}}[{w}])) / sum(rate(cmg_llm_calls_total[{w}]))',
    ),
    "latency": (
        "Time of a call, 95th percentile",
        "s",
        "histogram_quantile(0.95, sum by (le) (rate(cmg_llm_call_duration_seconds_bucket[{w}])))",
    ),
    "requests": (
        "HTTP answers of 500 and above a second",
        "",
        'sum(rate(cmg_http_requests_total{{status=~"5.."}}[{w}]))',
    ),
}


class LateSamples:
    """The time series, once the process that is built around them has some."""

    def __init__(self) -> None:
        self.source: Samples | None = None

    async def answer(self, endpoint: str, form: Mapping[str, Sequence[str]]) -> tuple[int, bytes]:
        """Passed on; 503 where there is nobody to ask."""
        return (503, b"") if self.source is None else await self.source.answer(endpoint, form)


class Plots:
    """Draws from the time series, where this machine has any."""

    def __init__(self, database: Database, samples: Samples, clock: Clock) -> None:
        self._database, self._samples, self._clock = database, samples, clock

    async def of(self, incident: Incident) -> list[Plot]:
        """Those that were kept, else drawn now; none where there is nothing to draw from."""
        kept = await store.plots_of(self._database, incident.id)
        return kept or await self.drawn(incident)

    async def drawn(self, incident: Incident) -> list[Plot]:
        """Drawn now. What the time series do not answer is left out, with a line in the log."""
        found = await asyncio.gather(*(self._plot(name, incident) for name in PLOTS))
        return [plot for plot in found if plot is not None]

    async def _plot(self, name: str, incident: Incident) -> Plot | None:
        title, unit, expression = PLOTS[name]
        since, until = window(incident, self._clock.now())
        step = max(_STEP_S, int((until - since) / _STEPS))
        query = expression.format(w=f"{max(300, 4 * step)}s")
        form = {"query": [query], "start": [str(since)], "end": [str(until)], "step": [str(step)]}
        try:
            async with asyncio.timeout(_ASK_S):
                status, body = await self._samples.answer("query_range", form)
        except TimeoutError:
            status, body = 504, b""
        if status != 200:
            _log.info("a plot could not be drawn", plot=name, status=status)
            return None
        return Plot(name, title, svg(Figure(title, unit, since, until, lines_of(body), _moments(incident))))


def window(incident: Incident, now: datetime) -> tuple[float, float]:
    """From when to when, in epoch seconds; at most the last week of it."""
    until = min(now, (incident.resolved_at or now) + AROUND)
    since = max(incident.started_at - AROUND, until - LONGEST)
    return since.timestamp(), until.timestamp()


def lines_of(body: bytes) -> list[Line]:
    """The lines of an answer of Prometheus' API, the largest first."""
    answer: Any = msgspec.json.decode(body)
    found = []
    for series in answer["data"]["result"]:
        points = [(float(moment), float(value)) for moment, value in series["values"]]
        found.append(Line(", ".join(map(str, series["metric"].values())) or "all", points))
    return sorted(found, key=lambda line: -sum(value for _, value in line.points if math.isfinite(value)))


def _moments(incident: Incident) -> list[tuple[float, str]]:
    marks = [(incident.started_at.timestamp(), "began")]
    if incident.resolved_at is not None:
        marks.append((incident.resolved_at.timestamp(), "resolved"))
    return marks
