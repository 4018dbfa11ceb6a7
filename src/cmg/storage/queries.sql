-- name: lock_migrations
-- Hold back other migrating processes until this transaction ends.
SELECT pg_advisory_xact_lock($1);

-- name: create_schema_migrations
-- The table of applied migrations.
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text PRIMARY KEY,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL
);

-- name: schema_migrations_exists
-- Null when the database was never migrated.
SELECT to_regclass('schema_migrations');

-- name: applied_migrations
-- Every applied migration with the hash of its text.
SELECT name, sha256 FROM schema_migrations ORDER BY name;

-- name: set_lock_timeout
-- A migration that waits longer than this for a table's lock fails instead of holding up the traffic behind it.
SET LOCAL lock_timeout = '60s';

-- name: record_migration
-- Note that a migration has been applied.
INSERT INTO schema_migrations (name, sha256, applied_at) VALUES ($1, $2, $3);

-- name: insert_change
-- One change, its version the next; the lock lets versions be committed in their order.
WITH locked AS (SELECT pg_advisory_xact_lock($1))
INSERT INTO changes (topic, ids, at) SELECT $2, $3::text[], $4 FROM locked;

-- name: notify_changes
-- Wake the feeds when this transaction commits.
SELECT pg_notify('cmg_changes', '');

-- name: newest_change
-- The place from which a feed that knows nothing yet reads on.
SELECT max(version) FROM changes;

-- name: changes_from
-- The row at a feed's place and what follows it; if the first row is not that place, the place is lost.
SELECT version, topic, ids FROM changes WHERE version >= $1 ORDER BY version LIMIT $2;

-- name: purge_changes
-- Old changes but the newest, at most a number of them.
DELETE FROM changes WHERE version IN (
    SELECT version FROM changes
    WHERE at < $1 AND version < (SELECT max(version) FROM changes)
    ORDER BY version LIMIT $2
);

-- name: lock_partitions
-- One process at a time makes or drops partitions, until its transaction ends.
SELECT pg_advisory_xact_lock($1);

-- name: partitions_of
-- Names of a table's partitions.
SELECT child.relname AS name
FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
WHERE inhparent = to_regclass(quote_ident($1)) ORDER BY child.relname;

-- name: partitioning_of
-- The column a table is partitioned by, and its default partition if it has one.
SELECT attname AS key, standard.relname AS default_partition
FROM pg_partitioned_table head
JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0]
LEFT JOIN pg_class standard ON standard.oid = partdefid
WHERE partrelid = to_regclass(quote_ident($1));

-- name: begin_snapshot
-- The first statement of a transaction takes its snapshot; this one reads where the changes are.
SELECT max(version) FROM changes;

-- name: existing_tables
-- Tables in the way of a restore.
SELECT relname AS name FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')
ORDER BY relname;

-- name: tables_to_dump
-- Tables whose rows make up a backup: all but partitions (their parents have the rows), those of extensions, and the
-- record of migrations.
SELECT relname AS name FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND relname <> 'schema_migrations'
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')
ORDER BY relname;

-- name: columns_of
-- A table's columns in their order, but computed ones.
SELECT attname AS name FROM pg_attribute
WHERE attrelid = to_regclass(quote_ident($1)) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
ORDER BY attnum;

-- name: references
-- Which table refers to which by a foreign key.
SELECT child.relname AS child, parent.relname AS parent
FROM pg_constraint
JOIN pg_class child ON child.oid = conrelid
JOIN pg_class parent ON parent.oid = confrelid
WHERE contype = 'f' AND connamespace = current_schema()::regnamespace;

-- name: partition_bounds
-- Every partition with the bound that its parent gives it.
SELECT part.relname AS name, parent.relname AS parent, pg_get_expr(part.relpartbound, part.oid) AS bound
FROM pg_class part
JOIN pg_inherits ON inhrelid = part.oid
JOIN pg_class parent ON parent.oid = inhparent
WHERE part.relispartition AND part.relkind IN ('r', 'p') AND part.relnamespace = current_schema()::regnamespace
ORDER BY part.oid;

-- name: removable_partitions
-- Partitions that migrations made and the backup does not have.
SELECT relname AS name FROM pg_class
WHERE relispartition AND relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace
    AND relname <> ALL ($1::text[])
ORDER BY relname;

-- name: sequence_values
-- The last value of every sequence.
SELECT sequencename AS name, last_value FROM pg_sequences WHERE schemaname = current_schema() ORDER BY sequencename;

-- name: set_sequence
-- Let a sequence go on behind a value.
SELECT setval(quote_ident($1)::regclass, $2);

-- name: server_figures
-- Connections, locks and transactions of the server now, its totals for this database, and its slowest replica.
SELECT
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
    current_setting('max_connections')::integer AS max_connections,
    (SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock') AS locks_waiting,
    (
        SELECT greatest(coalesce(max(extract(epoch FROM $1::timestamptz - waitstart)), 0), 0)::float8
        FROM pg_locks WHERE NOT granted
    ) AS lock_wait_s,
    (
        SELECT greatest(coalesce(max(extract(epoch FROM $1::timestamptz - xact_start)), 0), 0)::float8
        FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
    ) AS transaction_age_s,
    (SELECT count(*) FROM pg_stat_replication WHERE reply_time IS NOT NULL) AS replicas,
    (
        -- The server's own figure stands still when a replica does, and is nothing when there is nothing to replay.
        SELECT max(greatest(
            extract(epoch FROM replay_lag),
            CASE WHEN replay_lsn < sent_lsn OR sent_lsn < here.lsn THEN extract(epoch FROM $1 - reply_time) END,
            0
        ))::float8
        FROM
            pg_stat_replication,
            (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END) AS here (lsn)
        WHERE reply_time IS NOT NULL
    ) AS replica_lag_s,
    deadlocks, blks_hit AS blocks_hit, blks_read AS blocks_read
FROM pg_stat_database WHERE datname = current_database();

-- name: database_size
-- Bytes of the whole database.
SELECT pg_database_size(current_database());

-- name: table_sizes
-- The largest tables: bytes with indexes, and estimated rows, each with all its partitions.
SELECT
    root.relname AS name,
    sum(pg_total_relation_size(part.oid))::bigint AS bytes,
    sum(greatest(part.reltuples, 0))::bigint AS rows
FROM pg_class AS root
LEFT JOIN LATERAL pg_partition_tree(root.oid) AS leaf ON true
JOIN pg_class AS part ON part.oid = coalesce(leaf.relid, root.oid)
WHERE root.relkind IN ('r', 'p') AND NOT root.relispartition AND root.relnamespace = 'public'::regnamespace
GROUP BY root.relname ORDER BY bytes DESC LIMIT $1;
