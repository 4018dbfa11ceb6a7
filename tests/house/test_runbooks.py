"""What a runbook has people type finds what it says: they read it at night."""

import re
from pathlib import Path

import pytest

from cmg.timeseries.promql.parsing import parse
from cmg.timeseries.promql.plan import Aggregate, Binary, Call, Node, Selector
from house.test_rules import OF_OTHERS, RUNBOOKS, _named, _series
from house.tree import SOURCE

QUERIES = [
    (file.stem, line.split("'")[1])
    for file in sorted(RUNBOOKS.glob("*.md"))
    for line in file.read_text().splitlines()
    if line.startswith("promtool query instant ")
]


def _metrics(node: Node) -> set[str]:
    """The metrics of an expression, those of a choice of names too."""
    if isinstance(node, Selector):
        named = [one for one in node.matchers if one.name == "__name__" and one.op == "=~"]
        return _named(node) | {name for one in named for name in one.value.split("|") if re.fullmatch(r"[\w:]+", name)}
    if isinstance(node, Call):
        return set().union(*map(_metrics, node.arguments))
    if isinstance(node, Binary):
        return _metrics(node.left) | _metrics(node.right)
    return _metrics(node.body) if isinstance(node, Aggregate) else set()


@pytest.mark.parametrize(("runbook", "query"), QUERIES)
def test_a_query_of_a_runbook_reads_what_is_there(runbook: str, query: str) -> None:
    found = _metrics(parse(query))
    assert found or "slo:" in query or ".+" in query, runbook
    assert {one for one in found if one not in _series() and not OF_OTHERS.fullmatch(one)} == set()


@pytest.mark.parametrize(("runbook", "query"), QUERIES)
def test_a_query_of_a_runbook_shows_all_that_it_asks_for(runbook: str, query: str) -> None:
    """`a or b` leaves out of b whatever has the labels of a: all of it, where both are of the same process."""
    node = parse(query)
    assert not (isinstance(node, Binary) and node.op == "or"), runbook


def test_every_logger_that_a_runbook_names_is_there() -> None:
    made = set[str]()
    for file in SOURCE.rglob("*.py"):
        text = file.read_text()
        made |= set(re.findall(r'"(cmg\.[\w.]+)"', text))
        if "getLogger(__name__)" in text:
            made.add(".".join(("cmg", *file.relative_to(SOURCE).with_suffix("").parts)))
    asked = {name for file in RUNBOOKS.glob("*.md") for name in re.findall(r"logger[= ](cmg[\w.]*)", file.read_text())}
    assert asked
    assert {one for one in asked if not any(f"{name}.".startswith(f"{one}.") for name in made)} == set()


@pytest.mark.parametrize("file", sorted(file for file in RUNBOOKS.glob("*.md") if "psql" in file.read_text()))
def test_who_asks_the_database_is_told_where_the_embedded_one_is(file: Path) -> None:
    """Its address stands in no setting, so `$CMG_DATABASE_URL` alone is empty on one machine."""
    before, _, _ = file.read_text().partition('psql "$CMG_DATABASE_URL"')
    assert "postmaster.pid" in before
