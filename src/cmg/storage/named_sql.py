"""SQL beside its room: every statement of `queries.sql` by its name, each with one sentence that says what it is for.

A statement is written as:

    -- name: active_keys
    -- Keys of one workspace that are neither revoked nor expired.
    SELECT … WHERE workspace_id = $1;

A statement over several tenants carries a further line `-- cross-workspace: <why that is right>`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

_NAME = re.compile(r"^-- name:[ \t]*(\S+)[ \t]*$", re.MULTILINE)
_CROSS = "-- cross-workspace:"
_WORD_MOST = 12
_NAMES: dict[str, str] = {}  # of the statements that were loaded: as many as there are in the code, and their variants


@dataclass(frozen=True)
class NamedQuery:
    """One statement. `cross_workspace` is the reason why it need not take a workspace's id."""

    name: str
    description: str
    sql: str
    cross_workspace: str | None = None


def load(package: str) -> Mapping[str, str]:
    """Name → SQL of `queries.sql` in a package, as `load("cmg.ledger")`; `ValueError` when the file is malformed."""
    return MappingProxyType({query.name: query.sql for query in described(package)})


@cache
def described(package: str) -> tuple[NamedQuery, ...]:
    """The same with descriptions, in the file's order."""
    text = resources.files(package).joinpath("queries.sql").read_text(encoding="utf-8")
    queries = parse(text, origin=f"{package}/queries.sql")
    _NAMES.update((query.sql, f"{package.removeprefix('cmg.')}.{query.name}") for query in queries)
    return queries


def variant(sql: str, names: Mapping[str, str]) -> str:
    """The statement with other names in it, where they cannot be arguments; it keeps its own name."""
    changed = sql
    for old, new in names.items():
        changed = changed.replace(old, new)
    _NAMES.setdefault(changed, name_of(sql))
    return changed


def name_of(sql: str) -> str:
    """The name of a statement, as `ledger.spent`; of one that has none its first word. Never a value."""
    return _NAMES.get(sql) or sql.lstrip()[:_WORD_MOST].partition(" ")[0].split("\n")[0].rstrip(";").upper() or "NONE"


def parse(text: str, origin: str = "queries.sql") -> tuple[NamedQuery, ...]:
    """The statements of one file; `ValueError` names what is missing, double, or stands outside a statement."""
    head, *parts = _NAME.split(text)
    if any(line.strip() and not line.startswith("--") for line in head.splitlines()):
        raise ValueError(f"{origin}: there is SQL above the first '-- name:' line")
    queries = [_query(name, body, origin) for name, body in zip(parts[::2], parts[1::2], strict=True)]
    names = [query.name for query in queries]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"{origin}: the name {doubled[0]!r} is given twice")
    return tuple(queries)


def _query(name: str, body: str, origin: str) -> NamedQuery:
    lines = body.strip().splitlines()
    comments: list[str] = []
    while lines and lines[0].startswith("--"):
        comments.append(lines.pop(0))
    sql = "\n".join(lines).strip().rstrip(";").rstrip()
    cross = next((line.removeprefix(_CROSS).strip() for line in comments if line.startswith(_CROSS)), None)
    description = " ".join(line.removeprefix("--").strip() for line in comments if not line.startswith(_CROSS))
    if not sql or not description:
        raise ValueError(f"{origin}: {name!r} has no {'statement' if not sql else 'sentence that describes it'}")
    return NamedQuery(name, description, sql, cross)
