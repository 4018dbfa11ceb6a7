-- name: add_incident
-- A new incident; gives its number.
INSERT INTO incidents (
    severity, status, title, summary, origin, public, public_title, components, labels, started_at, detected_at,
    declared_at, acknowledged_at, triaged_at, identified_at, resolved_at, closed_at, reviewed_at, commander,
    communications, scribe, business_impact, reputation, cause, factors, lessons, impact, created_by, updated_at
) VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,
    $26, $27, $28, $29
)
RETURNING id;

-- name: save_incident
-- Everything of an incident that can change, on a row that is locked.
UPDATE incidents SET
    severity = $2, status = $3, title = $4, summary = $5, origin = $6, public = $7, public_title = $8, components = $9,
    labels = $10, started_at = $11, detected_at = $12, declared_at = $13, acknowledged_at = $14, triaged_at = $15,
    identified_at = $16, resolved_at = $17, closed_at = $18, reviewed_at = $19, commander = $20, communications = $21,
    scribe = $22, business_impact = $23, reputation = $24, cause = $25, factors = $26, lessons = $27, impact = $28,
    created_by = $29, updated_at = $30
WHERE id = $1;

-- name: incident
-- One incident.
SELECT * FROM incidents WHERE id = $1;

-- name: lock_incident
-- One incident, held until the transaction ends.
SELECT * FROM incidents WHERE id = $1 FOR UPDATE;

-- name: incidents_page
-- A page of incidents in some states and of some severities, newest first.
SELECT * FROM incidents
WHERE status = ANY($1::text[]) AND severity = ANY($2::smallint[]) AND id < $3
ORDER BY id DESC LIMIT $4;

-- name: incidents_between
-- Incidents that began in a period, oldest first.
SELECT * FROM incidents WHERE started_at >= $1 AND started_at < $2 ORDER BY started_at, id LIMIT $3;

-- name: shown_incidents
-- What the status page shows: incidents for the public that are open, or ended after a moment, newest first.
SELECT * FROM incidents
WHERE public AND (resolved_at IS NULL OR resolved_at >= $1) ORDER BY started_at DESC, id DESC LIMIT $2;

-- name: open_counts
-- How many incidents are open, by severity.
SELECT severity, count(*) AS incidents FROM incidents WHERE status NOT IN ('resolved', 'closed') GROUP BY severity;

-- name: unfinished_incidents
-- Incidents whose workflow has not come to its end: not reviewed yet.
SELECT * FROM incidents WHERE reviewed_at IS NULL AND (closed_at IS NULL OR closed_at >= $1) ORDER BY id LIMIT $2;

-- name: add_entry
-- A line of the timeline, unless one of the same origin is there.
INSERT INTO incident_entries (incident_id, at, kind, actor, text, details, ref) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (incident_id, ref) DO NOTHING;

-- name: count_entries
-- How long a timeline is.
SELECT count(*) FROM incident_entries WHERE incident_id = $1;

-- name: entries
-- A timeline in order.
SELECT at, kind, actor, text, details, ref FROM incident_entries WHERE incident_id = $1 ORDER BY at, id LIMIT $2;

-- name: add_communication
-- Something that was said; gives its number.
INSERT INTO incident_communications (incident_id, at, kind, audience, status, components, subject, body, deliveries, actor)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
RETURNING id;

-- name: save_deliveries
-- What became of a message.
UPDATE incident_communications SET deliveries = $2 WHERE id = $1;

-- name: communications
-- Everything that was said of one of some incidents, oldest first.
SELECT id, incident_id, at, kind, audience, status, components, subject, body, deliveries, actor
FROM incident_communications WHERE incident_id = ANY($1::bigint[]) AND audience = ANY($2::text[]) ORDER BY id LIMIT $3;

-- name: add_marker
-- A marker, unless its sender told it before.
INSERT INTO operation_markers (at, kind, title, source, link, details, ref, actor)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (ref) DO NOTHING
RETURNING id;

-- name: marker_of
-- The marker that a sender told under an id.
SELECT id, at, kind, title, source, link, details, ref, actor FROM operation_markers WHERE ref = $1;

-- name: markers_between
-- Markers of a period, oldest first.
SELECT id, at, kind, title, source, link, details, ref, actor FROM operation_markers
WHERE at >= $1 AND at <= $2 ORDER BY at, id LIMIT $3;

-- name: markers_page
-- A page of markers, newest told first.
SELECT id, at, kind, title, source, link, details, ref, actor FROM operation_markers
WHERE id < $1 AND ($2::text IS NULL OR kind = $2) ORDER BY id DESC LIMIT $3;

-- name: add_maintenance
-- An announced maintenance; gives its number.
INSERT INTO maintenances (
    title, body, components, starts_at, ends_at, began_at, completed_at, cancelled_at, created_at, updated_at, created_by
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
RETURNING id;

-- name: save_maintenance
-- What can change of a maintenance, on a row that is locked.
UPDATE maintenances SET title = $2, body = $3, components = $4, starts_at = $5, ends_at = $6, began_at = $7,
    completed_at = $8, cancelled_at = $9, created_at = $10, updated_at = $11, created_by = $12
WHERE id = $1;

-- name: lock_maintenance
-- One maintenance, held until the transaction ends.
SELECT * FROM maintenances WHERE id = $1 FOR UPDATE;

-- name: maintenances_page
-- A page of maintenances, newest announced first.
SELECT * FROM maintenances WHERE id < $1 ORDER BY id DESC LIMIT $2;

-- name: shown_maintenances
-- Maintenances that the status page shows: to come, running, or ended after a moment.
SELECT * FROM maintenances WHERE cancelled_at IS NULL AND ends_at >= $1 ORDER BY starts_at, id LIMIT $2;

-- name: purge_incidents
-- Closed incidents that are older than they are kept; their timelines go with them.
DELETE FROM incidents WHERE id IN (
    SELECT id FROM incidents WHERE status = 'closed' AND closed_at < $1 ORDER BY id LIMIT $2
);

-- name: purge_markers
-- Markers that are older than they are kept.
DELETE FROM operation_markers WHERE id IN (SELECT id FROM operation_markers WHERE at < $1 ORDER BY at LIMIT $2);

-- name: purge_maintenances
-- Maintenances that ended before a moment.
DELETE FROM maintenances WHERE id IN (SELECT id FROM maintenances WHERE ends_at < $1 ORDER BY ends_at LIMIT $2);
