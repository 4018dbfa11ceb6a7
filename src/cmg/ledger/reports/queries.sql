-- name: usage_sums
-- Sums of the calls of some workspaces (all of one time zone) in a period, by the groups that are asked for.
-- Filters that are NULL let everything pass. A call with several tags counts for each of them when tags are a group.
-- A call that nobody answered counts for the model that it asked an upstream for, as those that were answered.
SELECT
    CASE WHEN $9::boolean THEN u.key_id END AS key,
    CASE WHEN $10::boolean THEN u.workspace_id END AS workspace,
    CASE WHEN $11::boolean THEN u.user_id END AS "user",
    CASE WHEN $12::boolean THEN coalesce(u.model_answered, CASE WHEN starts_with(u.model_asked, u.upstream || '/')
        THEN substr(u.model_asked, length(u.upstream) + 2) ELSE u.model_asked END) END AS model,
    CASE WHEN $13::boolean THEN t.tag END AS tag,
    CASE WHEN $14::boolean THEN width_bucket(u.at, $8::timestamptz[]) END AS day,
    count(*) AS calls,
    count(*) FILTER (WHERE u.status IN ('error', 'cut')) AS errors,
    sum(u.prompt_tokens) AS prompt_tokens,
    sum(u.completion_tokens) AS completion_tokens,
    sum(u.cached_tokens) AS cached_tokens,
    sum(u.cache_write_tokens) AS cache_write_tokens,
    sum(u.reasoning_tokens) AS reasoning_tokens,
    sum(u.cost_nano) AS cost_nano,
    sum(u.latency_ms::double precision) AS latency_ms
FROM usage_records AS u
LEFT JOIN LATERAL unnest(CASE WHEN $13::boolean THEN u.tags END) AS t (tag) ON true
WHERE u.workspace_id = ANY($1::text[]) AND u.at >= $2 AND u.at < $3
    AND ($4::text IS NULL OR u.key_id = $4)
    AND ($5::text IS NULL OR u.user_id = $5)
    AND ($6::text IS NULL OR u.model_answered = $6 OR u.model_asked IN ($6, u.upstream || '/' || $6))
    AND ($7::text IS NULL OR u.tags @> ARRAY[$7])
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY sum(u.cost_nano) DESC, count(*) DESC, 6, 1, 2, 3, 4, 5
LIMIT $15;

-- name: memory_arms
-- Chat calls of a period that read memory, or would have without the hold-out, by workspace ($1; null: all) and whether
-- they went without it.
SELECT workspace_id, memory_status = 'holdout' AS held_out, count(*) AS calls,
    count(*) FILTER (WHERE status IN ('error', 'cut')) AS errors,
    count(*) FILTER (WHERE memory_items > 0) AS with_items,
    sum(memory_items)::bigint AS items, sum(memory_tokens)::bigint AS memory_tokens,
    sum(prompt_tokens)::bigint AS prompt_tokens, sum(completion_tokens)::bigint AS completion_tokens,
    sum(cost_nano)::bigint AS cost_nano, sum(latency_ms::double precision) AS latency_ms
FROM usage_records
WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 AND route = 'chat' AND NOT replayed
    AND memory_status IN ('ok', 'degraded', 'holdout')
GROUP BY 1, 2;

-- name: window_figures
-- The calls of a period: how many, how many failed, whom they were made for, what they cost, how long they took.
-- cross-workspace: an incident is the whole service's.
SELECT count(*) AS calls,
    count(*) FILTER (WHERE status IN ('error', 'cut')) AS failed,
    count(DISTINCT (workspace_id, user_id)) FILTER (WHERE user_id IS NOT NULL) AS users,
    count(DISTINCT (workspace_id, user_id))
        FILTER (WHERE user_id IS NOT NULL AND status IN ('error', 'cut')) AS users_affected,
    count(DISTINCT workspace_id) FILTER (WHERE status IN ('error', 'cut')) AS workspaces_affected,
    coalesce(sum(cost_nano), 0)::bigint AS cost_nano,
    coalesce(sum(cost_nano) FILTER (WHERE status IN ('error', 'cut')), 0)::bigint AS cost_nano_failed,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms::double precision)
        FILTER (WHERE status = 'ok') AS latency_ms_p95
FROM usage_records WHERE at >= $1 AND at < $2 AND NOT replayed;

-- name: list_calls
-- A page of the calls of some workspaces, newest first, behind the last one ($3, $4) of the page before.
-- Each workspace is read by its own index and gives at most a page. Filters that are NULL let everything pass.
SELECT c.* FROM unnest($1::text[]) AS w (id) CROSS JOIN LATERAL (
    SELECT u.* FROM usage_records AS u
    WHERE u.workspace_id = w.id AND u.at >= $2 AND u.at <= $3 AND (u.at, u.id) < ($3, $4::uuid)
        AND ($5::text IS NULL OR u.key_id = $5)
        AND ($6::text IS NULL OR u.user_id = $6)
        AND ($7::text IS NULL OR u.model_answered = $7 OR u.model_asked IN ($7, u.upstream || '/' || $7))
        AND ($8::text IS NULL OR u.status = $8)
    ORDER BY u.at DESC, u.id DESC LIMIT $9
) AS c
ORDER BY c.at DESC, c.id DESC LIMIT $9;

-- name: one_call
-- A call of one of these workspaces.
SELECT * FROM usage_records WHERE id = $2 AND workspace_id = ANY($1::text[]);
