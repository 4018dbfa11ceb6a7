-- Groups of alerts that opened or joined incidents: 0.3 KB each; they go with their incident. Times are the group's.
CREATE TABLE incident_alerts (
    group_id        text PRIMARY KEY,
    incident_id     bigint NOT NULL REFERENCES incidents ON DELETE CASCADE,
    title           text NOT NULL,
    severity        text NOT NULL,
    labels          jsonb NOT NULL,
    opened_at       timestamptz NOT NULL,
    acknowledged_at timestamptz,
    resolved_at     timestamptz
);

CREATE INDEX incident_alerts_by_incident ON incident_alerts (incident_id);

-- How far the alerting of the service was followed: the number of its last change that incidents know. One row.
CREATE TABLE incident_watch (
    single     boolean PRIMARY KEY DEFAULT true CHECK (single),
    generation bigint NOT NULL
);

INSERT INTO incident_watch (generation)
SELECT coalesce(max(generation), 0) FROM alerting_heads WHERE workspace_id = 'default';

-- Calls of a period whoever made them: rows come in the order of time, so a few bytes for every 128 pages do.
CREATE INDEX usage_records_by_time ON usage_records USING brin (at);

-- What is to be done after an incident: 0.4 KB each, at most 100 an incident; they go with it.
CREATE TABLE incident_actions (
    id          bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    incident_id bigint NOT NULL REFERENCES incidents ON DELETE CASCADE,
    text        text NOT NULL,
    owner       text NOT NULL,
    due_at      timestamptz,
    state       text NOT NULL CHECK (state IN ('open', 'done', 'dropped')),
    ended_at    timestamptz,
    ended_by    text NOT NULL,
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL
);

CREATE INDEX incident_actions_by_incident ON incident_actions (incident_id, id);
CREATE INDEX incident_actions_open ON incident_actions (id) WHERE state = 'open';

-- The plots of a closed incident, drawn while the samples were there: 10 KB each, 4 an incident; they go with it.
CREATE TABLE incident_plots (
    incident_id bigint NOT NULL REFERENCES incidents ON DELETE CASCADE,
    name        text NOT NULL,
    title       text NOT NULL,
    svg         text NOT NULL,
    PRIMARY KEY (incident_id, name)
);
