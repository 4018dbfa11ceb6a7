-- name: meet_workers
-- Make sure that every worker has its offset row.
-- cross-workspace: a journal holds the records of all workspaces.
INSERT INTO journal_offsets (worker, position, at)
SELECT worker, 0, $2 FROM unnest($1::uuid[]) AS worker
ON CONFLICT (worker) DO NOTHING;

-- name: read_offsets
-- How far the given workers' journals are stored.
-- cross-workspace: a journal holds the records of all workspaces.
SELECT worker, position FROM journal_offsets WHERE worker = ANY($1::uuid[]);

-- name: move_offsets
-- Move offsets on, each only from exactly where the drain that asks believes it to be.
-- cross-workspace: a journal holds the records of all workspaces.
WITH moved AS (
    UPDATE journal_offsets AS o SET position = m.new, at = $4
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS m (worker, old, new)
    WHERE o.worker = m.worker AND o.position = m.old
    RETURNING 1
)
SELECT count(*) FROM moved;

-- name: forget_worker
-- Delete the offset of a worker whose folder is gone.
-- cross-workspace: a journal holds the records of all workspaces.
DELETE FROM journal_offsets WHERE worker = $1;

-- name: purge_offsets
-- Forget workers nobody heard of for so long that their folder, if it exists, is no live journal's.
-- cross-workspace: a journal holds the records of all workspaces.
DELETE FROM journal_offsets WHERE at < $1;
