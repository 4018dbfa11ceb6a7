-- The first number of `changes` was given out in the transaction that made its sequence. On a server with
-- `wal_level = minimal` such a sequence counts on unlogged, and a kill before its first checkpoint sets it back. Set in
-- a transaction of its own it is logged; and what was set back already is ahead of its rows again.
SELECT setval(pg_get_serial_sequence('changes', 'version'), max(version)) FROM changes;
