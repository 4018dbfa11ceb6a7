-- name: every_rule
-- The rules of all workspaces, a bounded number.
-- cross-workspace: the monitor evaluates all of them, each on the series of its own workspace.
SELECT workspace_id, id, body::text AS body FROM alerting_documents
WHERE kind = 'alert-rules' ORDER BY workspace_id, id LIMIT $1;

-- name: workspaces_with_rules
-- Which workspaces have rules.
-- cross-workspace: their figures are told before those of others.
SELECT DISTINCT workspace_id FROM alerting_documents WHERE kind = 'alert-rules' ORDER BY workspace_id LIMIT $1;

-- name: every_state
-- How the rules of all workspaces stood, for a process that begins to evaluate them.
-- cross-workspace: the same.
SELECT workspace_id, rule, at, body::text AS body FROM alerting_rule_states;

-- name: put_state
-- How a rule stands after an evaluation.
INSERT INTO alerting_rule_states (workspace_id, rule, at, body) VALUES ($1, $2, $3, $4::text::jsonb)
ON CONFLICT (workspace_id, rule) DO UPDATE SET at = excluded.at, body = excluded.body;

-- name: drop_states
-- Forget how rules stood that are not evaluated any more.
DELETE FROM alerting_rule_states AS s USING unnest($1::text[], $2::text[]) AS gone (workspace_id, rule)
WHERE s.workspace_id = gone.workspace_id AND s.rule = gone.rule;

-- name: state
-- How a rule of a workspace stands.
SELECT at, body::text AS body FROM alerting_rule_states WHERE workspace_id = $1 AND rule = $2;
