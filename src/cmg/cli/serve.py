"""`cmg serve`."""

from typing import Any, cast

import click
import msgspec

from cmg import config
from cmg.app import serve as service
from cmg.cli.printing import json_option


@click.command("serve")
@click.option(
    "--role",
    type=click.Choice(["all", "gateway", "worker", "monitor"]),
    default="all",
    show_default=True,
    help="What this machine runs: everything, or one part of a cluster.",
)
@click.option("--workers", type=click.IntRange(1, 64), help="Gateway processes; default: CMG_WORKERS, else 1.")
@json_option
def serve(*, role: str, workers: int | None, as_json: bool) -> int:
    """Run the service until it is told to stop (SIGTERM, Ctrl-C). Its log is JSON lines on standard error."""
    del as_json  # the log is JSON anyway
    loaded = config.read()
    if workers is not None:
        settings = msgspec.structs.replace(loaded.settings, workers=workers)
        told = config.Origin("command_line", "--workers")
        loaded = config.Loaded(settings, {**loaded.origins, "workers": told})
    return service.main(loaded, cast("Any", role))
