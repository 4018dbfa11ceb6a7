"""The runbooks as texts, by name."""

from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Runbook(NamedTuple):
    """`name` as in `runbooks/<name>.md`; `text` is Markdown, its first line the title."""

    name: str
    title: str
    text: str


@cache
def runbooks() -> dict[str, Runbook]:
    """All of them, by name."""
    found = {}
    for file in sorted(files("cmg.catalogue").joinpath("runbooks").iterdir(), key=lambda one: one.name):
        text = file.read_text(encoding="utf-8")
        name = file.name.removesuffix(".md")
        found[name] = Runbook(name, text.partition("\n")[0].lstrip("# "), text)
    return found
