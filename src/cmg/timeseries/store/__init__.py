"""Where samples are kept: the present hour in memory and in a log, the past compressed in PostgreSQL.

Scrapes and imports enter; the samples that a query needs leave, as long arrays in the order of their series.
"""
