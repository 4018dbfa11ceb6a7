-- Alerts, whom they were told, and what people configured for that. A workspace sees its own alone.

-- One row for each workspace: whoever changes something of its alerting holds this row, and gives the change the next
-- number. `setup`: the number of the last change of its documents.
CREATE TABLE alerting_heads (
    workspace_id text PRIMARY KEY,
    generation   bigint NOT NULL DEFAULT 0,
    setup        bigint NOT NULL DEFAULT 0
);

-- What people write: silences, windows, routes, responders, channels, schedules, policies. Secrets in it are encrypted.
-- Bounded: 1,000 for each kind and workspace. 500 bytes each.
CREATE TABLE alerting_documents (
    workspace_id text NOT NULL,
    kind         text NOT NULL,
    id           text NOT NULL,
    body         jsonb NOT NULL,
    changed      bigint NOT NULL,
    updated_at   timestamptz NOT NULL,
    updated_by   text NOT NULL,
    PRIMARY KEY (workspace_id, kind, id)
);

-- One row for each set of labels that was ever told of. 1 kB each; kept `retention.alerts_days` after it ceased.
CREATE TABLE alerting_alerts (
    workspace_id text NOT NULL,
    fingerprint  text NOT NULL,
    active       boolean NOT NULL,
    severity     text NOT NULL,
    group_id     text,
    seen_at      timestamptz NOT NULL,
    changed      bigint NOT NULL,
    body         jsonb NOT NULL,
    PRIMARY KEY (workspace_id, fingerprint)
);

CREATE INDEX alerting_alerts_by_change ON alerting_alerts (workspace_id, changed);
CREATE INDEX alerting_alerts_by_seen_at ON alerting_alerts (workspace_id, seen_at, fingerprint);
CREATE INDEX alerting_alerts_by_group ON alerting_alerts (workspace_id, group_id);

-- Alerts that people hear of together. 600 bytes each; kept `retention.alerts_days`.
CREATE TABLE alerting_groups (
    workspace_id text NOT NULL,
    id           text NOT NULL,
    status       text NOT NULL,
    severity     text NOT NULL,
    opened_at    timestamptz NOT NULL,
    changed      bigint NOT NULL,
    body         jsonb NOT NULL,
    PRIMARY KEY (workspace_id, id)
);

CREATE INDEX alerting_groups_by_change ON alerting_groups (workspace_id, changed);
CREATE INDEX alerting_groups_by_opened_at ON alerting_groups (workspace_id, opened_at, id);

-- What is to happen to a group, and when. A timer is claimed by setting done_at. 150 bytes each, kept a day.
CREATE TABLE alerting_timers (
    workspace_id text NOT NULL,
    id           text NOT NULL,
    group_id     text NOT NULL,
    due_at       timestamptz NOT NULL,
    done_at      timestamptz,
    changed      bigint NOT NULL,
    body         jsonb NOT NULL,
    PRIMARY KEY (workspace_id, id)
);

CREATE INDEX alerting_timers_by_change ON alerting_timers (workspace_id, changed);
CREATE INDEX alerting_timers_by_due ON alerting_timers (due_at) WHERE done_at IS NULL;

-- The outbox: a message for one address. The key is that of group, target and step, so none is put in twice.
-- 1 kB each; kept `retention.alerts_days`.
CREATE TABLE alerting_notifications (
    workspace_id  text NOT NULL,
    key           text NOT NULL,
    group_id      text NOT NULL,
    state         text NOT NULL,
    created_at    timestamptz NOT NULL,
    claimed_until timestamptz,
    changed       bigint NOT NULL,
    body          jsonb NOT NULL,
    PRIMARY KEY (workspace_id, key)
);

CREATE INDEX alerting_notifications_by_change ON alerting_notifications (workspace_id, changed);
CREATE INDEX alerting_notifications_by_group ON alerting_notifications (workspace_id, group_id, created_at);
CREATE INDEX alerting_notifications_by_created_at ON alerting_notifications (created_at);

-- Why somebody was, or was not, told. 700 bytes for each change of an alert; kept `retention.alerts_days`.
CREATE TABLE alerting_decisions (
    decision_no  bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    workspace_id text NOT NULL,
    at           timestamptz NOT NULL,
    fingerprint  text,
    group_id     text,
    body         jsonb NOT NULL
);

CREATE INDEX alerting_decisions_by_alert ON alerting_decisions (workspace_id, fingerprint, decision_no);
CREATE INDEX alerting_decisions_by_group ON alerting_decisions (workspace_id, group_id, decision_no);
CREATE INDEX alerting_decisions_by_at ON alerting_decisions (at);

-- Who does what only one process may do, and until when it may. A few rows.
CREATE TABLE alerting_leases (
    name   text PRIMARY KEY,
    holder text NOT NULL,
    until  timestamptz NOT NULL
);
