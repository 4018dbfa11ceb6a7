-- name: queue_extractions
-- Threads have new turns: they are due at a moment ($4), but never later than some seconds ($5) after the first of them.
INSERT INTO memory_extractions AS e (thread_no, workspace_id, first_at, due_at)
SELECT thread_no, workspace_id, $3, $4 FROM unnest($1::bigint[], $2::text[]) AS wanted (thread_no, workspace_id)
ORDER BY thread_no
ON CONFLICT (thread_no) DO UPDATE SET
    wanted   = e.wanted + 1,
    first_at = CASE WHEN e.failed_at IS NULL THEN e.first_at ELSE excluded.first_at END,
    due_at   = CASE WHEN e.failed_at IS NULL
        THEN least(excluded.due_at, e.first_at + make_interval(secs => $5)) ELSE excluded.due_at END,
    attempts = CASE WHEN e.failed_at IS NULL THEN e.attempts ELSE 0 END,
    failed_at = NULL, error = NULL;

-- name: claim_extractions
-- Take some threads that are due and that nobody works on, until a moment ($2); a killed worker's are taken over. $4: those
-- that were begun before, or those that were not.
-- cross-workspace: the worker serves all of them; what it reads and writes for a thread takes the thread's workspace
WITH due AS (
    SELECT thread_no FROM memory_extractions
    WHERE failed_at IS NULL AND due_at <= $1 AND (lease_until IS NULL OR lease_until <= $1)
        AND (attempts > 0) = $4
    ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
)
UPDATE memory_extractions e SET lease_until = $2, attempts = e.attempts + 1
FROM due, memory_threads h, memory_users u
WHERE e.thread_no = due.thread_no AND h.thread_no = e.thread_no AND u.user_no = h.user_no
RETURNING e.thread_no, e.workspace_id, u.user_id, h.thread_id, h.implicit, h.extracted_seq, e.wanted, e.attempts;

-- name: unread_passages
-- What was said in some threads, each behind a place of its own, in order, a bounded number of each thread.
SELECT w.thread_no, t.* FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS w (thread_no, workspace_id, seq)
CROSS JOIN LATERAL (
    SELECT id, seq, kind, role, name, agent_id, app_id, content, created_at FROM memory_turns
    WHERE thread_no = w.thread_no AND workspace_id = w.workspace_id AND seq > w.seq
        AND kind IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL
    ORDER BY seq LIMIT $4
) t
ORDER BY w.thread_no, t.seq;

-- name: read_up_to
-- Note how far some threads were read; they are locked in the order of `touch_threads`, which writes them meanwhile.
WITH held AS (
    SELECT h.thread_no, w.seq
    FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS w (thread_no, workspace_id, seq)
    JOIN memory_threads h ON h.thread_no = w.thread_no AND h.workspace_id = w.workspace_id AND h.extracted_seq < w.seq
    ORDER BY h.user_no, h.thread_id FOR NO KEY UPDATE OF h
)
UPDATE memory_threads h SET extracted_seq = held.seq FROM held
WHERE h.thread_no = held.thread_no AND h.workspace_id = ANY($2::text[]);

-- name: end_extractions
-- Nothing more to do in these threads, unless new turns came meanwhile; locked in the order of `queue_extractions`.
WITH held AS (
    SELECT e.thread_no
    FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS w (thread_no, workspace_id, wanted)
    JOIN memory_extractions e ON e.thread_no = w.thread_no AND e.workspace_id = w.workspace_id AND e.wanted = w.wanted
    ORDER BY e.thread_no FOR UPDATE OF e
)
DELETE FROM memory_extractions e USING held
WHERE e.thread_no = held.thread_no AND e.workspace_id = ANY($2::text[]);

-- name: go_on_later
-- What is left of these threads is to be read on: give them back, due as they are or at once.
WITH held AS (
    SELECT e.thread_no FROM unnest($1::bigint[], $2::text[]) AS w (thread_no, workspace_id)
    JOIN memory_extractions e ON e.thread_no = w.thread_no AND e.workspace_id = w.workspace_id
    ORDER BY e.thread_no FOR UPDATE OF e
)
UPDATE memory_extractions e SET lease_until = NULL, attempts = 0, first_at = $3 FROM held
WHERE e.thread_no = held.thread_no AND e.workspace_id = ANY($2::text[]);

-- name: try_again_later
-- An attempt failed: the thread is due again at a moment, or given up ($4).
UPDATE memory_extractions SET lease_until = NULL, due_at = $3, failed_at = $4, error = $5
WHERE thread_no = $1 AND workspace_id = $2;

-- name: extraction_backlog
-- How many threads wait, and since when the oldest does.
-- cross-workspace: one figure for the whole service
SELECT count(*) AS waiting, min(first_at) AS oldest FROM memory_extractions WHERE failed_at IS NULL;

-- name: purge_failed_extractions
-- Forget threads that were given up before a moment.
-- cross-workspace: retention holds for the whole service
DELETE FROM memory_extractions WHERE failed_at < $1;

-- name: thread_exists
-- Whether a thread is still there.
SELECT thread_no FROM memory_threads WHERE thread_no = $1 AND workspace_id = $2;

-- name: extraction_spent
-- What a workspace's facts have cost on a day, in nano-USD.
SELECT coalesce(sum(nano), 0) FROM memory_extraction_costs WHERE workspace_id = $1 AND day = $2;

-- name: add_extraction_cost
-- A model was asked for facts.
INSERT INTO memory_extraction_costs AS c (workspace_id, day, nano) VALUES ($1, $2, $3)
ON CONFLICT (workspace_id, day) DO UPDATE SET nano = c.nano + excluded.nano;

-- name: purge_extraction_costs
-- Forget what facts cost before a day; the ledger has the calls.
-- cross-workspace: retention holds for the whole service
DELETE FROM memory_extraction_costs WHERE day < $1;
