-- name: known
-- Patterns that were seen lately, those of most lines first.
-- cross-workspace: every pattern keeps its workspace.
SELECT pattern_no, workspace_id, logger, template FROM log_patterns ORDER BY last_at DESC LIMIT $1;

-- name: count_lines
-- What a batch of lines adds to its patterns; new ones begin here.
INSERT INTO log_patterns AS p
    (pattern_no, workspace_id, logger, template, severity, sample, first_at, last_at, lines)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::timestamptz[],
    $8::timestamptz[], $9::bigint[])
ON CONFLICT (pattern_no) DO UPDATE SET template = excluded.template, severity = greatest(p.severity, excluded.severity),
    first_at = least(p.first_at, excluded.first_at), last_at = greatest(p.last_at, excluded.last_at),
    lines = p.lines + excluded.lines;

-- name: count_hours
-- What a batch of lines adds to its patterns' hours.
INSERT INTO log_pattern_hours AS h (pattern_no, hour, lines)
SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[])
ON CONFLICT (pattern_no, hour) DO UPDATE SET lines = h.lines + excluded.lines;

-- name: page
-- Patterns of lines since a moment, those of most lines first, of one workspace or of all.
SELECT p.pattern_no, p.workspace_id, p.logger, p.template, p.severity, p.sample, p.first_at, p.last_at, p.lines AS total,
    coalesce(sum(h.lines), 0)::bigint AS lines
FROM log_patterns p LEFT JOIN log_pattern_hours h ON h.pattern_no = p.pattern_no AND h.hour >= $1
WHERE p.last_at >= $1 AND ($2::text IS NULL OR p.workspace_id = $2) AND ($3::smallint IS NULL OR p.severity >= $3)
    AND ($4::text IS NULL OR p.logger = $4 OR starts_with(p.logger, $4 || '.'))
    AND (NOT $5::boolean OR p.first_at >= $1)
GROUP BY p.pattern_no
HAVING $6::bigint IS NULL OR (coalesce(sum(h.lines), 0)::bigint, p.pattern_no) < ($6, $7::bigint)
ORDER BY lines DESC, p.pattern_no DESC LIMIT $8;

-- name: purge_patterns
-- Patterns without lines for long, a bounded number.
-- cross-workspace: retention is the same for everybody.
DELETE FROM log_patterns WHERE pattern_no IN (SELECT pattern_no FROM log_patterns WHERE last_at < $1 LIMIT $2);

-- name: purge_hours
-- Counts of hours that are over for long, a bounded number.
DELETE FROM log_pattern_hours WHERE (pattern_no, hour) IN (
    SELECT pattern_no, hour FROM log_pattern_hours WHERE hour < $1 LIMIT $2
);
