-- Incidents of the service, their timeline, what is said of them, markers of operation, maintenances, and the days of the
-- public status page. They are the service's own and no workspace's.

-- One row of 1 to 4 KB an incident; closed ones are kept for retention.incidents_days (incidents.retention).
CREATE TABLE incidents (
    id               bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    severity         smallint NOT NULL CHECK (severity BETWEEN 1 AND 4),
    status           text NOT NULL CHECK (status IN ('investigating', 'identified', 'monitoring', 'resolved', 'closed')),
    title            text NOT NULL,
    summary          text NOT NULL,
    origin           text NOT NULL CHECK (origin IN ('hand', 'alert')),
    public           boolean NOT NULL,           -- shown on the status page
    public_title     text NOT NULL,              -- … under this name; empty: by its components
    components       jsonb NOT NULL,             -- component of the status page → its status while this lasts
    labels           jsonb NOT NULL,             -- of the alerts that it was opened from
    started_at       timestamptz NOT NULL,       -- when the trouble began
    detected_at      timestamptz NOT NULL,       -- when somebody or something noticed
    declared_at      timestamptz NOT NULL,
    acknowledged_at  timestamptz,
    triaged_at       timestamptz,
    identified_at    timestamptz,
    resolved_at      timestamptz,
    closed_at        timestamptz,
    reviewed_at      timestamptz,
    commander        text NOT NULL,
    communications   text NOT NULL,
    scribe           text NOT NULL,
    business_impact  text NOT NULL,
    reputation       text NOT NULL,
    cause            text NOT NULL,
    factors          text[] NOT NULL,
    lessons          text NOT NULL,
    impact           jsonb,                      -- computed from the ledger at the resolution
    created_by       text NOT NULL,
    updated_at       timestamptz NOT NULL
);

CREATE INDEX incidents_open ON incidents (id) WHERE status NOT IN ('resolved', 'closed');
CREATE INDEX incidents_by_start ON incidents (started_at);

-- What happened, in order of `at`: 0.3 KB a line, at most 5,000 an incident; it goes with the incident.
CREATE TABLE incident_entries (
    id          bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    incident_id bigint NOT NULL REFERENCES incidents ON DELETE CASCADE,
    at          timestamptz NOT NULL,
    kind        text NOT NULL,
    actor       text NOT NULL,
    text        text NOT NULL,
    details     jsonb NOT NULL,
    ref         text,                            -- where it came from, so that nothing is taken over twice
    UNIQUE (incident_id, ref)
);

CREATE INDEX incident_entries_by_time ON incident_entries (incident_id, at, id);

-- What was said of an incident, to whom, and what became of it: 1 KB each; it goes with the incident.
CREATE TABLE incident_communications (
    id          bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    incident_id bigint NOT NULL REFERENCES incidents ON DELETE CASCADE,
    at          timestamptz NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('initial', 'update', 'resolution', 'post_incident')),
    audience    text NOT NULL CHECK (audience IN ('internal', 'customer')),
    status      text NOT NULL,                   -- the incident's when it was said, in the status page's words
    components  jsonb NOT NULL,
    subject     text NOT NULL,
    body        text NOT NULL,
    deliveries  jsonb NOT NULL,                  -- [{channel, outcome, detail}]
    actor       text NOT NULL
);

CREATE INDEX incident_communications_by_incident ON incident_communications (incident_id, id);

-- Deploys and other things that were done to the service, told by whoever did them: 0.4 KB each, for retention.events_days.
CREATE TABLE operation_markers (
    id      bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at      timestamptz NOT NULL,
    kind    text NOT NULL,
    title   text NOT NULL,
    source  text NOT NULL,
    link    text NOT NULL,
    details jsonb NOT NULL,
    ref     text UNIQUE,                         -- the sender's own id: a repeated call is the same marker
    actor   text NOT NULL
);

CREATE INDEX operation_markers_by_time ON operation_markers (at, id);

-- Maintenances as the status page announces them: 1 KB each, kept as incidents are.
CREATE TABLE maintenances (
    id           bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    title        text NOT NULL,
    body         text NOT NULL,
    components   text[] NOT NULL,
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL CHECK (ends_at > starts_at),
    began_at     timestamptz,
    completed_at timestamptz,
    cancelled_at timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    created_by   text NOT NULL
);

CREATE INDEX maintenances_by_end ON maintenances (ends_at);

-- For how many seconds of a day (UTC) each component of the status page was in which state: 120 bytes a component and day,
-- for 400 days. `until` is how far the day was observed, so that two machines cannot count the same second twice.
CREATE TABLE status_days (
    day           date NOT NULL,
    component     text NOT NULL,
    operational_s double precision NOT NULL,
    degraded_s    double precision NOT NULL,
    partial_s     double precision NOT NULL,
    major_s       double precision NOT NULL,
    maintenance_s double precision NOT NULL,
    until         timestamptz NOT NULL,
    PRIMARY KEY (day, component)
) WITH (fillfactor = 50);
