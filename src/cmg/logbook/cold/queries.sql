-- name: oldest_line
-- The time of the oldest line in the database.
-- cross-workspace: a day is moved whole.
SELECT min(at) FROM log_lines;

-- name: newest_number
-- The number that lines have reached: what comes later has a higher one.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM log_line_numbers;

-- name: lines_of_day
-- The next lines of a day behind a line, in order, among those that were there when its move began.
-- cross-workspace: a day is moved whole.
SELECT at, line_no, severity, logger, service, message, fields, workspace_id, request_id, trace_id, user_hash,
    pattern_no
FROM log_lines
WHERE at >= $1 AND at < $2 AND at >= $3 AND (at, line_no) > ($3, $4) AND line_no <= $5
ORDER BY at, line_no LIMIT $6;

-- name: late_lines
-- Whether lines came into a day after its move began.
-- cross-workspace: a day is moved whole.
SELECT EXISTS (SELECT 1 FROM log_lines WHERE at >= $1 AND at < $2 AND line_no > $3);

-- name: delete_lines_of_day
-- The lines of a day that are in a file now and in no partition of their own.
-- cross-workspace: a day is moved whole.
DELETE FROM log_lines WHERE at >= $1 AND at < $2;

-- name: lock_moves
-- One process moves days at a time, as long as its connection lives.
SELECT pg_try_advisory_lock($1);

-- name: hold_writers_up
-- No line comes in until this transaction ends, so that none is in a day that is dropped.
-- cross-workspace: a day is moved whole.
LOCK TABLE log_lines IN SHARE ROW EXCLUSIVE MODE;

-- name: begin_file
-- A file is about to be written.
INSERT INTO log_files (file_id, day, state, tier, name, at) VALUES ($1, $2, 'writing', 'cold', $3, $4);

-- name: file_written
-- A file is complete; its lines are still in the database.
UPDATE log_files SET state = 'written', first_at = $2, first_no = $3, last_at = $4, last_no = $5, severity = $6,
    lines = $7, bytes = $8, at = $9
WHERE file_id = $1;

-- name: files_of_day
-- The files of a day whose move has not ended.
SELECT file_id, day, state, tier, name, first_at, first_no, last_at, last_no, severity, lines, bytes FROM log_files
WHERE day = $1 AND state IN ('writing', 'written') ORDER BY file_id;

-- name: day_ready
-- A day's lines are in its files only from now on.
UPDATE log_files SET state = 'ready', at = $2 WHERE day = $1 AND state = 'written';

-- name: doom
-- Files that are to be deleted; nobody reads them any more.
UPDATE log_files SET state = 'doomed', at = $2 WHERE file_id = ANY($1::uuid[]);

-- name: doomed
-- Files to delete, once whoever reads them now is done.
SELECT file_id, day, state, tier, name, first_at, first_no, last_at, last_no, severity, lines, bytes FROM log_files
WHERE state = 'doomed' AND at < $1 ORDER BY at LIMIT $2;

-- name: forget_file
-- A file is deleted.
DELETE FROM log_files WHERE file_id = $1;

-- name: ready_files
-- Files that may hold lines of a time, of some tiers and at least one severity, the newest first.
SELECT file_id, day, state, tier, name, first_at, first_no, last_at, last_no, severity, lines, bytes FROM log_files
WHERE state = 'ready' AND tier = ANY($1::text[]) AND last_at >= $2 AND first_at <= $3 AND severity >= $4
ORDER BY last_at DESC, file_id DESC LIMIT $5;

-- name: to_archive
-- Cold files of days before one.
SELECT file_id, day, state, tier, name, first_at, first_no, last_at, last_no, severity, lines, bytes FROM log_files
WHERE state = 'ready' AND tier = 'cold' AND day < $1 ORDER BY day LIMIT $2;

-- name: archived
-- A file is in the archive under this name.
UPDATE log_files SET tier = 'archive', name = $2, at = $3 WHERE file_id = $1 AND state = 'ready';

-- name: expire
-- Files of days before one that no hold covers are to be deleted, a bounded number.
-- cross-workspace: retention is the same for everybody, and a hold keeps whole files.
UPDATE log_files SET state = 'doomed', at = $2 WHERE file_id IN (
    SELECT file_id FROM log_files f WHERE state = 'ready' AND day < $1 AND NOT EXISTS (
        SELECT 1 FROM log_holds h
        WHERE h.released_at IS NULL AND h.since <= f.last_at AND (h.until IS NULL OR h.until >= f.first_at)
    ) ORDER BY day LIMIT $3
);

-- name: replace_file
-- A file was written anew without somebody's name: its place, lines and size.
UPDATE log_files SET name = $2, lines = $3, bytes = $4, at = $5 WHERE file_id = $1 AND name = $6 AND state = 'ready';

-- name: sums
-- How many files, lines and bytes each tier has.
SELECT tier, count(*) AS files, coalesce(sum(lines), 0)::bigint AS lines, coalesce(sum(bytes), 0)::bigint AS bytes
FROM log_files WHERE state = 'ready' GROUP BY tier;

-- name: place_hold
-- A new hold.
INSERT INTO log_holds (hold_id, workspace_id, reason, since, until, placed_by, placed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: release_hold
-- A hold ends; its row stays.
-- cross-workspace: only callers who see every workspace hold and release.
UPDATE log_holds SET released_by = $2, released_at = $3 WHERE hold_id = $1 AND released_at IS NULL;

-- name: holds
-- Every hold, the newest first.
-- cross-workspace: only callers who see every workspace hold and release.
SELECT hold_id, workspace_id, reason, since, until, placed_by, placed_at, released_by, released_at FROM log_holds
ORDER BY placed_at DESC, hold_id DESC LIMIT $1;
