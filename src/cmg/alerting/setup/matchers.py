"""Matchers of labels, as Alertmanager writes them: `=`, `!=`, `=~`, `!~`; a label that is absent is an empty one."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import re2

from cmg.alerting.setup.documents import Matcher


def matches(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether all of them hold; none of them always do."""
    return all(_holds(one, labels.get(one.label, "")) for one in matchers)


def shown(matchers: Iterable[Matcher]) -> str:
    """`service="api", zone=~"eu-.*"`."""
    return ", ".join(f'{one.label}{one.op}"{one.value}"' for one in matchers)


def _holds(matcher: Matcher, value: str) -> bool:
    if matcher.op in {"=", "!="}:
        return (value == matcher.value) == (matcher.op == "=")
    return bool(_compiled(matcher.value).fullmatch(value)) == (matcher.op == "=~")


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern)
