-- name: hold_users
-- Make the users that are new and hold the rows of all until the transaction ends, always in the same order.
-- A new user is the key's ($4; null: everybody's) who names it first.
INSERT INTO memory_users (workspace_id, user_id, updated_at, key_id)
SELECT workspace_id, user_id, $3, key_id
FROM unnest($1::text[], $2::text[], $4::text[]) AS wanted (workspace_id, user_id, key_id)
ORDER BY workspace_id, user_id
ON CONFLICT (workspace_id, user_id) DO UPDATE SET updated_at = greatest(memory_users.updated_at, excluded.updated_at)
RETURNING workspace_id, user_id, user_no, key_id;

-- name: known_user
-- Which key stored a user first, and what the user is called in the audit trail.
SELECT key_id, subject FROM memory_users WHERE workspace_id = $1 AND user_id = $2;

-- name: touch_threads
-- Make the threads that are new and move the time of all; their users are held.
INSERT INTO memory_threads (workspace_id, user_no, thread_id, implicit, created_at, updated_at)
SELECT workspace_id, user_no, thread_id, implicit, $5, $5
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::boolean[]) AS wanted (workspace_id, user_no, thread_id, implicit)
ORDER BY user_no, thread_id
ON CONFLICT (user_no, thread_id) DO UPDATE SET updated_at = greatest(memory_threads.updated_at, excluded.updated_at)
RETURNING user_no, thread_id, thread_no;

-- name: known_turns
-- Which of these ids are stored already, and with which content; none for those that somebody deleted.
SELECT id, digest FROM memory_turns WHERE id = ANY($1::uuid[]) AND workspace_id = ANY($2::text[])
UNION ALL
SELECT item_id, NULL FROM memory_deleted d
WHERE item_id = ANY($1::uuid[]) AND workspace_id = ANY($2::text[])
    AND NOT EXISTS (SELECT FROM memory_turns t WHERE t.id = d.item_id);

-- name: add_turns
-- Store passages in the given order; the words of all lie in one array ($18), each row has its slice of it.
-- With an embedder ($23) they wait for their vectors; without one their users' vectors have a gap from now on.
WITH added AS (
    INSERT INTO memory_turns (id, user_no, thread_no, created_at, recorded_at, digest, part, length, tokens, note_tokens,
        workspace_id, message_id, kind, role, name, agent_id, app_id, terms, metadata, content)
    SELECT id, user_no, thread_no, created_at, $21, digest, part, length, tokens, note_tokens,
        workspace_id, message_id, kind, role, name, agent_id, app_id,
        ($18::bigint[])[first_term : last_term], metadata, content
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::int[], $7::int[], $8::int[],
        $9::int[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[],
        $17::text[], $19::int[], $20::int[], $22::jsonb[])
        WITH ORDINALITY AS given (id, user_no, thread_no, created_at, digest, part, length, tokens, note_tokens,
            workspace_id, message_id, kind, role, name, agent_id, app_id, content, first_term, last_term, metadata, place)
    ORDER BY place
    ON CONFLICT (id) DO NOTHING
    RETURNING seq, user_no, workspace_id, length
), queued AS (
    INSERT INTO memory_unembedded (seq, user_no, queued_at, due_at) SELECT seq, user_no, $21, $21 FROM added WHERE $23
), sums AS (
    SELECT user_no, workspace_id, count(*) AS turns, sum(length) AS length FROM added GROUP BY user_no, workspace_id
), counted AS (
    UPDATE memory_users u SET turns = u.turns + s.turns, length = u.length + s.length,
        vectors_whole = u.vectors_whole AND $23
    FROM sums s WHERE u.user_no = s.user_no AND u.workspace_id = s.workspace_id
)
SELECT count(*) FROM added;

-- name: add_operation
-- Note an ingest with what it stored, and the thread ($7, or null) whose facts are drawn.
INSERT INTO memory_operations (id, workspace_id, user_id, status, items, created_at, finished_at, thread_no)
VALUES ($1, $2, $3, $4, $5, $6, $6, (
    SELECT h.thread_no FROM memory_threads h JOIN memory_users u USING (user_no)
    WHERE u.workspace_id = $2 AND u.user_id = $3 AND h.thread_id = $7));

-- name: operation
-- One operation of the workspace; whether any of its passages waits for a vector, how many are refused one, and how far
-- the facts of its thread are: null when it asked for none.
SELECT o.id, o.user_id, u.key_id, o.status, o.items, o.error, o.created_at, o.finished_at, v.waiting, v.refused,
    CASE WHEN o.thread_no IS NULL THEN NULL WHEN e.thread_no IS NULL THEN 'done' WHEN e.failed_at IS NULL THEN 'queued'
        ELSE 'failed' END AS facts
FROM memory_operations o
LEFT JOIN memory_users u ON u.workspace_id = o.workspace_id AND u.user_id = o.user_id
LEFT JOIN memory_extractions e ON e.thread_no = o.thread_no
CROSS JOIN LATERAL (
    SELECT count(q.seq) > 0 AS waiting, count(r.seq) AS refused
    FROM jsonb_to_recordset(o.items) AS item (id uuid)
    JOIN memory_turns t ON t.id = item.id AND t.workspace_id = o.workspace_id
    LEFT JOIN memory_unembedded q ON q.seq = t.seq
    LEFT JOIN memory_unembeddable r ON r.user_no = t.user_no AND r.seq = t.seq
) v
WHERE o.id = $1 AND o.workspace_id = $2;

-- name: grounds
-- Of items with these ids: when each is true, and as JSON the passages that it was drawn from, in the order they were said.
-- As of a moment ($3, or null) what was given out had no end yet that lies before it, and none by which it was replaced.
SELECT t.id, t.valid_from, CASE WHEN t.valid_to <= $3 OR t.valid_to = t.retired_at THEN NULL ELSE t.valid_to END AS valid_to, (
        SELECT json_agg(json_build_object('thread_id', h.thread_id, 'message_id', s.message_id, 'role', s.role,
            'name', s.name, 'created_at', s.created_at) ORDER BY s.created_at, s.seq)
        FROM memory_turns s JOIN memory_threads h ON h.thread_no = s.thread_no
        WHERE s.id = ANY(f.sources) AND s.workspace_id = t.workspace_id) AS sources
FROM memory_turns t LEFT JOIN memory_facts f ON f.item_id = t.id
WHERE t.workspace_id = $1 AND t.id = ANY($2::uuid[]);

-- name: purge_operations
-- Delete operations that began before a moment, oldest first, a bounded number.
-- cross-workspace: retention holds for the whole service
DELETE FROM memory_operations
WHERE id IN (SELECT id FROM memory_operations WHERE created_at < $1 ORDER BY created_at LIMIT $2);

-- name: expired_users
-- The next users of a workspace, behind a number ($3), who said something that was stored before a moment.
SELECT u.user_no FROM memory_users u
WHERE u.workspace_id = $1 AND u.user_no > $3 AND EXISTS (
    SELECT FROM memory_turns t
    WHERE t.user_no = u.user_no AND t.recorded_at < $2 AND t.kind IN ('message', 'document', 'diff', 'log'))
ORDER BY u.user_no LIMIT $4;

-- name: purge_threads
-- Delete threads of a workspace that nobody has touched since a moment and that hold nothing any more, a bounded number.
DELETE FROM memory_threads WHERE thread_no IN (
    SELECT h.thread_no FROM memory_threads h
    WHERE h.workspace_id = $1 AND h.updated_at < $2
        AND NOT EXISTS (SELECT FROM memory_turns t WHERE t.thread_no = h.thread_no) LIMIT $3);

-- name: purge_users
-- Delete users of a workspace who said nothing since a moment and of whom nothing is kept any more, a bounded number.
-- A writer holds its user's row and moves its time, so nobody is taken away under one.
DELETE FROM memory_users WHERE user_no IN (
    SELECT u.user_no FROM memory_users u
    WHERE u.workspace_id = $1 AND u.updated_at < $2 AND u.turns <= 0
        AND NOT EXISTS (SELECT FROM memory_turns t WHERE t.user_no = u.user_no)
        AND NOT EXISTS (SELECT FROM memory_threads h WHERE h.user_no = u.user_no)
        AND NOT EXISTS (SELECT FROM memory_deleted d WHERE d.user_no = u.user_no)
    LIMIT $3)
    AND updated_at < $2;
