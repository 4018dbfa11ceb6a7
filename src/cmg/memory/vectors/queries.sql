-- name: claim
-- Take passages that wait for a vector, the newest first, until a moment: whoever dies with them gives them back then.
-- cross-workspace: one queue serves the whole service
UPDATE memory_unembedded SET due_at = $2, attempts = attempts + 1
WHERE seq IN (
    SELECT seq FROM memory_unembedded WHERE due_at <= $1 ORDER BY seq DESC LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING user_no, seq, attempts;

-- name: give_back
-- Let claimed passages ($1) be tried again from a moment; those that were not at fault ($4) have not used an attempt.
-- cross-workspace: one queue serves the whole service
UPDATE memory_unembedded SET due_at = $2, attempts = attempts - CASE WHEN $4 THEN 1 ELSE 0 END
WHERE seq = ANY($1::bigint[]) AND due_at = $3;

-- name: set_aside
-- Note that a model ($3) refuses a passage, and take it out of the queue.
-- cross-workspace: one queue serves the whole service
WITH gone AS (
    DELETE FROM memory_unembedded WHERE seq = $2 RETURNING user_no, seq
)
INSERT INTO memory_unembeddable (user_no, model_no, seq, reason, since)
SELECT user_no, $3, seq, $4, $5 FROM gone WHERE user_no = $1
ON CONFLICT (user_no, model_no, seq) DO UPDATE SET reason = excluded.reason, since = excluded.since;

-- name: forget
-- Passages that were erased need no vector.
-- cross-workspace: one queue serves the whole service
DELETE FROM memory_unembedded WHERE seq = ANY($1::bigint[]);

-- name: surroundings
-- The given passages and those right before them that have a vector already (their window changed), each with its
-- neighbours in the thread. Facts and earlier versions have none and are nobody's.
-- cross-workspace: the background work embeds for everybody; nothing leaves its user's thread
WITH own AS MATERIALIZED (
    SELECT t.user_no, t.thread_no, t.seq,
        t.kind IN ('message', 'document', 'diff', 'log') AND t.retired_at IS NULL AS said
    FROM unnest($1::bigint[], $2::bigint[]) AS given (user_no, seq)
    JOIN memory_turns t ON t.user_no = given.user_no AND t.seq = given.seq
), wanted AS MATERIALIZED (
    SELECT user_no, thread_no, seq, said, true AS given FROM own
    UNION
    SELECT o.user_no, o.thread_no, p.seq, true, false
    FROM own o CROSS JOIN LATERAL (
        SELECT seq FROM memory_turns WHERE thread_no = o.thread_no AND seq < o.seq
            AND kind IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL ORDER BY seq DESC LIMIT 1
    ) p
    WHERE o.said AND p.seq <> ALL($2::bigint[]) AND EXISTS (
        SELECT FROM memory_vectors v WHERE v.user_no = o.user_no AND v.model_no = $3 AND v.seq = p.seq)
)
SELECT w.user_no, w.seq, w.given, t.name, t.content, p.name AS name_before, p.content AS content_before,
    n.name AS name_after, n.content AS content_after, coalesce(n.seq, 0) AS seq_after
FROM wanted w
JOIN memory_turns t ON t.user_no = w.user_no AND t.seq = w.seq
LEFT JOIN LATERAL (
    SELECT name, content FROM memory_turns WHERE w.said AND thread_no = w.thread_no AND seq < w.seq
        AND kind IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL ORDER BY seq DESC LIMIT 1
) p ON true
LEFT JOIN LATERAL (
    SELECT seq, name, content FROM memory_turns WHERE w.said AND thread_no = w.thread_no AND seq > w.seq
        AND kind IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL ORDER BY seq LIMIT 1
) n ON true
ORDER BY w.seq DESC;

-- name: hold_users
-- Hold users against writers and purges until the transaction ends, in the order that writers keep.
SELECT user_no FROM memory_users WHERE user_no = ANY($1::bigint[]) ORDER BY workspace_id, user_id FOR NO KEY UPDATE;

-- name: keep_vectors
-- Store vectors of passages that still exist, and take them from the queue if they are ours there, until $7: else their
-- text or a neighbour's is another by now. One that got a successor meanwhile, which its window does not hold and which
-- may not have seen it, is due again. Their users are held.
-- cross-workspace: the background work embeds for everybody
WITH given AS MATERIALIZED (
    SELECT g.user_no, g.seq, g.turn, g.surrounded, t.thread_no, u.vectors_indexed, u.vector_model_no,
        g.seq_after = coalesce((
            SELECT n.seq FROM memory_turns n
            WHERE t.kind IN ('message', 'document', 'diff', 'log') AND t.retired_at IS NULL
                AND n.thread_no = t.thread_no AND n.seq > g.seq
                AND n.kind IN ('message', 'document', 'diff', 'log') AND n.retired_at IS NULL
            ORDER BY n.seq LIMIT 1
        ), 0) AS settled
    FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[])
        AS g (user_no, seq, turn, surrounded, seq_after)
    JOIN memory_turns t ON t.user_no = g.user_no AND t.seq = g.seq
    JOIN memory_users u ON u.user_no = g.user_no
), kept AS (
    INSERT INTO memory_vectors (user_no, model_no, seq, thread_no, indexed, turn, "window")
    SELECT user_no, $1::int, seq, thread_no, vectors_indexed > 0, turn::halfvec, surrounded::halfvec FROM given
    WHERE turn IS NOT NULL
    ON CONFLICT (user_no, model_no, seq) DO UPDATE SET turn = excluded.turn, "window" = excluded."window"
), moved AS (
    UPDATE memory_vectors v SET "window" = g.surrounded::halfvec
    FROM given g WHERE g.turn IS NULL AND v.user_no = g.user_no AND v.model_no = $1 AND v.seq = g.seq
), done AS (
    DELETE FROM memory_unembedded q USING unnest($3::bigint[], $4::text[]) AS g (seq, turn)
    WHERE q.seq = g.seq AND g.turn IS NOT NULL AND q.due_at = $7
        AND NOT EXISTS (SELECT FROM given o WHERE o.seq = g.seq AND NOT o.settled)
), again AS (
    UPDATE memory_unembedded q SET due_at = q.queued_at
    FROM given g WHERE q.seq = g.seq AND g.turn IS NOT NULL AND NOT g.settled
)
UPDATE memory_users u SET vectors_whole = false
WHERE u.user_no = ANY($2::bigint[]) AND u.vectors_whole AND u.vector_model_no NOT IN (0, $1);

-- name: renew_vectors
-- Passages ($3) of a user, who is held, have another text or are about to go: so do their vectors and those of their
-- neighbours, whose windows hold them. What stays ($6: the passages too) waits for new ones since $4; without an embedder
-- ($5) the user's vectors have a gap from now on.
WITH own AS MATERIALIZED (
    SELECT seq, thread_no, kind IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL AS said
    FROM memory_turns WHERE id = ANY($3::uuid[]) AND user_no = $2 AND workspace_id = $1
), near AS MATERIALIZED (
    SELECT DISTINCT n.seq
    FROM own o CROSS JOIN LATERAL (
        (SELECT seq FROM memory_turns WHERE thread_no = o.thread_no AND seq > o.seq
            AND kind IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL ORDER BY seq LIMIT 1)
        UNION ALL
        (SELECT seq FROM memory_turns WHERE thread_no = o.thread_no AND seq < o.seq
            AND kind IN ('message', 'document', 'diff', 'log') AND retired_at IS NULL ORDER BY seq DESC LIMIT 1)
    ) n
    WHERE o.said AND NOT EXISTS (SELECT FROM own WHERE own.seq = n.seq)
), gone AS (
    DELETE FROM memory_vectors v USING (SELECT seq FROM own UNION ALL SELECT seq FROM near) m
    WHERE v.user_no = $2 AND v.seq = m.seq
), refused AS (
    DELETE FROM memory_unembeddable r USING own WHERE r.user_no = $2 AND r.seq = own.seq
), settled AS (
    DELETE FROM memory_unembedded q USING own WHERE q.seq = own.seq AND NOT $6
), queued AS (
    INSERT INTO memory_unembedded AS q (seq, user_no, queued_at, due_at)
    SELECT seq, $2, $4, $4 FROM (SELECT seq FROM near UNION ALL SELECT seq FROM own WHERE $6) m WHERE $5
    ON CONFLICT (seq) DO UPDATE SET due_at = excluded.due_at, attempts = 0
)
UPDATE memory_users SET vectors_whole = false WHERE user_no = $2 AND workspace_id = $1 AND NOT $5;

-- name: begin_indexing
-- Users of these who have grown to a size from which on their vectors are looked up in an index.
-- cross-workspace: the background work embeds for everybody
UPDATE memory_users SET vectors_indexed = 1
WHERE user_no = ANY($1::bigint[]) AND vectors_indexed = 0 AND turns >= $2;

-- name: user_being_indexed
-- A user whose older vectors have to be moved into the index.
-- cross-workspace: the background work embeds for everybody
SELECT user_no FROM memory_users WHERE vectors_indexed = 1 ORDER BY user_no LIMIT 1;

-- name: index_vectors
-- Move a bounded number of a user's vectors into the index.
UPDATE memory_vectors SET indexed = true
WHERE user_no = $1 AND (model_no, seq) IN (
    SELECT model_no, seq FROM memory_vectors WHERE user_no = $1 AND NOT indexed LIMIT $2);

-- name: end_indexing
-- All of the user's vectors are in the index.
-- cross-workspace: the background work embeds for everybody
UPDATE memory_users SET vectors_indexed = 2 WHERE user_no = $1;

-- name: user_to_embed
-- A user who is not known to have all vectors of a model ($1); with $2 only users without those of another model.
-- cross-workspace: the background work embeds for everybody
(SELECT user_no FROM memory_users WHERE NOT vectors_whole AND vector_model_no IN (0, $1) LIMIT 1)
UNION ALL
(SELECT user_no FROM memory_users WHERE NOT $2 AND NOT vectors_whole AND vector_model_no NOT IN (0, $1) LIMIT 1)
UNION ALL
(SELECT user_no FROM memory_users WHERE NOT $2 AND vectors_whole AND vector_model_no < $1 LIMIT 1)
UNION ALL
(SELECT user_no FROM memory_users WHERE NOT $2 AND vectors_whole AND vector_model_no > $1 LIMIT 1)
LIMIT 1;

-- name: missing
-- A user's newest passages that have no vector of a model and are not refused by it, a bounded number.
-- cross-workspace: the background work embeds for everybody
SELECT t.seq FROM memory_turns t
WHERE t.user_no = $1
    AND NOT EXISTS (SELECT FROM memory_vectors v WHERE v.user_no = $1 AND v.model_no = $2 AND v.seq = t.seq)
    AND NOT EXISTS (SELECT FROM memory_unembeddable r WHERE r.user_no = $1 AND r.model_no = $2 AND r.seq = t.seq)
ORDER BY t.seq DESC LIMIT $3;

-- name: enqueue
-- Put a user's passages into the queue.
INSERT INTO memory_unembedded (seq, user_no, queued_at, due_at) SELECT seq, $1, $3, $3 FROM unnest($2::bigint[]) AS given (seq)
ON CONFLICT (seq) DO NOTHING;

-- name: switch_user
-- From now on the user, who is held, is searched by this model.
-- cross-workspace: the background work embeds for everybody
UPDATE memory_users SET vector_model_no = $2, vectors_whole = true WHERE user_no = $1;

-- name: drop_user_vectors
-- Delete a bounded number of a user's vectors of other models.
DELETE FROM memory_vectors WHERE user_no = $1 AND (model_no, seq) IN (
    SELECT model_no, seq FROM memory_vectors WHERE user_no = $1 AND model_no <> $2 LIMIT $3);

-- name: register_model
-- The number of a model, which is now the current one.
INSERT INTO memory_models (name, dimension, used_at) VALUES ($1, $2, $3)
ON CONFLICT (name, dimension) DO UPDATE SET used_at = excluded.used_at, retired_at = NULL
RETURNING model_no;

-- name: models
-- Models that are not retired, the one that became current last first.
SELECT model_no, name, dimension FROM memory_models WHERE retired_at IS NULL ORDER BY used_at DESC, model_no DESC;

-- name: model_in_use
-- Whether any user is searched by a model.
-- cross-workspace: the background work embeds for everybody
SELECT EXISTS (SELECT FROM memory_users WHERE vectors_whole AND vector_model_no = $1)
    OR EXISTS (SELECT FROM memory_users WHERE NOT vectors_whole AND vector_model_no = $1);

-- name: drop_model_vectors
-- Delete a bounded number of the vectors of a model that nobody is searched by.
DELETE FROM memory_vectors WHERE (user_no, model_no, seq) IN (
    SELECT user_no, model_no, seq FROM memory_vectors WHERE model_no = $1 LIMIT $2);

-- name: retire_model
-- A model is out of use: what it refused matters no more.
WITH refused AS (
    DELETE FROM memory_unembeddable WHERE model_no = $1
)
UPDATE memory_models SET retired_at = $2 WHERE model_no = $1;

-- name: waiting
-- How many passages wait for a vector (counted up to a bound) and since when the oldest.
SELECT (SELECT count(*) FROM (SELECT FROM memory_unembedded LIMIT $1) counted) AS count,
    (SELECT queued_at FROM memory_unembedded ORDER BY seq LIMIT 1) AS oldest;

-- name: lock_indexes
-- Try to be the one who makes or removes indexes, until the session ends.
SELECT pg_try_advisory_lock($1);

-- name: index_is_whole
-- Whether an index is there (null: no) and was built to its end.
SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1);

-- name: expected_users
-- Who said something last, with how much each said: as many as fit in a share ($2) of the server's memory, where the
-- server started after a moment ($1); else none.
-- cross-workspace: the server's memory holds everybody's
SELECT user_no, turns FROM (
    SELECT user_no, turns, sum(turns) OVER (ORDER BY updated_at DESC, user_no) AS so_far
    FROM memory_users
    WHERE turns > 0 AND pg_postmaster_start_time() > $1
) users
WHERE so_far * (
    SELECT (pg_relation_size('memory_turns') + pg_relation_size('memory_vectors')) / greatest(sum(turns), 1)
    FROM memory_users
) < $2::float8 * pg_size_bytes(current_setting('shared_buffers'))
ORDER BY so_far;

-- name: read_turns
-- Read all that is stored of these users' turns, by the indexes that searches use.
-- cross-workspace: what is read goes nowhere
SELECT sum(length) FROM memory_turns WHERE user_no = ANY($1::bigint[]);

-- name: read_vectors
-- Read all of these users' vectors, likewise.
-- cross-workspace: what is read goes nowhere
SELECT count(*) FILTER (WHERE indexed) FROM memory_vectors WHERE user_no = ANY($1::bigint[]);
