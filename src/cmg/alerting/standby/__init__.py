"""The pager without its database: a copy of every world on disk, and a spool of what was decided meanwhile."""
