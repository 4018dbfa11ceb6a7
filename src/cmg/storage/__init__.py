"""Everything that keeps state on disk: PostgreSQL (embedded or given), its schema, named SQL, changes, cache, backups.

In come SQL texts with their arguments from the rooms' stores; out go rows, or `DatabaseAway` within a deadline.
Nothing here knows what a row means: tables belong to the rooms above, only the migrations stand together here.
"""
