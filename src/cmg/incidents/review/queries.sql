-- name: add_action
-- Something to do; gives its number.
INSERT INTO incident_actions (incident_id, text, owner, due_at, state, ended_at, ended_by, created_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
RETURNING id;

-- name: save_action
-- What can change of it, on a row that is locked.
UPDATE incident_actions SET text = $2, owner = $3, due_at = $4, state = $5, ended_at = $6, ended_by = $7 WHERE id = $1;

-- name: lock_action
-- One action of an incident, held until the transaction ends.
SELECT * FROM incident_actions WHERE incident_id = $1 AND id = $2 FOR UPDATE;

-- name: actions_of
-- Everything that is to be done after an incident.
SELECT * FROM incident_actions WHERE incident_id = $1 ORDER BY id LIMIT $2;

-- name: actions_page
-- A page of actions of every incident in a state (null: any), the oldest first.
SELECT * FROM incident_actions WHERE id > $1 AND ($2::text IS NULL OR state = $2) ORDER BY id LIMIT $3;

-- name: put_plot
-- Keep a plot.
INSERT INTO incident_plots (incident_id, name, title, svg) VALUES ($1, $2, $3, $4)
ON CONFLICT (incident_id, name) DO UPDATE SET title = excluded.title, svg = excluded.svg;

-- name: plots_of
-- The plots that were kept of an incident.
SELECT name, title, svg FROM incident_plots WHERE incident_id = $1 ORDER BY name;
