"""Expressions changed as trees, never as text: confined to some series, and written out again."""
