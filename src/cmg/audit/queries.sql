-- name: lock_chain
-- Writers of the chain wait for each other until their transactions end, so that it stays one line.
SELECT pg_advisory_xact_lock(7083200002);

-- name: read_head
-- Where the chain begins and ends.
-- cross-workspace: there is one chain for the whole service.
SELECT first_seq, first_previous, last_seq, last_hash FROM audit_head;

-- name: append
-- Add the next entry.
INSERT INTO audit_entries (seq, at, actor, workspace_id, action, target, details, client, previous, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: move_head
-- The chain ends at the entry just added.
-- cross-workspace: there is one chain for the whole service.
UPDATE audit_head SET last_seq = $1, last_hash = $2;

-- name: batch
-- The next entries of the chain, in order.
-- cross-workspace: only the whole chain can be verified.
SELECT seq, at, actor, workspace_id, action, target, details, client, previous, hash
FROM audit_entries WHERE seq >= $1 AND seq <= $2 ORDER BY seq LIMIT $3;

-- name: page_of_workspace
-- A page of one workspace's entries, newest first.
SELECT seq, at, actor, workspace_id, action, target, details, client, previous, hash
FROM audit_entries
WHERE workspace_id = $1 AND seq < $2
  AND ($3::text IS NULL OR action = $3) AND ($4::text IS NULL OR target = $4) AND ($5::text IS NULL OR actor = $5)
ORDER BY seq DESC LIMIT $6;

-- name: page_of_all
-- A page of every workspace's entries, newest first.
-- cross-workspace: callers with admin:all see the whole trail.
SELECT seq, at, actor, workspace_id, action, target, details, client, previous, hash
FROM audit_entries
WHERE seq < $1
  AND ($2::text IS NULL OR action = $2) AND ($3::text IS NULL OR target = $3) AND ($4::text IS NULL OR actor = $4)
ORDER BY seq DESC LIMIT $5;

-- name: between
-- Entries of a period in order, the first so many of them.
-- cross-workspace: what was changed around an incident of the whole service.
SELECT seq, at, actor, workspace_id, action, target, details, client, previous, hash
FROM audit_entries WHERE at >= $1 AND at <= $2 ORDER BY seq LIMIT $3;

-- name: last_before
-- The newest of the oldest entries that are all older than a moment, at most so many of them.
-- cross-workspace: retention is the same for everybody.
SELECT seq, hash FROM (
    SELECT seq, hash, at FROM audit_entries WHERE seq >= $2 ORDER BY seq LIMIT $3
) AS oldest
WHERE at < $1 ORDER BY seq DESC LIMIT 1;

-- name: allow_purge
-- Let the rest of this transaction delete entries up to a seq.
SELECT set_config('cmg.audit_purge_through', $1::text, true);

-- name: purge
-- Delete the oldest entries; the trigger refuses any other delete.
-- cross-workspace: retention is the same for everybody.
DELETE FROM audit_entries WHERE seq <= $1;

-- name: move_beginning
-- The chain now begins after the purged entries.
-- cross-workspace: there is one chain for the whole service.
UPDATE audit_head SET first_seq = $1 + 1, first_previous = $2;
