-- What is not over yet is a few rows of many: the pager and its auditor look for nothing else.
CREATE INDEX alerting_notifications_waiting ON alerting_notifications (workspace_id) WHERE state IN ('pending', 'sending');
CREATE INDEX alerting_groups_live ON alerting_groups (workspace_id) WHERE status <> 'resolved';
