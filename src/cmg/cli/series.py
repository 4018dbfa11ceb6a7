"""`cmg timeseries`: samples of metrics."""

from pathlib import Path

import click

from cmg.app.wiring import Services
from cmg.cli.printing import json_option, print_json
from cmg.cli.session import with_services
from cmg.kit.clock import SystemClock
from cmg.kit.errors import InvalidRequest
from cmg.timeseries.exposition import ExpositionError
from cmg.timeseries.importing import Import, Imported
from cmg.timeseries.store.chunk_store import ChunkStore


@click.group("timeseries")
def timeseries() -> None:
    """Samples of metrics, as Prometheus keeps them."""


@timeseries.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def import_(*, file: Path, as_json: bool) -> None:
    """Load FILE: OpenMetrics text whose samples have timestamps. The service may run; its queries see them at once.

    What was loaded before stays; of two samples of a series at one time the later import's counts.
    """
    found = with_services(lambda services: _import(services, file))
    if as_json:
        print_json({"samples": found.samples, "series": found.series})
    else:
        click.echo(f"Imported {found.samples} samples of {found.series} series.")


async def _import(services: Services, file: Path) -> Imported:
    work = Import(ChunkStore(services.database, SystemClock()), most_series=services.settings.timeseries.max_series)
    try:
        with file.open(encoding="utf-8") as lines:
            return await work.load(lines)
    except (ExpositionError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file}: {error}", param="file") from error
