-- Calls of one user, newest first: pages of the console and of `/admin/v1/requests`.
CREATE INDEX usage_records_by_user ON usage_records (workspace_id, user_id, at) WHERE user_id IS NOT NULL;

-- Calls that did not end well, by how: few of many, so it weighs little.
CREATE INDEX usage_records_of_failures ON usage_records (workspace_id, status, at) WHERE status <> 'ok';
