"""Patterns of messages: which kinds of lines there are, how many of each, and which were never seen before.

Lines enter as they are stored; each leaves with the number of its pattern.
"""
