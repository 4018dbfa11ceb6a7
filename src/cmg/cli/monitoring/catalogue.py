"""`cmg catalogue render`."""

from pathlib import Path

import click

from cmg.catalogue.rendering.rendering import rendered
from cmg.cli.printing import json_option, print_json


@click.group("catalogue")
def catalogue() -> None:
    """Metrics, rules and dashboards, as files for Prometheus, Alertmanager and Grafana."""


@catalogue.command("render")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a file differs.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("deploy"),
    show_default=True,
    help="Where the files are.",
)
@json_option
def render(*, check: bool, folder: Path, as_json: bool) -> int:
    """Write Prometheus', Alertmanager's and Grafana's files in `deploy/`, or check that they are as declared."""
    texts = rendered() | _dashboards()
    differing = sorted(path for path, text in texts.items() if _present(folder / path) != text)
    differing += sorted(_superfluous(folder, set(texts)))
    if not check:
        _write(folder, texts, differing)
    if as_json:
        print_json({"ok": not (check and differing), "files": len(texts), "differing": differing})
    else:
        word = "differs" if check else "written"
        for path in differing:
            click.echo(f"{word}: {folder / path}")
        click.echo(f"{len(texts)} files, {len(differing)} {'differ' if check else 'written'}")
    return int(check and bool(differing))


def _dashboards() -> dict[str, str]:
    """Grafana's files; without the package that makes them (it comes with the development packages) they stay."""
    try:
        from cmg.analytics import grafana  # noqa: PLC0415  only who renders needs it
    except ModuleNotFoundError:
        click.echo("grafana/ is left as it is: grafana-foundation-sdk is not installed", err=True)
        return {}
    return {f"grafana/{path}": text for path, text in grafana.files().items()}


def _write(folder: Path, texts: dict[str, str], differing: list[str]) -> None:
    for path in differing:
        file = folder / path
        if path in texts:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(texts[path])
        else:
            file.unlink()


def _present(file: Path) -> str | None:
    return file.read_text() if file.is_file() else None


def _superfluous(folder: Path, known: set[str]) -> set[str]:
    """Rule files that no longer come of the catalogue: Prometheus would load them."""
    found = {file.relative_to(folder).as_posix() for file in (folder / "prometheus" / "rules").glob("*.yml")}
    return found - known
