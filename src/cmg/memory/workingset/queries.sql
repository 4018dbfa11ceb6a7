-- name: current_facts
-- A user's current facts as JSON: those found by search ($4), those of the thread ($3), and the newest others; each with
-- whether it is the thread's own. Looks at a bounded number of rows.
WITH owner AS MATERIALIZED (
    SELECT user_no FROM memory_users WHERE workspace_id = $1 AND user_id = $2
), thread AS MATERIALIZED (
    SELECT thread_no FROM memory_threads WHERE user_no = (SELECT user_no FROM owner) AND thread_id = $3
), candidates AS (
    SELECT id FROM memory_turns WHERE id = ANY($4::uuid[]) AND workspace_id = $1 AND user_no = (SELECT user_no FROM owner)
    UNION
    (SELECT id FROM memory_turns WHERE thread_no = (SELECT thread_no FROM thread)
        AND kind NOT IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL ORDER BY seq DESC LIMIT 300)
    UNION
    (SELECT id FROM memory_turns WHERE user_no = (SELECT user_no FROM owner) AND seq > (
            SELECT coalesce(min(seq), 0) FROM (SELECT seq FROM memory_turns
                WHERE user_no = (SELECT user_no FROM owner) ORDER BY seq DESC LIMIT 5000) newest)
        AND kind NOT IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL ORDER BY seq DESC LIMIT 300)
)
SELECT t.id, t.kind, t.content, t.tokens, t.salience, t.created_at, t.seq, f.value, f.sources,
    t.thread_no = (SELECT thread_no FROM thread) IS TRUE AS own
FROM candidates c JOIN memory_turns t USING (id) JOIN memory_facts f ON f.item_id = t.id
WHERE t.workspace_id = $1 AND t.kind NOT IN ('message', 'document', 'diff', 'log') AND t.retired_at IS NULL
    AND (t.valid_to IS NULL OR t.valid_to > $5) AND (t.expires_at IS NULL OR t.expires_at > $5);

-- name: thread_ends
-- The first message of a thread and the newest 40, in order.
WITH thread AS MATERIALIZED (
    SELECT h.thread_no FROM memory_threads h JOIN memory_users u USING (user_no)
    WHERE u.workspace_id = $1 AND u.user_id = $2 AND h.thread_id = $3
), said AS (
    (SELECT seq FROM memory_turns WHERE thread_no = (SELECT thread_no FROM thread) AND kind = 'message'
        AND role = 'user' AND retired_at IS NULL ORDER BY seq LIMIT 1)
    UNION
    (SELECT seq FROM memory_turns WHERE thread_no = (SELECT thread_no FROM thread) AND kind = 'message'
        AND retired_at IS NULL ORDER BY seq DESC LIMIT 40)
)
SELECT t.id, t.role, t.content, t.created_at FROM said JOIN memory_turns t
    ON t.seq = said.seq AND t.thread_no = (SELECT thread_no FROM thread)
WHERE t.workspace_id = $1 ORDER BY t.seq;
