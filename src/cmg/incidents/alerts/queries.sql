-- name: lock_watch
-- How far alerting was followed, for one process at a time: no row while another is at it.
SELECT generation FROM incident_watch FOR UPDATE SKIP LOCKED;

-- name: move_watch
-- It is followed up to here.
UPDATE incident_watch SET generation = $1;

-- name: known_group
-- The incident's group of this id.
SELECT group_id, incident_id, title, severity, labels, opened_at, acknowledged_at, resolved_at FROM incident_alerts
WHERE group_id = $1;

-- name: groups_of
-- The groups of some incidents.
SELECT group_id, incident_id, title, severity, labels, opened_at, acknowledged_at, resolved_at FROM incident_alerts
WHERE incident_id = ANY($1::bigint[]) ORDER BY opened_at, group_id LIMIT $2;

-- name: put_group
-- A group as it is now.
INSERT INTO incident_alerts (group_id, incident_id, title, severity, labels, opened_at, acknowledged_at, resolved_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (group_id) DO UPDATE SET title = excluded.title, severity = excluded.severity,
    acknowledged_at = excluded.acknowledged_at, resolved_at = excluded.resolved_at;
