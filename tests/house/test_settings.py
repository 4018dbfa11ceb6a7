"""docs/configuration.md names every setting with its default, and every variable of the environment."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec

from cmg.config import ENVIRONMENT, Settings
from cmg.config.origins import shown_of
from house.settings_meanings import KEPT, meanings
from house.tree import ROOT

# Addresses whose pattern has no room for a user or a query, and the name of a file.
NO_SECRETS = {"console_url", "backstage_url", "public_url", "status.url", "tls_key"}
PAGE = ROOT / "docs" / "configuration.md"
ROW = re.compile(r"^\| `(?P<name>[^`]+)` \|(?P<rest>.*)$", re.MULTILINE)


def _settings(kind: Any = Settings, before: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted setting → default, as the page writes them: `memory.token_budget`, `upstreams[].retries`."""
    for field in msgspec.structs.fields(kind):
        table, suffix = _table_of(field.type)
        if table is not None:
            yield from _settings(table, f"{before}{field.name}{suffix}.")
        else:
            yield before + field.name, _default(field)


def _table_of(annotation: Any) -> tuple[Any, str]:
    for one, suffix in ((annotation, ""), *((inner, "[]") for inner in get_args(annotation))):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return one, suffix
    return None, ""


def _default(field: Any) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _rows() -> dict[str, str]:
    return {found["name"]: found["rest"] for found in ROW.finditer(PAGE.read_text())}


def test_every_setting_is_documented_with_its_default() -> None:
    rows, wrong = _rows(), []
    for name, default in _settings():
        if name not in rows:
            wrong.append(f"no row for {name}")
        elif _written(default) not in rows[name]:
            wrong.append(f"{name}: the row does not say {_written(default)}")
    assert not wrong, "\n".join(wrong)


def _written(default: Any) -> str:
    if default is msgspec.NODEFAULT:
        return "required"
    if default is None:
        return "none"
    if isinstance(default, str | Path):
        return f"`{default}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`"


def test_no_row_describes_a_setting_that_is_gone() -> None:
    known = {name for name, _ in _settings()} | set(ENVIRONMENT)
    strange = [name for name in _rows() if name not in known and not name.isupper()]
    assert not strange, strange


def test_every_variable_is_documented_beside_its_setting() -> None:
    text = PAGE.read_text()
    missing = [variable for variable in ENVIRONMENT if f"`{variable}`" not in text]
    assert not missing, missing


def test_the_service_tells_what_the_page_says() -> None:
    told = json.loads(KEPT.read_text())
    assert told == meanings(), "make api"
    assert [name for name, _ in _settings() if not told.get(name)] == []


def test_what_may_hold_a_secret_says_so() -> None:
    suspicious = re.compile(r"(key|secret|password|token|url|endpoint|store)$")
    bare = [
        name
        for name, kind in _types()
        if suspicious.search(name) and shown_of(kind) == "wholly" and name not in NO_SECRETS
    ]
    assert not bare, f"declare these as Secret or SecretUrl: {bare}"


def _types(kind: Any = Settings, before: str = "") -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(kind):
        table, suffix = _table_of(field.type)
        if table is not None:
            yield from _types(table, f"{before}{field.name}{suffix}.")
        else:
            yield before + field.name, field.type
