"""What is scraped: this service itself, and whatever answers in the Prometheus text format or OpenMetrics."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from cmg.telemetry.merging import Snapshot
from cmg.timeseries.exposition import ExpositionError, Metadata, Point, Reader
from cmg.timeseries.labels import NAME, labels_of

_MOST_BYTES = 32 * 2**20
_ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


class ScrapeFailed(Exception):
    """A target that did not answer, or not with metrics; the message says what was wrong."""


class Target(Protocol):
    """One place to ask."""

    @property
    def job(self) -> str:
        """What it is part of."""
        ...

    @property
    def instance(self) -> str:
        """Which one of them it is."""
        ...

    @property
    def metadata(self) -> dict[str, Metadata]:
        """What it last said of its metrics."""
        ...

    async def fetch(self) -> Sequence[Point]:
        """Its present samples. Raises `ScrapeFailed`."""
        ...


@dataclass
class OwnMetrics:
    """This machine's metrics, of all its processes; read where they are, without text in between."""

    instance: str
    collect: Callable[[], Awaitable[Snapshot]]
    job: str = "cmg"
    metadata: dict[str, Metadata] = field(default_factory=dict)

    async def fetch(self) -> Sequence[Point]:
        """The merged metrics. Never fails: they are counters in memory."""
        snapshot = await self.collect()
        self.metadata = {family.name: Metadata(family.kind, family.help) for family in snapshot}
        return [
            Point(labels_of([(NAME, sample.name), *sample.labels]), sample.value, None)
            for family in snapshot
            for sample in family.samples
        ]


class HttpTarget:
    """A URL that is asked; at most `most` samples of it are taken."""

    def __init__(self, job: str, url: str, session: aiohttp.ClientSession, *, most: int) -> None:
        self.job, self.instance = job, urlsplit(url).netloc
        self._url, self._session, self._most = url, session, most
        self._reader = Reader(most=most)

    @property
    def metadata(self) -> dict[str, Metadata]:
        """What it said of its metrics so far."""
        return self._reader.metadata

    async def fetch(self) -> Sequence[Point]:
        """Ask it. Raises `ScrapeFailed`."""
        try:
            async with self._session.get(self._url, headers={"accept": _ACCEPT}, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise ScrapeFailed(f"it answered {answer.status}")
                body = await answer.content.read(_MOST_BYTES + 1)
                while len(body) <= _MOST_BYTES and (more := await answer.content.read(_MOST_BYTES + 1 - len(body))):
                    body += more
                openmetrics = "openmetrics" in answer.headers.get("content-type", "")
        except (aiohttp.ClientError, OSError) as error:
            raise ScrapeFailed(str(error) or type(error).__name__) from error
        if len(body) > _MOST_BYTES:
            raise ScrapeFailed(f"its answer is larger than {_MOST_BYTES} bytes")
        try:
            points = list(self._reader.read(body.decode().splitlines(), openmetrics=openmetrics))
        except (ExpositionError, UnicodeDecodeError) as error:
            raise ScrapeFailed(str(error)) from error
        if len(points) > self._most:
            raise ScrapeFailed(f"it has more than {self._most} samples")
        return points
