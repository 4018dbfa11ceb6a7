-- name: reserve
-- Reserve an idempotency key; also one whose call never ended, or whose answer is too old to be given again.
INSERT INTO idempotent_calls AS c
    (workspace_id, key_id, idempotency_key, body_hash, reservation, state, created_at, user_id)
VALUES ($1, $2, $3, $4, $5, 'pending', $6, $9)
ON CONFLICT (workspace_id, key_id, idempotency_key) DO UPDATE
SET body_hash = excluded.body_hash, reservation = excluded.reservation, state = 'pending',
    created_at = excluded.created_at, user_id = excluded.user_id, done_at = NULL, status = NULL, stream = NULL, headers = NULL, body = NULL
WHERE (c.state = 'pending' AND c.created_at < $7) OR (c.state = 'done' AND c.created_at < $8)
RETURNING reservation;

-- name: find_call
-- The call that holds an idempotency key, in flight or with its answer.
SELECT state, body_hash, status, stream, headers::text AS headers, body, created_at FROM idempotent_calls
WHERE workspace_id = $1 AND key_id = $2 AND idempotency_key = $3;

-- name: renew_calls
-- Calls in flight are so still: `created_at` is when somebody last said so.
UPDATE idempotent_calls AS c SET created_at = $5
FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[]) AS held (workspace_id, key_id, idempotency_key, reservation)
WHERE c.workspace_id = held.workspace_id AND c.key_id = held.key_id AND c.idempotency_key = held.idempotency_key
    AND c.reservation = held.reservation AND c.state = 'pending';

-- name: finish_call
-- Store the answer under the reservation that was made for it; nothing when somebody else took that over.
UPDATE idempotent_calls
SET state = 'done', done_at = $5, status = $6, stream = $7, headers = $8::text::jsonb, body = $9
WHERE workspace_id = $1 AND key_id = $2 AND idempotency_key = $3 AND reservation = $4 AND state = 'pending';

-- name: drop_call
-- Give a reservation back: the next call with the idempotency key is a new one.
DELETE FROM idempotent_calls
WHERE workspace_id = $1 AND key_id = $2 AND idempotency_key = $3 AND reservation = $4 AND state = 'pending';

-- name: purge_calls
-- Delete a bounded number of old calls.
-- cross-workspace: upkeep of the whole table.
DELETE FROM idempotent_calls WHERE (workspace_id, key_id, idempotency_key) IN (
    SELECT workspace_id, key_id, idempotency_key FROM idempotent_calls WHERE created_at < $1
    ORDER BY created_at LIMIT $2
);

-- name: erase_calls
-- Delete the calls of a user, answered or in flight.
DELETE FROM idempotent_calls WHERE workspace_id = $1 AND user_id = $2;

-- name: call_users
-- Every user whom a stored call names.
SELECT DISTINCT user_id FROM idempotent_calls WHERE workspace_id = $1 AND user_id IS NOT NULL;
