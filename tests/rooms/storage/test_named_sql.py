"""The format of `queries.sql`."""

import pytest

from cmg.storage import named_sql

TEXT = """-- Queries of a room.

-- name: one
-- The first.
-- cross-workspace: counts only
SELECT 1;

-- name: two
-- The second, over
-- two lines.
SELECT 2
-- a comment inside
FROM t;
"""


def test_statements_are_found_with_their_sentences():
    one, two = named_sql.parse(TEXT)
    assert (one.name, one.description, one.sql, one.cross_workspace) == ("one", "The first.", "SELECT 1", "counts only")
    assert (two.name, two.description) == ("two", "The second, over two lines.")
    assert two.sql == "SELECT 2\n-- a comment inside\nFROM t"
    assert two.cross_workspace is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: a\nSELECT 1;", "no sentence"),
        ("-- name: a\n-- Only words.\n", "no statement"),
        ("SELECT 1;\n-- name: a\n-- Words.\nSELECT 1;", "above the first"),
        ("-- name: a\n-- Words.\nSELECT 1;\n-- name: a\n-- Words.\nSELECT 2;", "given twice"),
    ],
)
def test_malformed_file_is_refused(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        named_sql.parse(text)


def test_loaded_queries_cannot_be_changed():
    queries = named_sql.load("cmg.storage")
    assert "insert_change" in queries
    with pytest.raises(TypeError):
        queries["insert_change"] = "x"
