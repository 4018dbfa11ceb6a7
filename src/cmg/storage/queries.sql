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
