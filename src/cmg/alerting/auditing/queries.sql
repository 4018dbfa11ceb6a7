-- name: live_groups
-- Groups that are not resolved, with the moment of what is to happen to them next (null: nothing is).
-- cross-workspace: the auditor looks after all of them.
SELECT g.workspace_id, g.body::text AS body, t.due_at
FROM alerting_groups AS g
LEFT JOIN (
    SELECT workspace_id, group_id, min(due_at) AS due_at FROM alerting_timers WHERE done_at IS NULL GROUP BY 1, 2
) AS t ON t.workspace_id = g.workspace_id AND t.group_id = g.id
WHERE g.status <> 'resolved' AND g.opened_at < $1 ORDER BY g.severity, g.opened_at LIMIT $2;

-- name: overdue_timers
-- Timers that nobody claimed long after they were due.
-- cross-workspace: the same.
SELECT workspace_id, id, group_id FROM alerting_timers
WHERE done_at IS NULL AND due_at < $1 ORDER BY due_at LIMIT $2;

-- name: overdue_messages
-- Messages that nobody sent long after they were due, or whose sender died long ago.
-- cross-workspace: the same.
SELECT workspace_id, key, group_id FROM alerting_notifications
WHERE state IN ('pending', 'sending')
    AND coalesce(claimed_until, to_timestamp((body->>'due_at')::double precision)) < $1
ORDER BY created_at LIMIT $2;

-- name: policies
-- The escalation policies of some workspaces.
SELECT workspace_id, id, body::text AS body FROM alerting_documents
WHERE workspace_id = ANY($1::text[]) AND kind = 'escalation-policies';
