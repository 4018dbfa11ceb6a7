-- name: summary_of
-- The summary of one user's thread.
SELECT s.lines::text AS lines, s.told FROM memory_summaries s
JOIN memory_threads h USING (thread_no) JOIN memory_users u USING (user_no)
WHERE s.workspace_id = $1 AND u.workspace_id = $1 AND u.user_id = $2 AND h.thread_id = $3;

-- name: summary_by_number
-- The summary of a thread, and how far the thread was read for it.
SELECT lines::text AS lines, told, up_to_seq FROM memory_summaries WHERE thread_no = $1 AND workspace_id = $2;

-- name: unsummarised
-- What was said in a thread behind a place, in order, a bounded number; with the tokens of all that is behind it.
SELECT id, seq, kind, role, name, agent_id, app_id, content, created_at, recorded_at, sum(tokens) OVER () AS tokens
FROM (
    SELECT * FROM memory_turns
    WHERE thread_no = $1 AND workspace_id = $2 AND seq > $3 AND kind = 'message' AND retired_at IS NULL
    ORDER BY seq LIMIT $4
) behind ORDER BY seq;

-- name: still_said
-- How many turns of a thread lie behind a place up to another one, and when the newest of them was stored or edited.
SELECT count(*) AS turns, max(recorded_at) AS newest FROM memory_turns
WHERE thread_no = $1 AND workspace_id = $2 AND seq > $3 AND seq <= $4 AND kind = 'message' AND retired_at IS NULL;

-- name: keep_summary
-- Store a thread's summary; its user is held, and the thread is there.
INSERT INTO memory_summaries (thread_no, workspace_id, up_to_seq, lines, told, updated_at)
SELECT thread_no, workspace_id, $3, $4::text::jsonb, $5, $6 FROM memory_threads
WHERE thread_no = $1 AND workspace_id = $2
ON CONFLICT (thread_no) DO UPDATE SET
    up_to_seq = excluded.up_to_seq, lines = excluded.lines, told = excluded.told, updated_at = excluded.updated_at;
