-- Log lines of days that have left PostgreSQL: files, and what must not expire.

-- A file of lines and its index, in the local folder or the object store; its lines are one run of one day. It is
-- searched when it is `ready`; before that its day is still in `log_lines`. 300 bytes each, removed with the file.
CREATE TABLE log_files (
    file_id  uuid PRIMARY KEY,
    day      date NOT NULL,
    state    text NOT NULL,           -- 'writing', 'written', 'ready', 'doomed'
    tier     text NOT NULL,           -- 'cold', 'archive'
    name     text NOT NULL,
    first_at timestamptz,
    first_no bigint,
    last_at  timestamptz,
    last_no  bigint,
    severity smallint NOT NULL DEFAULT 0,
    lines    bigint NOT NULL DEFAULT 0,
    bytes    bigint NOT NULL DEFAULT 0,
    at       timestamptz NOT NULL     -- when its state last changed
);

CREATE INDEX log_files_by_time ON log_files (last_at, first_at) WHERE state = 'ready';
CREATE INDEX log_files_by_day ON log_files (day);

-- A legal hold: files with lines of its time do not expire. Kept for good.
CREATE TABLE log_holds (
    hold_id      uuid PRIMARY KEY,
    workspace_id text,                -- whom it is about; the files hold other lines too and are kept whole
    reason       text NOT NULL,
    since        timestamptz NOT NULL,
    until        timestamptz,         -- null: of all time to come
    placed_by    text NOT NULL,
    placed_at    timestamptz NOT NULL,
    released_by  text,
    released_at  timestamptz
);

-- A kind of message, mined from lines; removed when no line of it has come for 90 days. 500 bytes to 2 KB each, at most
-- 20,000 from each machine.
CREATE TABLE log_patterns (
    pattern_no   bigint PRIMARY KEY,
    workspace_id text,
    logger       text NOT NULL,
    template     text NOT NULL,
    severity     smallint NOT NULL,  -- the highest of its lines
    sample       text NOT NULL,      -- the first message
    first_at     timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    lines        bigint NOT NULL
);

CREATE INDEX log_patterns_by_last ON log_patterns (last_at);

-- How many lines a pattern had in an hour; kept for 90 days. 60 bytes each.
CREATE TABLE log_pattern_hours (
    pattern_no bigint NOT NULL,
    hour       timestamptz NOT NULL,
    lines      bigint NOT NULL,
    PRIMARY KEY (pattern_no, hour)
);

CREATE INDEX log_pattern_hours_by_hour ON log_pattern_hours (hour);

-- Levels of loggers that differ from the settings', until they end. 100 bytes each; one that has ended is removed.
CREATE TABLE log_levels (
    logger text PRIMARY KEY,
    level  text NOT NULL,
    until  timestamptz,              -- null: until it is changed again
    set_by text NOT NULL,
    set_at timestamptz NOT NULL
);
