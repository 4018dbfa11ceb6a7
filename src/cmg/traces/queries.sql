-- name: add_traces
-- Kept traces of this machine; what is there already stays.
-- cross-workspace: a batch holds the traces of all workspaces; each row names its own.
INSERT INTO traces (id, trace_id, at, workspace_id, person, kind, name, model, reason, failed, status, duration_ms,
    spans, body)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::bytea[], $6::text[], $7::text[],
    $8::text[], $9::text[], $10::boolean[], $11::smallint[], $12::double precision[], $13::smallint[], $14::bytea[])
ON CONFLICT DO NOTHING;

-- name: list_traces
-- A page of a workspace's (or with NULL everybody's) traces, newest first.
SELECT id, trace_id, at, workspace_id, kind, name, model, reason, failed, status, duration_ms, spans FROM traces
WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 AND ($4::boolean IS NULL OR failed = $4)
    AND ($5::text IS NULL OR model = $5) AND duration_ms >= $6 AND ($7::uuid IS NULL OR id < $7)
ORDER BY id DESC LIMIT $8;

-- name: slowest_traces
-- The same, slowest first: $8 is the duration of the last one of the page before, $7 its id.
SELECT id, trace_id, at, workspace_id, kind, name, model, reason, failed, status, duration_ms, spans FROM traces
WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 AND ($4::boolean IS NULL OR failed = $4)
    AND ($5::text IS NULL OR model = $5) AND duration_ms >= $6
    AND ($7::uuid IS NULL OR (duration_ms, id) < ($8, $7))
ORDER BY duration_ms DESC, id DESC LIMIT $9;

-- name: trace_parts
-- Every request and job of one trace, by its id or that of a request, within a workspace (or with NULL everywhere).
SELECT id, trace_id, at, workspace_id, kind, name, model, reason, failed, status, duration_ms, spans, body FROM traces
WHERE (trace_id = $2 OR trace_id = (SELECT trace_id FROM traces WHERE id = $2 AND ($1::text IS NULL OR workspace_id = $1)))
    AND ($1::text IS NULL OR workspace_id = $1)
ORDER BY at, id LIMIT $3;

-- name: erase_traces
-- What names a person goes.
DELETE FROM traces WHERE workspace_id = $1 AND person = $2;

-- name: purge_traces
-- Delete a bounded number of traces that began before a moment.
-- cross-workspace: upkeep of the whole table.
DELETE FROM traces WHERE id IN (SELECT id FROM traces WHERE at < $1 ORDER BY at LIMIT $2);

-- name: oldest_to_keep
-- When the trace began that is the last one of so many newest.
-- cross-workspace: upkeep of the whole table.
SELECT at FROM traces ORDER BY at DESC OFFSET $1 LIMIT 1;
