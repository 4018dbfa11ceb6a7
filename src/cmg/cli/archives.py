"""Files in and out: `cmg backup`, `cmg restore`, `cmg timeseries import`."""

import asyncio
from pathlib import Path

import click

from cmg import config
from cmg.app.wiring.services import Services
from cmg.audit.trail import AuditTrail
from cmg.cli.printing import json_option, print_fields, print_json
from cmg.cli.session import with_services
from cmg.config import Settings
from cmg.kit.clock import SystemClock
from cmg.kit.errors import InvalidRequest
from cmg.memory.control.tombstones import FILE
from cmg.storage.archive.manifest import Manifest
from cmg.storage.backup import backup as write_backup
from cmg.storage.backup import restore as read_backup
from cmg.storage.database import Database
from cmg.storage.embedded import EmbeddedPostgres
from cmg.telemetry import logs
from cmg.telemetry.instruments import Instruments
from cmg.timeseries.exposition import ExpositionError
from cmg.timeseries.importing import Import, Imported
from cmg.timeseries.store.chunk_store import ChunkStore


@click.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def backup(*, file: Path, as_json: bool) -> None:
    """Write database, journals and keys to the new FILE, while the service runs or not.

    It holds everything that is stored: keep it as safe as the database. Secrets of keys are in it as hashes only.
    """
    if file == Path("-"):
        raise click.UsageError("a backup is put together in a folder: name a new file in it")
    if file.exists():
        raise click.UsageError(f"{file} is there already; name a new file")
    manifest = with_services(
        lambda services: write_backup(services.dsn, services.settings.data_dir, file, clock=SystemClock())
    )
    _print(manifest, file, "written", as_json=as_json)
    key = _master_key(config.load())
    if key is not None and key.exists():
        click.echo(f"Not in it: {key}. Keep a copy elsewhere: it opens the backup's sealed secrets.", err=True)


@click.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--verify", is_flag=True, help="Walk the restored audit trail too.")
@json_option
def restore(*, file: Path, verify: bool, as_json: bool) -> None:
    """Fill an empty CMG_DATA_DIR or database from a backup. What is there is never overwritten.

    Hashes and numbers of rows are always compared. Do not start the service before it is done.
    """
    settings = config.load()
    logs.configure("error", "cli")
    manifest = asyncio.run(_restore(file, settings, verify=verify))
    _print(manifest, file, "restored and verified" if verify else "restored", as_json=as_json)
    key = _master_key(settings)
    if key is not None and not key.exists():
        told = "what is sealed (second factors, secrets of channels) cannot be opened without it"
        click.echo(f"Put the former data dir's master.key at {key} before the first start: {told}.", err=True)
    erasures = settings.data_dir / FILE
    if not erasures.exists():
        told = "without it, whoever was erased since the backup was made is back"
        click.echo(f"Put the former data dir's newest {FILE} at {erasures} before the first start: {told}.", err=True)


def _master_key(settings: Settings) -> Path | None:
    """The file with the key that seals stored secrets; None when the settings hold the key."""
    return settings.data_dir / "master.key" if settings.master_key is None else None


async def _restore(file: Path, settings: Settings, *, verify: bool) -> Manifest:
    if settings.database_url:
        return await read_backup(file, settings.database_url, settings.data_dir, verify=verify, audit=_wrong_in_trail)
    embedded = EmbeddedPostgres(settings.data_dir, SystemClock())
    dsn = await embedded.start()
    try:
        return await read_backup(file, dsn, settings.data_dir, verify=verify, audit=_wrong_in_trail)
    finally:
        await embedded.stop()


async def _wrong_in_trail(dsn: str) -> str | None:
    """What is wrong with the audit trail of a database; None when it is whole."""
    clock = SystemClock()
    database = Database(dsn, clock=clock, instruments=Instruments(), max_size=2)
    await database.open()
    try:
        verdict = await AuditTrail(database, clock).verify()
    finally:
        await database.close()
    return None if verdict.ok else f"the audit trail is broken at entry {verdict.broken_at}: {verdict.reason}"


def _print(manifest: Manifest, file: Path, done: str, *, as_json: bool) -> None:
    found = {
        "file": str(file),
        "bytes": file.stat().st_size,
        "release": manifest.release,
        "created_at": manifest.created_at,
        "rows": manifest.rows,
        "journal_files": len(manifest.files),
    }
    if as_json:
        print_json(found)
    else:
        click.echo(f"The backup is {done}.")
        print_fields(found)


@click.group("timeseries")
def timeseries() -> None:
    """Samples of metrics, as Prometheus keeps them."""


@timeseries.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def import_samples(*, file: Path, as_json: bool) -> None:
    """Load FILE: OpenMetrics text whose samples have timestamps. The service may run; its queries see them at once.

    What was loaded before stays; of two samples of a series at one time the later import's counts.
    """
    found = with_services(lambda services: _import(services, file), first=True)
    if as_json:
        print_json({"samples": found.samples, "series": found.series})
    else:
        click.echo(f"Imported {found.samples} samples of {found.series} series.")


async def _import(services: Services, file: Path) -> Imported:
    store, most = ChunkStore(services.database, SystemClock()), services.settings.timeseries.max_series
    try:
        with file.open(encoding="utf-8") as lines:
            return await Import(store, most_series=most).load(lines)
    except (ExpositionError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file}: {error}", param="file") from error
