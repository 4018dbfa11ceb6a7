-- name: count_feeds
-- How many feeds a workspace has.
SELECT count(*) FROM alerting_feeds WHERE workspace_id = $1;

-- name: insert_feed
-- Keep a feed.
INSERT INTO alerting_feeds (workspace_id, id, kind, subject, secret_hash, created_at, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: page_of_feeds
-- A page of a workspace's feeds, by id.
SELECT workspace_id, id, kind, subject, secret_hash, created_at, created_by, rotated_at, expires_at, read_at
FROM alerting_feeds WHERE workspace_id = $1 AND id > $2 ORDER BY id LIMIT $3;

-- name: rotate_feed
-- Give a feed another secret: the address before stops to work.
UPDATE alerting_feeds SET secret_hash = $3, rotated_at = $4 WHERE workspace_id = $1 AND id = $2
RETURNING workspace_id, id, kind, subject, secret_hash, created_at, created_by, rotated_at, expires_at, read_at;

-- name: drop_feed
-- Revoke a feed.
DELETE FROM alerting_feeds WHERE workspace_id = $1 AND id = $2;

-- name: feed_of_token
-- The feed that a token names.
-- cross-workspace: whoever has the secret reads this one feed; the id alone opens nothing.
SELECT workspace_id, id, kind, subject, secret_hash, created_at, created_by, rotated_at, expires_at, read_at
FROM alerting_feeds WHERE id = $1;

-- name: mark_read
-- Keep when a feed was read last, to the hour.
UPDATE alerting_feeds SET read_at = $3
WHERE workspace_id = $1 AND id = $2 AND (read_at IS NULL OR read_at < $3::timestamptz - interval '1 hour');

-- name: schedules_changed
-- When each schedule of a workspace was written last.
SELECT id, updated_at FROM alerting_documents WHERE workspace_id = $1 AND kind = 'schedules';

-- name: purge_feeds
-- Delete feeds that expired long ago.
-- cross-workspace: retention is the same for everybody.
DELETE FROM alerting_feeds WHERE id IN (SELECT id FROM alerting_feeds WHERE expires_at < $1 LIMIT $2);
