-- name: put_verdict
-- What somebody says of one firing of an alert; their last word counts.
INSERT INTO alerting_feedback (workspace_id, fingerprint, episode, by, rule, verdict, comment, group_id, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (workspace_id, fingerprint, episode, by) DO UPDATE SET
    verdict = excluded.verdict, comment = excluded.comment, group_id = excluded.group_id, at = excluded.at;

-- name: verdicts_of_alert
-- What was said of an alert, newest first.
SELECT fingerprint, episode, by, rule, verdict, comment, group_id, at FROM alerting_feedback
WHERE workspace_id = $1 AND fingerprint = $2 ORDER BY at DESC, by LIMIT $3;

-- name: verdicts_of_group
-- What was said of the alerts of a group, newest first.
SELECT fingerprint, episode, by, rule, verdict, comment, group_id, at FROM alerting_feedback
WHERE workspace_id = $1 AND group_id = $2 ORDER BY at DESC, by LIMIT $3;

-- name: count_verdicts
-- How often each rule was called what, since a moment.
SELECT rule, verdict, count(*) AS count FROM alerting_feedback
WHERE workspace_id = $1 AND at >= $2 GROUP BY rule, verdict ORDER BY rule, verdict LIMIT $3;

-- name: firings
-- How often each rule began to fire since a moment, by the group that it came into, and whether somebody acted on that.
SELECT coalesce(a.body->'labels'->>'alertname', a.fingerprint) AS rule, d.group_id, count(*) AS fired,
    bool_or(g.body->>'by' IS NOT NULL) AS acted
FROM alerting_decisions AS d
JOIN alerting_alerts AS a ON a.workspace_id = d.workspace_id AND a.fingerprint = d.fingerprint
LEFT JOIN alerting_groups AS g ON g.workspace_id = d.workspace_id AND g.id = d.group_id
WHERE d.workspace_id = $1 AND d.at >= $2 AND d.body->>'event' = 'begins' AND coalesce(g.body->>'drill', '') = ''
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $3;

-- name: pages
-- Messages of groups that were sent since a moment to call people, once for each person and step.
SELECT DISTINCT ON (group_id, body->>'target', body->>'step')
    group_id, body->>'channel' AS channel, (body->>'sent_at')::double precision AS sent_at
FROM alerting_notifications
WHERE workspace_id = $1 AND created_at >= $2 AND state = 'sent' AND body->>'occasion' IN ('page', 'remind')
    AND body->>'channel' = ANY($3::text[])
ORDER BY group_id, body->>'target', body->>'step', sent_at LIMIT $4;

-- name: purge_verdicts
-- Delete a bounded number of old verdicts.
-- cross-workspace: retention is the same for everybody.
DELETE FROM alerting_feedback WHERE (workspace_id, fingerprint, episode, by) IN (
    SELECT workspace_id, fingerprint, episode, by FROM alerting_feedback WHERE at < $1 LIMIT $2
);
