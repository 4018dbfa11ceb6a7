-- name: make_head
-- The row of a workspace, if it is not there yet.
INSERT INTO alerting_heads (workspace_id) VALUES ($1) ON CONFLICT DO NOTHING;

-- name: lock_head
-- Hold a workspace's alerting until the transaction ends; the number of its last change, and of its documents' last.
SELECT generation, setup FROM alerting_heads WHERE workspace_id = $1 FOR UPDATE;

-- name: move_head
-- The numbers after a change.
UPDATE alerting_heads SET generation = $2, setup = $3 WHERE workspace_id = $1;

-- name: workspaces
-- Every workspace that has alerting, with the number of its last change.
-- cross-workspace: the pager cares for all of them.
SELECT workspace_id, generation FROM alerting_heads ORDER BY workspace_id;

-- name: take_lease
-- Take a lease that has run out, or keep one's own.
INSERT INTO alerting_leases (name, holder, until) VALUES ($1, $2, $4)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE alerting_leases.holder = excluded.holder OR alerting_leases.until <= $3
RETURNING holder;

-- name: lease_holder
-- Who has a lease that has not run out.
SELECT holder FROM alerting_leases WHERE name = $1 AND until > $2;

-- name: documents
-- Everything that a workspace configured.
SELECT kind, id, body::text AS body FROM alerting_documents WHERE workspace_id = $1 ORDER BY kind, id;

-- name: documents_of_kind
-- The documents of one kind with who changed them last.
SELECT id, body::text AS body, updated_at, updated_by FROM alerting_documents
WHERE workspace_id = $1 AND kind = $2 AND id > $3 ORDER BY id LIMIT $4;

-- name: document
-- One document with who changed it last.
SELECT id, body::text AS body, updated_at, updated_by FROM alerting_documents
WHERE workspace_id = $1 AND kind = $2 AND id = $3;

-- name: count_documents
-- How many documents of a kind a workspace has.
SELECT count(*) FROM alerting_documents WHERE workspace_id = $1 AND kind = $2;

-- name: put_document
-- Write a document in the place of the one with its id.
INSERT INTO alerting_documents (workspace_id, kind, id, body, changed, updated_at, updated_by)
VALUES ($1, $2, $3, $4::text::jsonb, $5, $6, $7)
ON CONFLICT (workspace_id, kind, id) DO UPDATE SET
    body = excluded.body, changed = excluded.changed, updated_at = excluded.updated_at, updated_by = excluded.updated_by;

-- name: drop_document
-- Remove a document.
DELETE FROM alerting_documents WHERE workspace_id = $1 AND kind = $2 AND id = $3;

-- name: alerts_at_first
-- The alerts that matter still, for a process that knows none: active ones, and those that ceased a moment ago.
SELECT body::text AS body FROM alerting_alerts
WHERE workspace_id = $1 AND (active OR seen_at > $2);

-- name: alerts_since
-- The alerts that were changed after a number.
SELECT body::text AS body FROM alerting_alerts WHERE workspace_id = $1 AND changed > $2;

-- name: alerts_by_fingerprints
-- Alerts by what they are called, whether they matter still or not.
SELECT body::text AS body FROM alerting_alerts WHERE workspace_id = $1 AND fingerprint = ANY($2::text[]);

-- name: groups_at_first
-- The groups that are not resolved.
SELECT body::text AS body FROM alerting_groups WHERE workspace_id = $1 AND status <> 'resolved';

-- name: groups_since
-- The groups that were changed after a number.
SELECT body::text AS body FROM alerting_groups WHERE workspace_id = $1 AND changed > $2;

-- name: timers_at_first
-- What is yet to happen.
SELECT body::text AS body FROM alerting_timers WHERE workspace_id = $1 AND done_at IS NULL;

-- name: timers_since
-- The timers that were set or claimed after a number.
SELECT body::text AS body, done_at IS NOT NULL AS done FROM alerting_timers WHERE workspace_id = $1 AND changed > $2;

-- name: notifications_at_first
-- The messages that have yet to be sent.
SELECT body::text AS body FROM alerting_notifications
WHERE workspace_id = $1 AND state IN ('pending', 'sending');

-- name: notifications_since
-- The messages that were changed after a number.
SELECT body::text AS body FROM alerting_notifications WHERE workspace_id = $1 AND changed > $2;

-- name: put_alert
-- Write an alert in the place of the one with its fingerprint.
INSERT INTO alerting_alerts (workspace_id, fingerprint, active, severity, group_id, seen_at, changed, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb)
ON CONFLICT (workspace_id, fingerprint) DO UPDATE SET
    active = excluded.active, severity = excluded.severity, group_id = excluded.group_id, seen_at = excluded.seen_at,
    changed = excluded.changed, body = excluded.body;

-- name: put_group
-- Write a group in the place of the one with its id.
INSERT INTO alerting_groups (workspace_id, id, status, severity, opened_at, changed, body)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb)
ON CONFLICT (workspace_id, id) DO UPDATE SET
    status = excluded.status, severity = excluded.severity, changed = excluded.changed, body = excluded.body;

-- name: set_timer
-- Set a timer; one that was claimed stays claimed.
INSERT INTO alerting_timers (workspace_id, id, group_id, due_at, changed, body)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonb) ON CONFLICT (workspace_id, id) DO NOTHING;

-- name: claim_timers
-- Claim timers: only one process ever gets each of them back.
UPDATE alerting_timers SET done_at = $3, changed = $4
WHERE workspace_id = $1 AND id = ANY($2::text[]) AND done_at IS NULL RETURNING id;

-- name: put_notification
-- Put a message into the outbox, or write what became of it; one that was sent stays sent.
INSERT INTO alerting_notifications (workspace_id, key, group_id, state, created_at, claimed_until, changed, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb)
ON CONFLICT (workspace_id, key) DO UPDATE SET
    state = excluded.state, claimed_until = excluded.claimed_until, changed = excluded.changed, body = excluded.body
WHERE alerting_notifications.state <> 'sent' OR excluded.state = 'sent';

-- name: count_sent
-- How many of these messages were sent or taken back already: they are nobody's to claim.
SELECT count(*) FROM alerting_notifications
WHERE workspace_id = $1 AND key = ANY($2::text[]) AND state IN ('sent', 'cancelled', 'failed');

-- name: insert_decision
-- Keep why somebody was, or was not, told.
INSERT INTO alerting_decisions (workspace_id, at, fingerprint, group_id, body)
VALUES ($1, $2, $3, $4, $5::text::jsonb);

-- name: page_of_alerts
-- A page of a workspace's alerts, those heard of last first.
SELECT body::text AS body FROM alerting_alerts
WHERE workspace_id = $1 AND (seen_at, fingerprint) < ($2::timestamptz, $3)
  AND ($4::boolean IS NULL OR active = $4) AND ($5::text IS NULL OR severity = $5)
  AND ($6::text IS NULL OR group_id = $6)
ORDER BY seen_at DESC, fingerprint DESC LIMIT $7;

-- name: alert
-- One alert.
SELECT body::text AS body FROM alerting_alerts WHERE workspace_id = $1 AND fingerprint = $2;

-- name: page_of_groups
-- A page of a workspace's groups, newest first.
SELECT body::text AS body FROM alerting_groups
WHERE workspace_id = $1 AND (opened_at, id) < ($2::timestamptz, $3) AND ($4::text IS NULL OR status = $4)
ORDER BY opened_at DESC, id DESC LIMIT $5;

-- name: group
-- One group.
SELECT body::text AS body FROM alerting_groups WHERE workspace_id = $1 AND id = $2;

-- name: notifications_of_group
-- The messages of a group, oldest first.
SELECT body::text AS body FROM alerting_notifications
WHERE workspace_id = $1 AND group_id = $2 ORDER BY created_at, key LIMIT $3;

-- name: told_of_live_groups
-- What was sent about groups that are not resolved, newest first, with the group as it is.
SELECT groups.body::text AS told_group, sent.body::text AS body
FROM alerting_notifications sent JOIN alerting_groups groups
    ON groups.workspace_id = sent.workspace_id AND groups.id = sent.group_id
WHERE sent.workspace_id = $1 AND groups.status <> 'resolved' AND sent.state IN ('sent', 'sending')
ORDER BY sent.created_at DESC, sent.key LIMIT $2;

-- name: decisions_of_alert
-- What was decided about an alert, newest first.
SELECT at, body::text AS body FROM alerting_decisions
WHERE workspace_id = $1 AND fingerprint = $2 ORDER BY decision_no DESC LIMIT $3;

-- name: decisions_of_group
-- What was decided about a group and its alerts, newest first.
SELECT at, body::text AS body FROM alerting_decisions
WHERE workspace_id = $1 AND group_id = $2 ORDER BY decision_no DESC LIMIT $3;

-- name: purge_alerts
-- Delete alerts that ceased long ago.
-- cross-workspace: retention is the same for everybody.
DELETE FROM alerting_alerts WHERE (workspace_id, fingerprint) IN (
    SELECT workspace_id, fingerprint FROM alerting_alerts WHERE seen_at < $1 AND NOT active LIMIT $2
);

-- name: purge_groups
-- Delete groups that were opened long ago and are resolved.
-- cross-workspace: retention is the same for everybody.
DELETE FROM alerting_groups WHERE (workspace_id, id) IN (
    SELECT workspace_id, id FROM alerting_groups WHERE opened_at < $1 AND status = 'resolved' LIMIT $2
);

-- name: purge_notifications
-- Delete messages of long ago that nobody waits for.
-- cross-workspace: retention is the same for everybody.
DELETE FROM alerting_notifications WHERE (workspace_id, key) IN (
    SELECT workspace_id, key FROM alerting_notifications
    WHERE created_at < $1 AND state NOT IN ('pending', 'sending') LIMIT $2
);

-- name: purge_timers
-- Delete timers that were claimed a day ago.
-- cross-workspace: retention is the same for everybody.
DELETE FROM alerting_timers WHERE (workspace_id, id) IN (
    SELECT workspace_id, id FROM alerting_timers WHERE done_at < $1 LIMIT $2
);

-- name: purge_decisions
-- Delete decisions of long ago.
-- cross-workspace: retention is the same for everybody.
DELETE FROM alerting_decisions WHERE decision_no IN (
    SELECT decision_no FROM alerting_decisions WHERE at < $1 LIMIT $2
);
