"""Ranks one user's passages for a question: by words, by vectors, and by what the conversation looks like.

Columns of passages and a question enter, one score a passage leaves. What each rule is worth stands in ADR 0011.
"""
