"""Every rendered file of `deploy/`, by its path there."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec

from cmg.catalogue.rendering import alertmanager, prometheus

_HEAD = "# Rendered by `cmg catalogue render` from src/cmg/catalogue: change it there.\n"


def rule_files() -> dict[str, str]:
    """Name → text of the catalogue's rule files."""
    folder = resources.files("cmg.catalogue").joinpath("rules")
    files = (file for file in folder.iterdir() if file.name.endswith(".yml"))
    return {file.name: file.read_text(encoding="utf-8") for file in sorted(files, key=lambda file: file.name)}


def rendered() -> dict[str, str]:
    """Path below `deploy/` → text."""
    written: dict[str, Mapping[str, Any]] = {
        "prometheus/prometheus.yml": prometheus.compose(),
        "prometheus/prometheus-kubernetes.yml": prometheus.kubernetes(),
        "alertmanager/alertmanager.yml": alertmanager.configuration(),
    }
    texts = {path: _HEAD + msgspec.yaml.encode(told).decode() for path, told in written.items()}
    rules = {f"prometheus/rules/{name}": _HEAD + text for name, text in rule_files().items()}
    return {**texts, **rules}
