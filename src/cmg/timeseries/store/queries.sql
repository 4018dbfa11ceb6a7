-- name: lock_writers
-- Writers take turns until their transaction ends: each reads chunks, adds to them and writes them back.
SELECT pg_advisory_xact_lock($1);

-- name: add_series
-- Series that samples are about to be written of.
INSERT INTO timeseries_series (number, labels, created_at)
SELECT number, labels, $3 FROM unnest($1::bigint[], $2::jsonb[]) AS new (number, labels) ORDER BY number
ON CONFLICT DO NOTHING;

-- name: every_series
-- The labels of all series that are kept.
SELECT number, labels FROM timeseries_series;

-- name: chunks_to_extend
-- The chunks of some series and starts that are there already.
SELECT c.number, c.start_ms, c.data FROM timeseries_chunks c
JOIN unnest($2::bigint[], $3::bigint[]) AS wanted (number, start_ms) USING (number, start_ms)
WHERE c.span_ms = $1;

-- name: put_chunks
-- New chunks of one span, in the place of those that they extend.
INSERT INTO timeseries_chunks (number, span_ms, start_ms, samples, last_ms, data, written_at)
SELECT number, $1, start_ms, samples, last_ms, data, $7
FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::bigint[], $6::bytea[])
    AS new (number, start_ms, samples, last_ms, data)
ON CONFLICT (number, span_ms, start_ms) DO UPDATE SET
    samples = excluded.samples, last_ms = excluded.last_ms, data = excluded.data, written_at = excluded.written_at;

-- name: chunks_between
-- Every chunk of some series that may hold samples between two times, at most a number of them.
SELECT number, span_ms, start_ms, samples, data FROM timeseries_chunks
WHERE number = ANY($1::bigint[]) AND span_ms = ANY($2::bigint[]) AND start_ms > $3 - span_ms AND start_ms <= $4
LIMIT $5;

-- name: samples_between
-- How many samples these chunks hold.
SELECT coalesce(sum(samples), 0) FROM timeseries_chunks
WHERE number = ANY($1::bigint[]) AND span_ms = ANY($2::bigint[]) AND start_ms > $3 - span_ms AND start_ms <= $4;

-- name: record_import
-- An import is done: what answers queries has new samples to look for.
INSERT INTO timeseries_imports (imported_at, samples, last_ms) VALUES ($1, $2, $3);

-- name: imports_known
-- The newest import, and the newest sample that one of them brought.
SELECT coalesce(max(import_no), 0) AS newest, coalesce(max(last_ms), 0) AS last_ms FROM timeseries_imports;

-- name: days_to_compact
-- Series with hours of a day that is over, a bounded number, the oldest day first.
SELECT number, start_ms / $2 AS day FROM timeseries_chunks
WHERE span_ms = $1 AND start_ms < $3 ORDER BY start_ms / $2 LIMIT $4;

-- name: hours_of_day
-- The hours of some series within one day, in order, with their labels.
SELECT c.number, c.data, s.labels FROM timeseries_chunks c JOIN timeseries_series s USING (number)
WHERE c.number = ANY($1::bigint[]) AND c.span_ms = $2 AND c.start_ms >= $3 AND c.start_ms < $4
ORDER BY c.number, c.start_ms;

-- name: drop_hours
-- The hours of some series within one day are in its chunk now.
DELETE FROM timeseries_chunks
WHERE number = ANY($1::bigint[]) AND span_ms = $2 AND start_ms >= $3 AND start_ms < $4;

-- name: purge_chunks
-- Chunks of one span whose time and whose writing lie before a moment, a bounded number.
DELETE FROM timeseries_chunks WHERE (number, span_ms, start_ms) IN (
    SELECT number, span_ms, start_ms FROM timeseries_chunks
    WHERE span_ms = $1 AND start_ms < $2 - $1 AND written_at < $3 LIMIT $4
);

-- name: purge_series
-- Series without any chunk that were not made just now.
DELETE FROM timeseries_series s
WHERE s.created_at < $1 AND NOT EXISTS (SELECT 1 FROM timeseries_chunks c WHERE c.number = s.number);

-- name: purge_imports
-- Imports whose samples are gone with their time.
DELETE FROM timeseries_imports WHERE imported_at < $1;
