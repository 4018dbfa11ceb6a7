-- name: insert_session
-- Begin a session.
INSERT INTO sessions (id, hash, account_id, way, created_at, seen_at, expires_at, client, agent, known)
VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9);

-- name: session_by_hash
-- The session that a token opens, ended ones too.
SELECT * FROM sessions WHERE hash = $1;

-- name: sessions_of
-- The sessions of an account that have not ended, newest first.
SELECT * FROM sessions
WHERE account_id = $1 AND ended_at IS NULL AND expires_at > $2 AND seen_at > $3 ORDER BY created_at DESC LIMIT $4;

-- name: touch_session
-- Note that a session was used, from where, and whether its client looks like another one.
UPDATE sessions SET seen_at = $2, client = $3, agent = $4, flagged_at = coalesce(flagged_at, $5)
WHERE id = $1 AND ended_at IS NULL;

-- name: renew_session
-- Give a session another token, take its client for its owner's, and unflag it.
UPDATE sessions SET hash = $2, seen_at = $3, client = $4, agent = $5, known = $6, flagged_at = NULL
WHERE id = $1 AND ended_at IS NULL RETURNING id;

-- name: end_session
-- End one session of an account; says whether it had not ended before.
UPDATE sessions SET ended_at = $3, ended_reason = $4
WHERE id = $1 AND account_id = $2 AND ended_at IS NULL RETURNING id;

-- name: end_sessions
-- End the sessions of an account, one of them excepted; gives the ids of those that had not ended before.
UPDATE sessions SET ended_at = $3, ended_reason = $4
WHERE account_id = $1 AND id <> $2 AND ended_at IS NULL RETURNING id;

-- name: end_oldest
-- End the sessions of an account beyond the newest few; gives their ids.
UPDATE sessions SET ended_at = $3, ended_reason = 'too many'
WHERE id IN (
    SELECT id FROM sessions WHERE account_id = $1 AND ended_at IS NULL ORDER BY created_at DESC, id DESC OFFSET $2
) RETURNING id;

-- name: purge_sessions
-- Forget a batch of sessions that ended before a moment.
DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE least(ended_at, expires_at) < $1 LIMIT $2);

-- name: take_attempt
-- Count an attempt before it is judged; no row while attempts are blocked. From the $4th on each doubles the next wait.
INSERT INTO login_attempts AS a (subject, failures, blocked_until, last_at) VALUES ($1, 1, $2, $2)
ON CONFLICT (subject) DO UPDATE SET
    failures = CASE WHEN a.last_at < $3 THEN 1 ELSE a.failures + 1 END,
    blocked_until = CASE
        WHEN a.last_at < $3 OR a.failures + 1 < $4::integer THEN $2
        ELSE $2 + make_interval(secs => least($5::float8, power(2, least(a.failures + 1 - $4::integer, 30))))
    END,
    last_at = $2
WHERE a.blocked_until <= $2 RETURNING failures, blocked_until;

-- name: blocked_until
-- Until when attempts are blocked.
SELECT blocked_until FROM login_attempts WHERE subject = $1;

-- name: forgive_attempts
-- Forget the failures on an account after a good proof.
DELETE FROM login_attempts WHERE subject = $1;

-- name: give_attempt_back
-- Take one attempt back that was no failure.
UPDATE login_attempts SET failures = greatest(failures - 1, 0) WHERE subject = $1;

-- name: purge_attempts
-- Forget a batch of attempts from before a moment, and of single failures from before a later one.
DELETE FROM login_attempts WHERE subject IN (
    SELECT subject FROM login_attempts WHERE last_at < $1 OR (last_at < $2 AND failures < 3) LIMIT $3
);
