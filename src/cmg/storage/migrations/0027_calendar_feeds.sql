-- Subscriptions to schedules: 0.3 KB each, at most 200 a workspace, until they are revoked or long expired.
-- The secret of the address is kept as SHA-256 alone.
CREATE TABLE alerting_feeds (
    id           text PRIMARY KEY,
    workspace_id text NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('schedules', 'responders')),
    subject      text NOT NULL,
    secret_hash  bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    created_by   text NOT NULL,
    rotated_at   timestamptz,
    expires_at   timestamptz,
    read_at      timestamptz
);

CREATE INDEX alerting_feeds_by_workspace ON alerting_feeds (workspace_id, id);
CREATE INDEX alerting_feeds_expiring ON alerting_feeds (expires_at) WHERE expires_at IS NOT NULL;
