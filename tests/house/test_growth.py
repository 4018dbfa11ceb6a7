"""Everything that is stored has an end, and the operator's page says which."""

import re

import pytest

from cmg.storage import named_sql
from cmg.storage.migrate import migrations
from house.test_sql import QUERIES, ROOMS
from house.tree import ROOT

_PAGE = (ROOT / "docs" / "operations.md").read_text().partition("\n## What grows\n")[2].partition("\n## ")[0]
_SCHEMA = "\n".join(one.sql for one in migrations())
_DEFAULTS = {"log_lines_default", "usage_records_default"}
TABLES = sorted(set(re.findall(r"^CREATE TABLE (\w+)", _SCHEMA, re.MULTILINE)) - _DEFAULTS)
# Dropped by the partition, kept up in place (one row a key), or written by hand and kept for good.
_OTHERWISE = {"usage_records", "log_lines", "workspace_totals", "log_holds"}


def _rows() -> list[list[str]]:
    lines = [line.strip("| ").split(" | ") for line in _PAGE.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def _growing() -> set[str]:
    return {name for _, tables, *_ in _rows() for name in re.findall(r"`(\w+)`", tables)}


def _deleted() -> set[str]:
    """Tables with a statement that deletes their rows, and those whose rows go with such a row."""
    found = {name for _, query in QUERIES for name in re.findall(r"DELETE FROM (\w+)", query.sql)}
    bodies = re.findall(r"^CREATE TABLE (\w+) \((.*?)^\)", _SCHEMA, re.MULTILINE | re.DOTALL)
    for _ in range(3):  # of their parents' parents too
        found |= {
            table for table, body in bodies for parent in re.findall(r"REFERENCES (\w+).*ON DELETE CASCADE", body)
            if parent in found
        }  # fmt: skip
    return found


def test_rooms_with_statements_are_read() -> None:
    assert len(ROOMS) > 20
    assert named_sql.described("cmg.storage")


@pytest.mark.parametrize("table", TABLES)
def test_a_table_stands_on_the_page_of_what_grows(table: str) -> None:
    assert _PAGE.count(f"`{table}`") == 1, (
        f"say in docs/operations.md how long rows of {table} are kept, and their size"
    )


@pytest.mark.parametrize("row", _rows(), ids=[row[0] for row in _rows()])
def test_a_row_says_how_long_and_how_much(row: list[str]) -> None:
    what, tables, kept, size = row
    assert re.search(r"\d|always|until|as |`\w+\.\w+`", kept), what
    assert re.search(r"\d|own|files", size), what
    assert tables, what


@pytest.mark.parametrize("table", sorted(_growing() - _OTHERWISE))
def test_rows_of_a_table_that_grows_are_deleted_by_somebody(table: str) -> None:
    assert table in _deleted(), f"nothing deletes rows of {table}"
