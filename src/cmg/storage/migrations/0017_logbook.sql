-- The logbook: log lines of the service and of what is collected beside it, found by time, words and ids.

CREATE SEQUENCE log_line_numbers;

-- One line. A partition a day (UTC), moved to a file and dropped after `logs.hot_days`. 400 to 900 bytes each with its
-- indexes. `fields` holds what has no column of its own, by its ECS name.
CREATE TABLE log_lines (
    at           timestamptz NOT NULL,
    line_no      bigint NOT NULL DEFAULT nextval('log_line_numbers'),
    severity     smallint NOT NULL, -- 10 debug, 20 info, 30 warning, 40 error, 50 critical
    logger       text NOT NULL,
    service      text NOT NULL,
    message      text NOT NULL,
    fields       jsonb,
    workspace_id text,              -- null: of the service itself
    request_id   text,
    trace_id     text,
    user_hash    text,              -- a pseudonym
    pattern_no   bigint,
    search       tsvector NOT NULL GENERATED ALWAYS AS (
        to_tsvector('simple', message) || coalesce(jsonb_to_tsvector('simple', fields, '["string"]'), '')
    ) STORED
) PARTITION BY RANGE (at);

CREATE TABLE log_lines_default PARTITION OF log_lines DEFAULT;

CREATE INDEX log_lines_by_time ON log_lines (at, line_no);
CREATE INDEX log_lines_by_number ON log_lines (line_no);
CREATE INDEX log_lines_by_words ON log_lines USING gin (search);
CREATE INDEX log_lines_by_workspace ON log_lines (workspace_id, at, line_no) WHERE workspace_id IS NOT NULL;
CREATE INDEX log_lines_by_request ON log_lines (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX log_lines_by_trace ON log_lines (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX log_lines_by_user ON log_lines (workspace_id, user_hash) WHERE user_hash IS NOT NULL;
CREATE INDEX log_lines_of_errors ON log_lines (at, line_no) WHERE severity >= 40;

-- How far each file of a spool is stored; a row goes with its file, at the latest after a week. 100 bytes each.
CREATE TABLE log_offsets (
    segment  text PRIMARY KEY,
    position bigint NOT NULL,
    at       timestamptz NOT NULL
);
