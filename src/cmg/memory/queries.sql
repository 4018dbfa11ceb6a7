-- name: hold_users
-- Make the users that are new and hold the rows of all until the transaction ends, always in the same order.
INSERT INTO memory_users (workspace_id, user_id, updated_at)
SELECT workspace_id, user_id, $3 FROM unnest($1::text[], $2::text[]) AS wanted (workspace_id, user_id)
ORDER BY workspace_id, user_id
ON CONFLICT (workspace_id, user_id) DO UPDATE SET updated_at = greatest(memory_users.updated_at, excluded.updated_at)
RETURNING workspace_id, user_id, user_no;

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
    RETURNING user_no, workspace_id, length
), sums AS (
    SELECT user_no, workspace_id, count(*) AS turns, sum(length) AS length FROM added GROUP BY user_no, workspace_id
), counted AS (
    UPDATE memory_users u SET turns = u.turns + s.turns, length = u.length + s.length
    FROM sums s WHERE u.user_no = s.user_no AND u.workspace_id = s.workspace_id
)
SELECT count(*) FROM added;

-- name: search
-- One user's passages for the given words by BM25, best first, as many as fit the budget and the limit.
-- Arrays come as text: the driver asks the server for the codec of an array on every new connection, which takes long.
-- One JSON value: the process that asks decodes it at a tenth of the price of rows.
-- Words that stand in a large share of the user's newest turns lead to no candidates, they only add to the score.
WITH owner AS MATERIALIZED (
    SELECT user_no, turns, greatest(length, 1)::float8 / greatest(turns, 1) AS usual
    FROM memory_users WHERE workspace_id = $1 AND user_id = $2
), newest AS MATERIALIZED (
    SELECT t.seq, t.thread_no, t.length, t.terms
    FROM owner o CROSS JOIN LATERAL (
        SELECT seq, thread_no, length, terms FROM memory_turns WHERE user_no = o.user_no ORDER BY seq DESC LIMIT 64
    ) t
), judged AS (
    SELECT w.term, w.weight,
        o.turns * (SELECT count(*) FROM newest n WHERE w.term = ANY(n.terms))
            / greatest((SELECT count(*) FROM newest), 1)::float8 AS expected
    FROM owner o CROSS JOIN unnest($3::text::bigint[], $4::text::float8[]) AS w (term, weight)
), asked AS MATERIALIZED (
    SELECT term, weight, expected FROM judged ORDER BY expected, weight DESC LIMIT 16
), telling AS MATERIALIZED (
    SELECT array_agg(term) AS terms FROM asked WHERE expected <= 300
), candidates AS MATERIALIZED (
    (SELECT t.seq, t.thread_no, t.length, t.terms
    FROM memory_turns t
    WHERE t.terms && (SELECT terms FROM telling) AND t.workspace_id = $1
        AND t.user_no + 0 = (SELECT user_no FROM owner)
    LIMIT 3000)
    UNION ALL
    SELECT seq, thread_no, length, terms FROM newest WHERE (SELECT terms FROM telling) IS NULL
), postings AS MATERIALIZED (
    SELECT c.seq, c.thread_no, c.length, a.term, a.weight, a.expected,
        cardinality(array_positions(c.terms, a.term)) AS count
    FROM candidates c JOIN asked a ON a.term = ANY(c.terms)
), frequencies AS MATERIALIZED (
    SELECT p.term, ln(1 + greatest(o.turns - d.count + 0.5, 0.5) / (d.count + 0.5)) * p.weight AS weight
    FROM (SELECT term, weight, expected, count(*) AS found FROM postings GROUP BY term, weight, expected) p
    CROSS JOIN owner o
    CROSS JOIN LATERAL (SELECT greatest(p.found, p.expected) AS count) d
), scores AS (
    SELECT p.seq, p.thread_no, sum(f.weight * p.count * 1.9 / (p.count + 0.9 * (0.6 + 0.4 * p.length / o.usual))) AS own
    FROM postings p JOIN frequencies f USING (term) CROSS JOIN owner o
    GROUP BY p.seq, p.thread_no
), ranked AS (
    SELECT seq, own + 0.3 * max(own) OVER (PARTITION BY thread_no) AS score
    FROM scores WHERE own >= $8 * (SELECT max(own) FROM scores)
    ORDER BY score DESC, seq DESC LIMIT CASE WHEN $9 THEN 3000 ELSE $5 END
), narrowed AS (
    SELECT t.id, r.score, t.tokens, t.note_tokens, t.kind, t.role, t.name, h.thread_id, h.implicit, t.message_id, t.seq,
        t.created_at, t.content,
        t.role = 'user' AS by_user,
        sum(CASE WHEN $7 THEN t.note_tokens ELSE t.tokens END) OVER before AS used
    FROM ranked r
    JOIN memory_turns t ON t.seq = r.seq AND t.user_no = (SELECT user_no FROM owner)
    JOIN memory_threads h ON h.thread_no = t.thread_no
    WHERE ($6::bigint IS NULL OR CASE WHEN $7 THEN t.note_tokens ELSE t.tokens END <= $6)
        AND (NOT $9 OR (
            ($10::jsonb IS NULL OR $10 ? t.kind) AND ($11::text IS NULL OR h.thread_id = $11)
            AND ($12::text IS NULL OR t.agent_id = $12) AND ($13::text IS NULL OR t.app_id = $13)
            AND ($14::text IS NULL OR t.role = $14) AND ($15::timestamptz IS NULL OR t.created_at >= $15)
            AND ($16::timestamptz IS NULL OR t.created_at < $16) AND ($17::timestamptz IS NULL OR t.recorded_at <= $17)
            AND ($18::jsonb IS NULL OR t.metadata @> $18)))
    WINDOW before AS (
        ORDER BY r.score DESC, t.role = 'user' DESC, r.seq DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW)
)
SELECT coalesce(json_agg(json_build_array(id, score, tokens, note_tokens, kind, role, name, thread_id, implicit, message_id,
    seq, extract(epoch FROM created_at), content) ORDER BY score DESC, by_user DESC, seq DESC), '[]')
FROM (
    SELECT * FROM narrowed WHERE $6 IS NULL OR coalesce(used, 0) < $6
    ORDER BY score DESC, by_user DESC, seq DESC LIMIT $5
) given;

-- name: neighbours
-- The passages right before and after the given ones ($3) in their threads, in the order of the given ones, as a search's.
SELECT coalesce(json_agg(json_build_array(t.id, 0, t.tokens, t.note_tokens, t.kind, t.role, t.name, h.thread_id, h.implicit,
    t.message_id, t.seq, extract(epoch FROM t.created_at), t.content) ORDER BY given.place, near.step DESC), '[]')
FROM memory_users u
CROSS JOIN unnest($3::text::bigint[]) WITH ORDINALITY AS given (seq, place)
JOIN memory_turns hit ON hit.user_no = u.user_no AND hit.seq = given.seq
CROSS JOIN LATERAL (
    (SELECT seq, 1 AS step FROM memory_turns WHERE thread_no = hit.thread_no AND seq > hit.seq
        AND kind IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL ORDER BY seq LIMIT 1)
    UNION ALL
    (SELECT seq, -1 FROM memory_turns WHERE thread_no = hit.thread_no AND seq < hit.seq
        AND kind IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL ORDER BY seq DESC LIMIT 1)
) near
JOIN memory_turns t ON t.user_no = u.user_no AND t.seq = near.seq
JOIN memory_threads h ON h.thread_no = t.thread_no
WHERE u.workspace_id = $1 AND u.user_id = $2;

-- name: add_operation
-- Note an ingest with what it stored, and the thread ($7, or null) whose facts are drawn.
INSERT INTO memory_operations (id, workspace_id, user_id, status, items, created_at, finished_at, thread_no)
VALUES ($1, $2, $3, $4, $5, $6, $6, (
    SELECT h.thread_no FROM memory_threads h JOIN memory_users u USING (user_no)
    WHERE u.workspace_id = $2 AND u.user_id = $3 AND h.thread_id = $7));

-- name: operation
-- One operation of the workspace, and how far the facts of its thread are: null when it asked for none.
SELECT o.id, o.status, o.items, o.error, o.created_at, o.finished_at,
    CASE WHEN o.thread_no IS NULL THEN NULL WHEN e.thread_no IS NULL THEN 'done' WHEN e.failed_at IS NULL THEN 'queued'
        ELSE 'failed' END AS facts
FROM memory_operations o LEFT JOIN memory_extractions e USING (thread_no)
WHERE o.id = $1 AND o.workspace_id = $2;

-- name: purge_operations
-- Delete operations that began before a moment, oldest first, a bounded number.
-- cross-workspace: retention holds for the whole service
DELETE FROM memory_operations
WHERE id IN (SELECT id FROM memory_operations WHERE created_at < $1 ORDER BY created_at LIMIT $2);

-- name: expired_users
-- Users who said something that was stored before a moment, a bounded number.
-- cross-workspace: retention holds for the whole service
SELECT DISTINCT user_no FROM (
    SELECT user_no FROM memory_turns
    WHERE recorded_at < $1 AND kind IN ('message', 'document', 'diff', 'log') LIMIT $2) old ORDER BY user_no;

-- name: purge_threads
-- Delete threads that nobody has touched since a moment and that hold nothing any more, a bounded number.
-- cross-workspace: retention holds for the whole service
DELETE FROM memory_threads WHERE thread_no IN (
    SELECT h.thread_no FROM memory_threads h
    WHERE h.updated_at < $1 AND NOT EXISTS (SELECT FROM memory_turns t WHERE t.thread_no = h.thread_no) LIMIT $2);
