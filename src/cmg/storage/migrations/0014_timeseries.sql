-- Samples over time: every series by its labels, its samples in compressed chunks, and what was imported.

-- A row for each set of labels that was ever kept, removed with its last chunk. The number is a hash of the labels,
-- so that whoever scrapes knows it without asking. 300 bytes each.
CREATE TABLE timeseries_series (
    number     bigint PRIMARY KEY,
    labels     jsonb NOT NULL, -- name, value, name, value, …, by name
    created_at timestamptz NOT NULL
);

-- A series' samples within one span of time: an hour as it was flushed, a day as hours are compacted or imports are
-- written, a week at a resolution of five minutes. 1 to 3 bytes a sample, 100 for the row.
CREATE TABLE timeseries_chunks (
    number     bigint NOT NULL,
    span_ms    bigint NOT NULL,
    start_ms   bigint NOT NULL,
    samples    integer NOT NULL,
    last_ms    bigint NOT NULL,
    data       bytea NOT NULL,
    written_at timestamptz NOT NULL,
    PRIMARY KEY (number, span_ms, start_ms)
);

CREATE INDEX timeseries_chunks_by_start ON timeseries_chunks (span_ms, start_ms);

-- What was imported, so that the process that answers queries looks for it. 60 bytes each, kept as long as samples.
CREATE TABLE timeseries_imports (
    import_no   bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    imported_at timestamptz NOT NULL,
    samples     bigint NOT NULL,
    last_ms     bigint NOT NULL
);
