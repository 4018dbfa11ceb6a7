-- name: add_totals
-- Add the calls of a batch to what their workspaces have used, ever.
-- cross-workspace: a batch of the journal holds the calls of all workspaces; each row names its own.
INSERT INTO workspace_totals AS t (
    workspace_id, ok, failed, cut, cancelled, prompt_tokens, completion_tokens, cost_nano, latency_ms, used_at
)
SELECT * FROM unnest(
    $1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::timestamptz[]
) AS n (
    workspace_id, ok, failed, cut, cancelled, prompt_tokens, completion_tokens, cost_nano, latency_ms, used_at
)
ORDER BY workspace_id
ON CONFLICT (workspace_id) DO UPDATE SET
    ok = t.ok + excluded.ok, failed = t.failed + excluded.failed, cut = t.cut + excluded.cut,
    cancelled = t.cancelled + excluded.cancelled, prompt_tokens = t.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = t.completion_tokens + excluded.completion_tokens, cost_nano = t.cost_nano + excluded.cost_nano,
    latency_ms = t.latency_ms + excluded.latency_ms, used_at = greatest(t.used_at, excluded.used_at);

-- name: totals
-- What workspaces have used, ever: those named first, then those that were used last.
-- cross-workspace: the monitor records all of them, each under its name.
SELECT workspace_id, ok, failed, cut, cancelled, prompt_tokens, completion_tokens, cost_nano, latency_ms
FROM workspace_totals ORDER BY workspace_id = ANY($1::text[]) DESC, used_at DESC LIMIT $2;
