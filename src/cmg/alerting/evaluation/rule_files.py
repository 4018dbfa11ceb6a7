"""The rule files that are evaluated: the catalogue's own, and those of the settings."""

from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path

from cmg.timeseries.rules.files import RuleFile


def catalogue() -> Iterator[RuleFile]:
    """Those that come with the service. Raises `RuleFileError`."""
    folder = resources.files("cmg.catalogue").joinpath("rules")
    if folder.is_dir():
        for file in sorted(folder.iterdir(), key=lambda one: one.name):
            if file.name.endswith((".yml", ".yaml")):
                yield RuleFile.parse(file.read_text(encoding="utf-8"), file.name)


def of_paths(paths: Iterable[Path]) -> Iterator[RuleFile]:
    """Files of somebody's own. Raises `RuleFileError`, `OSError`."""
    for path in paths:
        yield RuleFile.parse(path.read_text(encoding="utf-8"), str(path))
