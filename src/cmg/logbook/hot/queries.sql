-- name: page
-- A page of lines, newest first, of one workspace or of all, by everything that a search may name.
SELECT at, line_no, severity, logger, service, message, fields, workspace_id, request_id, trace_id, user_hash,
    pattern_no
FROM log_lines
WHERE at >= $1 AND at <= $2 AND (at, line_no) < ($2, $3)
    AND ($4::text IS NULL OR workspace_id = $4)
    AND ($5::smallint IS NULL OR severity >= $5)
    AND ($6::text IS NULL OR logger = $6 OR starts_with(logger, $6 || '.'))
    AND ($7::text IS NULL OR request_id = $7)
    AND ($8::text IS NULL OR trace_id = $8)
    AND ($9::text IS NULL OR service = $9)
    AND ($10::bigint IS NULL OR pattern_no = $10)
    AND ($11::text IS NULL OR search @@ websearch_to_tsquery('simple', $11))
ORDER BY at DESC, line_no DESC LIMIT $12;

-- name: page_by_words
-- The same for lines that hold rare words: all of them are found first, by the index of words, up to a number that tells
-- that they are not rare; one row comes at least, which says how many they were.
WITH found AS MATERIALIZED (
    SELECT at, line_no, severity, logger, service, message, fields, workspace_id, request_id, trace_id, user_hash,
        pattern_no
    FROM log_lines
    WHERE at >= $1 AND at <= $2 AND search @@ websearch_to_tsquery('simple', $11) LIMIT $13
)
SELECT (SELECT count(*) FROM found) AS candidates, page.*
FROM (VALUES (1)) AS one LEFT JOIN LATERAL (
    SELECT * FROM found
    WHERE (at, line_no) < ($2, $3)
        AND ($4::text IS NULL OR workspace_id = $4)
        AND ($5::smallint IS NULL OR severity >= $5)
        AND ($6::text IS NULL OR logger = $6 OR starts_with(logger, $6 || '.'))
        AND ($7::text IS NULL OR request_id = $7)
        AND ($8::text IS NULL OR trace_id = $8)
        AND ($9::text IS NULL OR service = $9)
        AND ($10::bigint IS NULL OR pattern_no = $10)
    ORDER BY at DESC, line_no DESC LIMIT $12
) AS page ON true;

-- name: newer
-- Lines with numbers above one, in their order, by everything that a search may name.
SELECT at, line_no, severity, logger, service, message, fields, workspace_id, request_id, trace_id, user_hash,
    pattern_no
FROM log_lines
WHERE at >= $1 AND line_no > $2
    AND ($3::text IS NULL OR workspace_id = $3)
    AND ($4::smallint IS NULL OR severity >= $4)
    AND ($5::text IS NULL OR logger = $5 OR starts_with(logger, $5 || '.'))
    AND ($6::text IS NULL OR request_id = $6)
    AND ($7::text IS NULL OR trace_id = $7)
    AND ($8::text IS NULL OR service = $8)
    AND ($9::bigint IS NULL OR pattern_no = $9)
    AND ($10::text IS NULL OR search @@ websearch_to_tsquery('simple', $10))
ORDER BY line_no LIMIT $11;

-- name: newest_number
-- The number that lines have reached.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM log_line_numbers;

-- name: lines_of_user
-- Lines of a workspace that bear a user's pseudonym or name them, a bounded number behind a line's number.
SELECT at, line_no, severity, logger, service, message, fields, workspace_id, request_id, trace_id, user_hash,
    pattern_no
FROM log_lines
WHERE workspace_id = $1 AND line_no > $4 AND (user_hash = $2 OR (
    $3::text IS NOT NULL AND search @@ phraseto_tsquery('simple', $3)
    AND (position($3 in message) > 0 OR position($3 in fields::text) > 0)
))
ORDER BY line_no LIMIT $5;

-- name: replace_line
-- A line without somebody's name.
UPDATE log_lines SET message = $4, fields = $5, user_hash = $6 WHERE workspace_id = $1 AND at = $2 AND line_no = $3;

-- name: meet_segment
-- Make sure that a file of a spool has its offset.
INSERT INTO log_offsets (segment, position, at) VALUES ($1, 0, $2) ON CONFLICT (segment) DO NOTHING;

-- name: read_offset
-- How far a file of a spool is stored.
SELECT position FROM log_offsets WHERE segment = $1;

-- name: move_offset
-- Move an offset on, only from exactly where whoever asks believes it to be.
UPDATE log_offsets SET position = $3, at = $4 WHERE segment = $1 AND position = $2;

-- name: forget_segment
-- Delete the offset of a file that is deleted.
DELETE FROM log_offsets WHERE segment = $1;

-- name: purge_offsets
-- Forget files that nobody has read for long.
DELETE FROM log_offsets WHERE at < $1;
