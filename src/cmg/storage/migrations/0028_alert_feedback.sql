-- What people say of alerts: useful or noise, once for each firing and person. 200 bytes each; kept
-- `retention.alerts_days`.
CREATE TABLE alerting_feedback (
    workspace_id text NOT NULL,
    fingerprint  text NOT NULL,
    episode      integer NOT NULL,
    by           text NOT NULL,
    rule         text NOT NULL,
    verdict      text NOT NULL CHECK (verdict IN ('useful', 'noise')),
    comment      text NOT NULL,
    group_id     text,
    at           timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, fingerprint, episode, by)
);

CREATE INDEX alerting_feedback_by_group ON alerting_feedback (workspace_id, group_id);
CREATE INDEX alerting_feedback_by_at ON alerting_feedback (at);
