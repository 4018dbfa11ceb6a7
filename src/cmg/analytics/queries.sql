-- Every report takes a workspace ($1; null: all), a span from $2 to $3 and, where it shows a course, its step ($4, seconds).
-- The same text goes to Grafana's PostgreSQL source, so it uses nothing but these parameters.

-- name: calls_by_status
-- Calls in each step by how they ended.
SELECT date_bin(make_interval(secs => $4), at, $2) AS time, status AS metric, count(*)::float8 AS value
FROM usage_records WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3
GROUP BY 1, 2 ORDER BY 1, 2;

-- name: calls_by_model
-- Calls in each step of the ten models that were called most; one that nobody answered counts for the model it asked for.
WITH best AS (
    SELECT coalesce(model_answered, CASE WHEN starts_with(model_asked, upstream || '/')
        THEN substr(model_asked, length(upstream) + 2) ELSE model_asked END) AS model FROM usage_records
    WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3
    GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 10
)
SELECT date_bin(make_interval(secs => $4), at, $2) AS time, best.model AS metric, count(*)::float8 AS value
FROM usage_records JOIN best ON best.model = coalesce(model_answered, CASE WHEN starts_with(model_asked, upstream || '/')
    THEN substr(model_asked, length(upstream) + 2) ELSE model_asked END)
WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3
GROUP BY 1, 2 ORDER BY 1, 2;

-- name: tokens_by_kind
-- Tokens in each step by what they are.
WITH sums AS (
    SELECT date_bin(make_interval(secs => $4), at, $2) AS time, sum(prompt_tokens - cached_tokens) AS prompt,
        sum(cached_tokens) AS cached, sum(completion_tokens) AS completion, sum(memory_tokens) AS memory
    FROM usage_records WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 GROUP BY 1
)
SELECT time, kind.name AS metric, kind.value::float8 AS value FROM sums
CROSS JOIN LATERAL (VALUES ('prompt', prompt), ('cached', cached), ('completion', completion), ('memory', memory))
    AS kind (name, value)
ORDER BY 1, 2;

-- name: calls_by_hour
-- Calls by the hour of the day in the workspace's time zone.
WITH zone AS (SELECT coalesce((SELECT timezone FROM workspaces WHERE id = $1::text), 'UTC') AS name),
calls AS (
    SELECT extract(hour FROM at AT TIME ZONE zone.name)::int AS hour, count(*) AS calls FROM usage_records, zone
    WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 GROUP BY 1
)
SELECT lpad(hour::text, 2, '0') AS metric, coalesce(calls.calls, 0)::float8 AS value
FROM generate_series(0, 23) AS hour LEFT JOIN calls USING (hour) ORDER BY hour;

-- name: feature_shares
-- Share of the calls of each step that used a feature.
WITH sums AS (
    SELECT date_bin(make_interval(secs => $4), at, $2) AS time, count(*)::float8 AS calls,
        count(*) FILTER (WHERE stream) AS streamed, count(*) FILTER (WHERE memory_items > 0) AS remembered,
        count(*) FILTER (WHERE thread_id IS NOT NULL) AS threaded, count(*) FILTER (WHERE replayed) AS replayed,
        count(*) FILTER (WHERE attempts > 1) AS retried, count(*) FILTER (WHERE route = 'embeddings') AS embeddings
    FROM usage_records WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 GROUP BY 1
)
SELECT time, kind.name AS metric, kind.value / calls AS value FROM sums
CROSS JOIN LATERAL (VALUES ('streams', streamed), ('memory', remembered), ('threads', threaded),
    ('replayed', replayed), ('several attempts', retried), ('embeddings', embeddings)) AS kind (name, value)
ORDER BY 1, 2;

-- name: active
-- Different keys, users and threads that called in each step.
WITH sums AS (
    SELECT date_bin(make_interval(secs => $4), at, $2) AS time, count(DISTINCT key_id) AS keys,
        count(DISTINCT (workspace_id, user_id)) FILTER (WHERE user_id IS NOT NULL) AS users,
        count(DISTINCT (workspace_id, user_id, thread_id)) FILTER (WHERE thread_id IS NOT NULL) AS threads
    FROM usage_records WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 GROUP BY 1
)
SELECT time, kind.name AS metric, kind.value::float8 AS value FROM sums
CROSS JOIN LATERAL (VALUES ('keys', keys), ('users', users), ('threads', threads)) AS kind (name, value)
ORDER BY 1, 2;

-- name: engagement
-- How many users called on one day of the period, on two or three, on four to seven, on more.
WITH days AS (
    SELECT count(DISTINCT date_trunc('day', at, 'UTC')) AS days FROM usage_records
    WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 AND user_id IS NOT NULL
    GROUP BY workspace_id, user_id
)
SELECT class.name AS metric, count(days.days)::float8 AS value
FROM (VALUES (1, '1 day', 1, 1), (2, '2 to 3', 2, 3), (3, '4 to 7', 4, 7), (4, '8 and more', 8, 100000))
    AS class (place, name, least, most)
LEFT JOIN days ON days.days BETWEEN class.least AND class.most GROUP BY class.place, class.name ORDER BY class.place;

-- name: busiest_keys
-- The twenty keys with the most calls.
WITH sums AS (
    SELECT workspace_id, key_id, count(*) AS calls, count(DISTINCT user_id) AS users,
        sum(prompt_tokens + completion_tokens) AS tokens, max(at) AS last_call
    FROM usage_records WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3
    GROUP BY 1, 2 ORDER BY calls DESC, key_id LIMIT 20
)
SELECT coalesce(k.name, s.key_id) AS key, s.workspace_id AS workspace, s.calls, s.users, s.tokens, s.last_call
FROM sums s LEFT JOIN api_keys k ON k.id = s.key_id AND k.workspace_id = s.workspace_id ORDER BY s.calls DESC, s.key_id;

-- name: cost_by_model
-- Dollars in each step of the ten dearest models, named as in `calls_by_model`.
WITH best AS (
    SELECT coalesce(model_answered, CASE WHEN starts_with(model_asked, upstream || '/')
        THEN substr(model_asked, length(upstream) + 2) ELSE model_asked END) AS model FROM usage_records
    WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3
    GROUP BY 1 ORDER BY sum(cost_nano) DESC, 1 LIMIT 10
)
SELECT date_bin(make_interval(secs => $4), at, $2) AS time, best.model AS metric, (sum(cost_nano) / 1e9)::float8 AS value
FROM usage_records JOIN best ON best.model = coalesce(model_answered, CASE WHEN starts_with(model_asked, upstream || '/')
    THEN substr(model_asked, length(upstream) + 2) ELSE model_asked END)
WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3
GROUP BY 1, 2 ORDER BY 1, 2;

-- name: cost_per_call
-- What a call that costs anything costs in each step: the mean, and where the dearest 5 % begin.
WITH sums AS (
    SELECT date_bin(make_interval(secs => $4), at, $2) AS time, avg(cost_nano) / 1e9 AS mean,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY cost_nano) / 1e9 AS p95
    FROM usage_records WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 AND cost_nano > 0
    GROUP BY 1
)
SELECT time, kind.name AS metric, kind.value::float8 AS value FROM sums
CROSS JOIN LATERAL (VALUES ('mean', mean), ('p95', p95)) AS kind (name, value) ORDER BY 1, 2;

-- name: cost_total
-- Dollars of the period, and of the one before it.
SELECT CASE WHEN at >= $2 THEN 'this period' ELSE 'the period before' END AS metric,
    (sum(cost_nano) / 1e9)::float8 AS value
FROM usage_records
WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 - ($3::timestamptz - $2::timestamptz) AND at < $3
GROUP BY 1 ORDER BY 1 DESC;

-- name: cost_by_origin
-- Dollars by whose figure they are.
SELECT cost_origin AS metric, (sum(cost_nano) / 1e9)::float8 AS value FROM usage_records
WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 GROUP BY 1 ORDER BY 2 DESC, 1;

-- name: cost_per_mtok
-- Dollars for a million tokens in each step.
SELECT date_bin(make_interval(secs => $4), at, $2) AS time, 'all models' AS metric,
    (sum(cost_nano) / 1e3 / sum(prompt_tokens + completion_tokens))::float8 AS value
FROM usage_records
WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 AND NOT replayed
GROUP BY 1 HAVING sum(prompt_tokens + completion_tokens) > 0 ORDER BY 1;

-- name: budgets
-- Keys with a budget: what is spent in its present period, the fullest first; as of the end of the span.
WITH spent AS (
    SELECT k.name, k.workspace_id, k.budget ->> 'period' AS period, (k.budget ->> 'usd_nano')::numeric AS budget, coalesce((
        SELECT sum(s.spent_nano) FROM key_spending s
        WHERE s.key_id = k.id AND s.workspace_id = k.workspace_id AND (k.budget ->> 'period' = 'lifetime' OR s.day >=
            date_trunc(nullif(k.budget ->> 'period', 'lifetime'), greatest($2::timestamptz, $3), w.timezone))
    ), 0) AS spent
    FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id
    WHERE ($1::text IS NULL OR k.workspace_id = $1) AND k.budget IS NOT NULL AND k.status <> 'revoked'
)
SELECT name AS key, workspace_id AS workspace, period, (budget / 1e9)::float8 AS budget_usd,
    (spent / 1e9)::float8 AS spent_usd, (spent / nullif(budget, 0))::float8 AS share
FROM spent ORDER BY share DESC NULLS LAST, name LIMIT 50;

-- name: spenders
-- The twenty keys that cost most, with what they cost in the period before.
WITH sums AS (
    SELECT workspace_id, key_id, sum(cost_nano) FILTER (WHERE at >= $2) AS nano,
        sum(cost_nano) FILTER (WHERE at < $2) AS before, count(*) FILTER (WHERE at >= $2) AS calls
    FROM usage_records
    WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 - ($3::timestamptz - $2::timestamptz) AND at < $3
    GROUP BY 1, 2 HAVING count(*) FILTER (WHERE at >= $2) > 0 ORDER BY nano DESC, key_id LIMIT 20
)
SELECT coalesce(k.name, s.key_id) AS key, s.workspace_id AS workspace, s.calls, (s.nano / 1e9)::float8 AS cost_usd,
    (coalesce(s.before, 0) / 1e9)::float8 AS before_usd
FROM sums s LEFT JOIN api_keys k ON k.id = s.key_id AND k.workspace_id = s.workspace_id ORDER BY s.nano DESC, s.key_id;

-- name: cached_share
-- Share of prompt tokens that upstreams had cached.
SELECT date_bin(make_interval(secs => $4), at, $2) AS time, 'cached' AS metric,
    sum(cached_tokens)::float8 / sum(prompt_tokens) AS value
FROM usage_records WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 AND NOT replayed
GROUP BY 1 HAVING sum(prompt_tokens) > 0 ORDER BY 1;

-- name: memory_share
-- Share of prompt tokens that are notes of the memory.
SELECT date_bin(make_interval(secs => $4), at, $2) AS time, 'memory' AS metric,
    least(1, sum(memory_tokens)::float8 / sum(prompt_tokens)) AS value
FROM usage_records WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 AND NOT replayed
GROUP BY 1 HAVING sum(prompt_tokens) > 0 ORDER BY 1;

-- name: cost_of_failures
-- Dollars of calls that did not end well, by how they ended; calls that ended well stand there with 0, to show that all is well.
SELECT date_bin(make_interval(secs => $4), at, $2) AS time, CASE status WHEN 'ok' THEN 'error' ELSE status END AS metric,
    (sum(cost_nano) FILTER (WHERE status <> 'ok') / 1e9)::float8 AS value
FROM usage_records WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3
GROUP BY 1, 2 ORDER BY 1, 2;

-- name: served_share
-- Share of the calls of each step that were answered whole.
SELECT date_bin(make_interval(secs => $4), at, $2) AS time, 'answered' AS metric,
    count(*) FILTER (WHERE status = 'ok')::float8 / count(*) AS value
FROM usage_records WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 AND status <> 'cancelled'
GROUP BY 1 ORDER BY 1;

-- name: users_hurt
-- Share of the users of each step who met an error.
WITH people AS (
    SELECT date_bin(make_interval(secs => $4), at, $2) AS time, coalesce(user_id, key_id) AS person,
        bool_or(status IN ('error', 'cut')) AS hurt
    FROM usage_records WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3
    GROUP BY 1, workspace_id, 2
)
SELECT time, 'users' AS metric, count(*) FILTER (WHERE hurt)::float8 / count(*) AS value FROM people GROUP BY 1 ORDER BY 1;

-- name: errors_by_type
-- Failed calls by type of error.
SELECT coalesce(error_type, status) AS metric, count(*)::float8 AS value FROM usage_records
WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 AND status IN ('error', 'cut')
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20;

-- name: first_token
-- Seconds to the first token of streams in each step.
WITH sums AS (
    SELECT date_bin(make_interval(secs => $4), at, $2) AS time,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY ttft_ms) AS found
    FROM usage_records WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 AND ttft_ms IS NOT NULL
    GROUP BY 1
)
SELECT time, kind.name AS metric, kind.value / 1000 AS value FROM sums
CROSS JOIN LATERAL (VALUES ('p50', found[1]), ('p95', found[2])) AS kind (name, value) ORDER BY 1, 2;

-- name: latency
-- Seconds of calls that were answered, in each step.
WITH sums AS (
    SELECT date_bin(make_interval(secs => $4), at, $2) AS time,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY latency_ms) AS found
    FROM usage_records WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 AND status = 'ok'
    GROUP BY 1
)
SELECT time, kind.name AS metric, kind.value / 1000 AS value FROM sums
CROSS JOIN LATERAL (VALUES ('p50', found[1]), ('p95', found[2])) AS kind (name, value) ORDER BY 1, 2;

-- name: worst_served
-- The twenty keys with the largest share of failed calls, among those with ten calls and more.
WITH sums AS (
    SELECT workspace_id, key_id, count(*) AS calls, count(*) FILTER (WHERE status IN ('error', 'cut')) AS failed,
        avg(latency_ms::float8) / 1000 AS seconds
    FROM usage_records WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 AND status <> 'cancelled'
    GROUP BY 1, 2
)
SELECT coalesce(k.name, s.key_id) AS key, s.workspace_id AS workspace, s.calls, s.failed,
    s.failed::float8 / s.calls AS failed_share, s.seconds AS seconds_mean
FROM sums s LEFT JOIN api_keys k ON k.id = s.key_id AND k.workspace_id = s.workspace_id
ORDER BY (s.calls >= 10) DESC, failed_share DESC, s.calls DESC, s.key_id LIMIT 20;

-- name: memory_help
-- Share of the calls with a user that got notes, and of those whose memory came too late.
WITH sums AS (
    SELECT date_bin(make_interval(secs => $4), at, $2) AS time, count(*)::float8 AS calls,
        count(*) FILTER (WHERE memory_items > 0) AS helped, count(*) FILTER (WHERE memory_status = 'degraded') AS late
    FROM usage_records
    WHERE ($1::text IS NULL OR workspace_id = $1) AND at >= $2 AND at < $3 AND user_id IS NOT NULL AND route = 'chat'
    GROUP BY 1
)
SELECT time, kind.name AS metric, kind.value / calls AS value FROM sums
CROSS JOIN LATERAL (VALUES ('with notes', helped), ('late', late)) AS kind (name, value) ORDER BY 1, 2;

-- name: workspace_names
-- What can be chosen as workspace in Grafana.
SELECT id FROM workspaces ORDER BY id;

-- Annotations take a span from $1 to $2; they are of the service, not of a workspace, and not more than a picture can show.

-- name: deploys
-- Deploys, starts and other things that were done to the service.
SELECT at AS time, NULL::timestamptz AS timeend, title AS text, kind || ',' || source AS tags
FROM operation_markers WHERE kind <> 'config' AND at >= $1 AND at < $2 ORDER BY at DESC LIMIT 500;

-- name: config_changes
-- Changes of the settings.
SELECT at AS time, NULL::timestamptz AS timeend, title AS text, kind || ',' || source AS tags
FROM operation_markers WHERE kind = 'config' AND at >= $1 AND at < $2 ORDER BY at DESC LIMIT 500;

-- name: maintenances
-- Maintenances that were not called off, from their begin to their end, as they were or are planned.
SELECT coalesce(began_at, starts_at) AS time, coalesce(completed_at, ends_at) AS timeend, title AS text,
    array_to_string(components, ',') AS tags
FROM maintenances
WHERE cancelled_at IS NULL AND coalesce(began_at, starts_at) < $2 AND coalesce(completed_at, ends_at) >= $1
ORDER BY 1 DESC LIMIT 500;

-- name: incidents
-- Incidents from the trouble's begin to its end; of one that goes on the end is unknown.
SELECT started_at AS time, resolved_at AS timeend, 'P' || severity || ' ' || title AS text,
    'incident,' || id AS tags
FROM incidents WHERE started_at < $2 AND (resolved_at IS NULL OR resolved_at >= $1) ORDER BY started_at DESC LIMIT 500;
