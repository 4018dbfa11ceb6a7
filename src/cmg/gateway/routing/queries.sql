-- name: note_sync
-- Write down how a sync went; a failed one keeps the moment of the last that worked. Locks the upstream's row.
INSERT INTO model_syncs AS s (upstream, synced_at, attempted_at, error)
VALUES ($1, CASE WHEN $3::text IS NULL THEN $2::timestamptz END, $2, $3)
ON CONFLICT (upstream) DO UPDATE
SET synced_at = coalesce(excluded.synced_at, s.synced_at), attempted_at = excluded.attempted_at, error = excluded.error;

-- name: keep_models
-- Take over what an upstream lists: names, prices as JSON, context lengths and times of creation, in columns.
INSERT INTO models (upstream, model, pricing, context_length, created, first_seen_at, last_seen_at)
SELECT $1, listed.model, listed.pricing::jsonb, listed.context_length, listed.created, $6, $6
FROM unnest($2::text[], $3::text[], $4::integer[], $5::bigint[]) AS listed (model, pricing, context_length, created)
ON CONFLICT (upstream, model) DO UPDATE
SET pricing = excluded.pricing, context_length = excluded.context_length, created = excluded.created,
    last_seen_at = excluded.last_seen_at, vanished_at = NULL;

-- name: mark_vanished
-- Mark the models of an upstream that the sync of that moment did not list.
UPDATE models SET vanished_at = $2 WHERE upstream = $1 AND vanished_at IS NULL AND last_seen_at <> $2;

-- name: purge_models
-- Delete models of an upstream that vanished long ago, and those of upstreams that nobody has asked for long.
DELETE FROM models
WHERE (upstream = $1 AND vanished_at < $2) OR upstream IN (SELECT upstream FROM model_syncs WHERE attempted_at < $3);

-- name: purge_syncs
-- Delete the notes on upstreams that nobody has asked for long.
DELETE FROM model_syncs WHERE attempted_at < $1;

-- name: all_models
-- The whole catalogue, vanished models included.
SELECT upstream, model, pricing::text AS pricing, context_length, created, first_seen_at, vanished_at FROM models
ORDER BY upstream, model;

-- name: all_syncs
-- How the last sync of each upstream went.
SELECT upstream, synced_at, attempted_at, error FROM model_syncs ORDER BY upstream;
