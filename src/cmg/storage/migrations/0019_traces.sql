-- Kept traces of the last hours: a row for each request or job, 1 to 3 KB; `traces.keep_hours` and `traces.keep_most`
-- bound them. A trace that several requests belong to has several rows.
CREATE TABLE traces (
    id           uuid PRIMARY KEY,              -- of the request or job; version 7, so it sorts by time
    trace_id     uuid NOT NULL,
    at           timestamptz NOT NULL,          -- when it began
    workspace_id text,                          -- null: nobody's, as a job or a request without a good key
    person       bytea,                         -- digest of the user whom it names
    kind         text NOT NULL,                 -- request, job
    name         text NOT NULL,                 -- POST /v1/chat/completions
    model        text,
    reason       text NOT NULL,                 -- error, slow, asked, share
    failed       boolean NOT NULL,
    status       smallint NOT NULL,             -- of HTTP; 0 for a job
    duration_ms  double precision NOT NULL,
    spans        smallint NOT NULL,             -- how many parts its body has
    body         bytea NOT NULL                 -- MessagePack
);

CREATE INDEX traces_by_trace ON traces (trace_id);
CREATE INDEX traces_by_time ON traces (at);
CREATE INDEX traces_by_person ON traces (workspace_id, person) WHERE person IS NOT NULL;
