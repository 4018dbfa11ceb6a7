"""How long each component was in which state: spans that wait in memory while the database is away."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from cmg.incidents.status import store
from cmg.incidents.status.models import Span
from cmg.storage.database import Database

LONGEST = timedelta(seconds=90)  # between two looks; what lies beyond, nobody observed
SPANS_MAX = 5000
_LONG_S = 60.0


class Observations:
    """Grows the last span of a component as long as its state stays. At most `SPANS_MAX` wait; the oldest go first."""

    def __init__(self) -> None:
        self._waiting: list[Span] = []
        self._last: dict[str, Span] = {}
        self._seen_at: datetime | None = None
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Spans that are not in the database."""
        return len(self._waiting)

    def see(self, states: Mapping[str, str], now: datetime) -> None:
        """The states since the last look are those of now, unless that was too long ago."""
        since, self._seen_at = self._seen_at, now
        if since is None or not timedelta(0) < now - since <= LONGEST:
            return
        for component, state in states.items():
            last = self._last.get(component)
            if last is not None and (last.state, last.until) == (state, since):
                last.until = now
            else:
                self._last[component] = Span(component, state, since, now)
                self._waiting.append(self._last[component])
        beyond = len(self._waiting) - SPANS_MAX
        if beyond > 0:
            self.dropped += beyond
            del self._waiting[:beyond]

    async def keep(self, database: Database) -> None:
        """Write what waits into the days. Raises `DatabaseAway`; it waits on then."""
        if not self._waiting:
            return
        taken = [Span(one.component, one.state, one.since, one.until) for one in self._waiting]
        await keep_spans(database, taken)
        self._waiting.clear()
        self._last.clear()


async def keep_spans(database: Database, spans: Iterable[Span]) -> None:
    """Write spans into the days, of each component the oldest first. Raises `DatabaseAway`."""
    async with database.transaction(_LONG_S) as conn:
        for span in spans:
            for since, until in by_day(span.since, span.until):
                await store.add_span(conn, span.component, span.state, since, until)


def by_day(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """A span in parts of one day (UTC) each."""
    parts = []
    while since < until:
        midnight = datetime(since.year, since.month, since.day, tzinfo=UTC) + timedelta(days=1)
        parts.append((since, min(until, midnight)))
        since = midnight
    return parts
