-- name: add_spending
-- Add what keys have spent on days of their workspace's calendar.
-- cross-workspace: a batch of the journal holds the calls of all workspaces; each row names its own.
INSERT INTO key_spending AS s (key_id, day, spent_nano, workspace_id)
SELECT key_id, day, spent, workspace_id
FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::text[]) AS n (key_id, day, spent, workspace_id)
ORDER BY key_id, day
ON CONFLICT (key_id, day) DO UPDATE SET spent_nano = s.spent_nano + excluded.spent_nano;

-- name: spent
-- What each of these keys has spent since its own moment, which begins a day of its calendar.
-- cross-workspace: budgets of all keys are kept at once; a key's id is unique over workspaces.
SELECT k.key_id, coalesce(sum(s.spent_nano), 0)::bigint AS spent_nano
FROM unnest($1::text[], $2::timestamptz[]) AS k (key_id, since)
JOIN key_spending AS s ON s.key_id = k.key_id AND s.day >= k.since
GROUP BY k.key_id;

-- name: spent_before
-- What a key has spent up to a moment, since the starts of a day, a week and a month, and ever.
-- Spending counts whole days, so what came at or after the moment is taken off again, from the very rows.
SELECT greatest(0, coalesce(sum(s.spent_nano) FILTER (WHERE s.day >= $3), 0) - max(late.nano))::bigint AS day,
    greatest(0, coalesce(sum(s.spent_nano) FILTER (WHERE s.day >= $4), 0) - max(late.nano))::bigint AS week,
    greatest(0, coalesce(sum(s.spent_nano) FILTER (WHERE s.day >= $5), 0) - max(late.nano))::bigint AS month,
    greatest(0, coalesce(sum(s.spent_nano), 0) - max(late.nano))::bigint AS ever
FROM (
    SELECT coalesce(sum(cost_nano), 0) AS nano FROM usage_records
    WHERE workspace_id = $1 AND key_id = $2 AND at >= $6
) AS late
LEFT JOIN key_spending AS s ON s.workspace_id = $1 AND s.key_id = $2;

-- name: fold_spending
-- Add up days that no period but a lifetime reaches back to, in one row a key; the rows themselves go.
-- cross-workspace: upkeep of the whole table; each row keeps its workspace.
WITH old AS (
    DELETE FROM key_spending WHERE day < $1 AND day > 'epoch' RETURNING key_id, spent_nano, workspace_id
)
INSERT INTO key_spending AS s (key_id, day, spent_nano, workspace_id)
SELECT key_id, 'epoch', sum(spent_nano)::bigint, min(workspace_id) FROM old GROUP BY key_id ORDER BY key_id
ON CONFLICT (key_id, day) DO UPDATE SET spent_nano = s.spent_nano + excluded.spent_nano;

-- name: add_budget_event
-- One event for each threshold, budget and period; says nothing when it is there already.
INSERT INTO budget_events
    (id, at, workspace_id, key_id, owner, kind, period, period_start, budget_nano, threshold, spent_nano)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (key_id, kind, period, period_start, budget_nano, threshold) DO NOTHING
RETURNING id;

-- name: list_budget_events
-- A page of a workspace's (or with NULL every workspace's) events, newest first.
SELECT * FROM budget_events
WHERE ($1::text IS NULL OR workspace_id = $1) AND ($2::text IS NULL OR key_id = $2) AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4;

-- name: purge_budget_events
-- Delete a bounded number of events that are old and whose period is long over (a lifetime never is).
-- cross-workspace: upkeep of the whole table.
DELETE FROM budget_events WHERE id IN (
    SELECT id FROM budget_events WHERE at < $1 AND period <> 'lifetime' ORDER BY at LIMIT $2
);

-- name: purge_stray_usage
-- Delete a bounded number of old rows that lie in no month's partition.
-- cross-workspace: upkeep of the whole table.
DELETE FROM usage_records_default WHERE (id, at) IN (
    SELECT id, at FROM usage_records_default WHERE at < $1 LIMIT $2
);

-- name: pseudonymise
-- Take a user's id, and the names of their threads, out of the next records from a moment on.
WITH theirs AS (
    SELECT id, at FROM usage_records WHERE workspace_id = $1 AND user_id = $2 AND at >= $4 ORDER BY at LIMIT $5
), changed AS (
    UPDATE usage_records u SET user_id = $3, thread_id = NULL
    FROM theirs t WHERE u.id = t.id AND u.at = t.at AND u.workspace_id = $1
    RETURNING u.at
)
SELECT count(*) AS changed, max(at) AS last FROM changed;

-- name: users
-- Every user whom a record of the workspace names.
SELECT DISTINCT user_id FROM usage_records WHERE workspace_id = $1 AND user_id IS NOT NULL;
