-- What each workspace has used, ever, from this migration on: added up in the transaction that stores its calls.
-- One row of 120 bytes a workspace.
CREATE TABLE workspace_totals (
    workspace_id      text PRIMARY KEY,
    ok                bigint NOT NULL,
    failed            bigint NOT NULL,
    cut               bigint NOT NULL,
    cancelled         bigint NOT NULL,
    prompt_tokens     bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cost_nano         bigint NOT NULL,          -- 1e-9 USD
    latency_ms        bigint NOT NULL,
    used_at           timestamptz NOT NULL
) WITH (fillfactor = 50);

-- How the rules of workspaces stand: since when their alerts wait or fire, and what is wrong with a rule that fails.
-- One row of 200 bytes to 10 kB a rule, at most 50 rules a workspace; deleted when its rule is gone.
CREATE TABLE alerting_rule_states (
    workspace_id text NOT NULL,
    rule         text NOT NULL,
    at           timestamptz NOT NULL,          -- the last evaluation
    body         jsonb NOT NULL,
    PRIMARY KEY (workspace_id, rule)
) WITH (fillfactor = 50);
