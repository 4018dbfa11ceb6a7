-- name: key
-- One key; without a workspace, whichever it is in.
SELECT * FROM api_keys_whole WHERE id = $1 AND ($2::text IS NULL OR workspace_id = $2);

-- name: lock_key
-- Hold a key's row until the transaction ends, so that changes of one key come one after the other.
SELECT id FROM api_keys WHERE id = $1 AND ($2::text IS NULL OR workspace_id = $2) FOR UPDATE;

-- name: keys_by_ids
-- Keys whose rows changed, for the snapshot.
-- cross-workspace: the snapshot decides which workspace a presented key belongs to.
SELECT * FROM api_keys_whole WHERE id = ANY($1::text[]) AND status <> 'revoked';

-- name: keys_after
-- The next keys in order of id, for the snapshot's full load.
-- cross-workspace: the snapshot decides which workspace a presented key belongs to.
SELECT * FROM api_keys_whole WHERE id > $1 AND status <> 'revoked' ORDER BY id LIMIT $2;

-- name: keys_of_workspace
-- A page of one workspace's keys, newest first.
SELECT * FROM api_keys_whole
WHERE workspace_id = $1 AND (created_at, id) < ($2::timestamptz, $3)
  AND status = ANY($4::text[]) AND ($5::text IS NULL OR owner = $5) AND ($6::text IS NULL OR $6 = ANY(tags))
ORDER BY created_at DESC, id DESC LIMIT $7;

-- name: keys_of_all
-- A page of every workspace's keys, newest first.
-- cross-workspace: callers with admin:all see every workspace.
SELECT * FROM api_keys_whole
WHERE (created_at, id) < ($1::timestamptz, $2)
  AND status = ANY($3::text[]) AND ($4::text IS NULL OR owner = $4) AND ($5::text IS NULL OR $5 = ANY(tags))
ORDER BY created_at DESC, id DESC LIMIT $6;

-- name: keys_of_origin
-- The keys that the service itself made, for one of its reasons.
-- cross-workspace: they are found by why they exist.
SELECT * FROM api_keys_whole WHERE origin = ANY($1::text[]) ORDER BY created_at LIMIT $2;

-- name: lock_first_keys
-- Several services that start at once on one database make the first keys one after the other.
SELECT pg_advisory_xact_lock(7083200003);

-- name: insert_key
-- Add a key.
INSERT INTO api_keys (
    id, workspace_id, name, status, suspended_reason, description, owner, tags, scopes, memory, memory_scope,
    models_allow, models_block, ip_allow, default_model, response_cache_s, limits, budget, expires_at, review_at,
    user_prefix, origin, created_at, updated_at
) VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17::text::jsonb, $18::text::jsonb, $19,
    $20, $21, $22, $23, $24
);

-- name: update_key
-- Write every setting of a key anew; id, workspace, origin and creation stay.
UPDATE api_keys SET
    name = $3, status = $4, suspended_reason = $5, description = $6, owner = $7, tags = $8, scopes = $9, memory = $10,
    memory_scope = $11, models_allow = $12, models_block = $13, ip_allow = $14, default_model = $15,
    response_cache_s = $16, limits = $17::text::jsonb, budget = $18::text::jsonb, expires_at = $19, review_at = $20,
    user_prefix = $21, updated_at = $22
WHERE id = $1 AND workspace_id = $2;

-- name: add_secret
-- Give a key one more secret.
INSERT INTO api_key_secrets (key_id, hash, valid_until, created_at) VALUES ($1, $2, NULL, $3)
ON CONFLICT (key_id, hash) DO UPDATE SET valid_until = NULL;

-- name: end_secrets
-- Let the secrets of a key end at a moment, those that would end sooner excepted.
UPDATE api_key_secrets SET valid_until = least(valid_until, $2::timestamptz)
WHERE key_id = $1 AND (valid_until IS NULL OR valid_until > $2);

-- name: drop_ended_secrets
-- Forget the secrets of a key that have ended.
DELETE FROM api_key_secrets WHERE key_id = $1 AND valid_until <= $2;

-- name: purge_secrets
-- Forget a batch of secrets that ended before a moment.
DELETE FROM api_key_secrets WHERE (key_id, hash) IN (
    SELECT key_id, hash FROM api_key_secrets WHERE valid_until < $1 LIMIT $2
);

-- name: purge_keys
-- Forget a batch of keys revoked before a moment; those the service made stay, or it would make them again.
-- cross-workspace: retention is the same for everybody.
DELETE FROM api_keys WHERE id IN (
    SELECT id FROM api_keys WHERE status = 'revoked' AND updated_at < $1 AND origin IN ('api', 'bootstrap') LIMIT $2
);

-- name: all_workspaces
-- The next workspaces in order of id, for the snapshot and for callers who see them all.
SELECT id, name, timezone, created_at, memory::text AS memory FROM workspaces WHERE id > $1 ORDER BY id LIMIT $2;

-- name: workspaces_by_ids
-- Workspaces whose rows changed, for the snapshot.
SELECT id, name, timezone, created_at, memory::text AS memory FROM workspaces WHERE id = ANY($1::text[]);

-- name: lock_workspace
-- One workspace, held until the transaction ends.
SELECT id, name, timezone, created_at, memory::text AS memory FROM workspaces WHERE id = $1 FOR UPDATE;

-- name: insert_workspace
-- Add a workspace; says whether the id was free.
INSERT INTO workspaces (id, name, timezone, created_at, updated_at, memory) VALUES ($1, $2, $3, $4, $4, $5::text::jsonb)
ON CONFLICT (id) DO NOTHING RETURNING id;

-- name: update_workspace
-- Change a workspace's settings.
UPDATE workspaces SET name = $2, timezone = $3, updated_at = $4, memory = $5::text::jsonb WHERE id = $1;
