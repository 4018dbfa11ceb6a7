-- name: keep_beat
-- The machine lives at this moment; that this row can be written is what the probe of the database wants to know.
INSERT INTO health_beats (machine, beat_at) VALUES ($1, $2)
ON CONFLICT (machine) DO UPDATE SET beat_at = greatest(health_beats.beat_at, excluded.beat_at);

-- name: activity
-- Connections of the server and how many it takes, and statements of ours that run or wait for long by its own clock.
SELECT
    count(*) AS connections,
    current_setting('max_connections')::integer AS most,
    count(*) FILTER (
        WHERE datname = current_database() AND state = 'active' AND statement_timestamp() - query_start > $1::interval
    ) AS slow,
    count(*) FILTER (
        WHERE datname = current_database() AND wait_event_type = 'Lock'
            AND statement_timestamp() - query_start > $1::interval
    ) AS blocked
FROM pg_stat_activity WHERE backend_type = 'client backend';

-- name: add_transitions
-- Keep transitions; those that are there already, after an answer that got lost, stay as they are.
INSERT INTO health_transitions (transition_id, at, machine, component, level_before, level_after, output)
SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
ON CONFLICT (transition_id) DO NOTHING;

-- name: newest_transitions
-- The newest transitions of all machines.
SELECT transition_id, at, machine, component, level_before, level_after, output
FROM health_transitions ORDER BY at DESC, transition_id DESC LIMIT $1;

-- name: older_transitions
-- Transitions behind one of them, newest first: of one component, or ($1 null) of all.
SELECT transition_id, at, machine, component, level_before, level_after, output
FROM health_transitions
WHERE ($1::text IS NULL OR component = $1) AND (at, transition_id) < ($2, $3)
ORDER BY at DESC, transition_id DESC LIMIT $4;

-- name: transition
-- When one transition was.
SELECT at FROM health_transitions WHERE transition_id = $1;

-- name: transitions_of
-- A component's transitions since a moment, and of each machine the last one before it, oldest first.
SELECT transition_id, at, machine, component, level_before, level_after, output
FROM health_transitions WHERE component = $1 AND at >= $2
UNION ALL
SELECT transition_id, at, machine, component, level_before, level_after, output FROM (
    SELECT DISTINCT ON (machine) * FROM health_transitions
    WHERE component = $1 AND at < $2 ORDER BY machine, at DESC
) AS former
ORDER BY at;

-- name: transitions_of_families
-- Transitions of the components of some families since a moment, and of each machine's components the last one before.
SELECT transition_id, at, machine, component, level_before, level_after, output
FROM health_transitions WHERE split_part(component, '/', 1) = ANY($1::text[]) AND at >= $2
UNION ALL
SELECT transition_id, at, machine, component, level_before, level_after, output FROM (
    SELECT DISTINCT ON (machine, component) * FROM health_transitions
    WHERE split_part(component, '/', 1) = ANY($1::text[]) AND at < $2 ORDER BY machine, component, at DESC
) AS former
ORDER BY at LIMIT $3;

-- name: beats
-- When each machine was last heard of.
SELECT machine, beat_at FROM health_beats;

-- name: purge_transitions
-- Old transitions, a bounded number at a time; the last one of a machine that is alive stays: its level holds on.
DELETE FROM health_transitions WHERE transition_id IN (
    SELECT old.transition_id FROM health_transitions AS old
    WHERE old.at < $1 AND (
        EXISTS (
            SELECT FROM health_transitions AS later
            WHERE later.component = old.component AND later.machine = old.machine
                AND later.at > old.at AND later.at < $1
        )
        OR NOT EXISTS (SELECT FROM health_beats WHERE health_beats.machine = old.machine AND beat_at >= $1)
    )
    LIMIT $2
);

-- name: purge_beats
-- Machines that were not heard of for long, a bounded number at a time.
DELETE FROM health_beats WHERE machine IN (SELECT machine FROM health_beats WHERE beat_at < $1 LIMIT $2);
